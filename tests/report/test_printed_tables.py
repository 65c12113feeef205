"""Tables for papers, pages and spreadsheets."""

from __future__ import annotations

import csv
import io
import re

import pytest
from markdown_it import MarkdownIt

from harness.errors import StoreError
from harness.leaderboard import curves
from harness.leaderboard.columns import Estimate
from harness.report.printed_tables import WRITERS, Column, Table, latex, tables
from support.cells import board, cell, world

NASTY = r"a_b & 50% #1 {x} \end{tabular} $y$ ~^ <b> =1+1 | c"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return board(tmp_path_factory.mktemp("results"), world())


def written(table, format, intervals="brackets"):
    return WRITERS[format][1](table, intervals)


def of(cell, percent=False):
    digits = 0 if percent else 2
    return Table("t", "One.", [Column("method"), Column("x", digits, percent)], [["gd", cell]])


@pytest.mark.parametrize(
    ("format", "intervals", "cell", "says"),
    [
        ("markdown", "brackets", Estimate(0.5, 0.4, 0.65), "0.50 &#91;0.40, 0.65&#93;"),
        ("markdown", "plus-minus", Estimate(0.5, 0.4, 0.6), "0.50 ± 0.10"),
        ("markdown", "plus-minus", Estimate(0.5, 0.4, 0.65), "0.50 +0.15 -0.10"),
        ("markdown", "brackets", Estimate(None), "–"),
        ("markdown", "brackets", Estimate(1.0, 1.0, 1.0), "1.00"),
        ("latex", "brackets", Estimate(0.5, 0.4, 0.65), "0.50 [0.40, 0.65]"),
        ("latex", "plus-minus", Estimate(0.5, 0.4, 0.6), r"$0.50 \pm 0.10$"),
        ("latex", "plus-minus", Estimate(0.5, 0.4, 0.65), "$0.50 ^{+0.15}_{-0.10}$"),
        ("latex", "brackets", None, "--"),
        ("html", "brackets", Estimate(0.5), "0.50"),
    ],
)
def test_an_interval_is_written_as_asked(format, intervals, cell, says):
    assert f"{says}" in written(of(cell), format, intervals)


def test_a_share_is_in_per_cent():
    assert "| 67 % &#91;52, 81&#93; |" in written(of(Estimate(0.667, 0.52, 0.81), percent=True), "markdown")
    assert r"67\,\% [52, 81]" in written(of(Estimate(0.667, 0.52, 0.81), percent=True), "latex")


def test_csv_has_numbers_in_full_and_ends_in_columns(rows):
    (table,) = tables(rows, curves.SCHEMA.empty_table(), ["verdicts"])
    read = list(csv.DictReader(io.StringIO(written(table, "csv"))))
    gd = next(line for line in read if line["method"] == "gd")
    row = next(r for r in rows.to_pylist() if (r["method"], r["attack"]) == ("gd", "none"))
    for name, column in (("recovered", "recovered"), ("worst", "worst"), ("forget", "forget_before")):
        assert float(gd[name]) == row[column]
        assert float(gd[f"{name}_low"]) == row[f"{column}_low"]
    none = next(line for line in read if line["method"] == "none")
    assert none["rank"] == ""


def test_each_method_has_its_score_under_each_attack(rows):
    (table,) = tables(rows, curves.SCHEMA.empty_table(), ["attacks"])
    assert [column.name for column in table.columns] == ["method", "no attack", "private-data p=0.1"]
    gd = next(line for line in table.lines if line[0] == "gd")
    assert gd[2].value == pytest.approx(14 / 20)


def test_a_table_of_latex_is_one_that_booktabs_takes(rows):
    (table,) = tables(rows, curves.SCHEMA.empty_table(), ["verdicts"])
    lines = written(table, "latex").splitlines()
    (spec,) = re.findall(r"begin\{tabular\}\{([lr]+)\}", "\n".join(lines))
    body = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
    for line in body:
        assert line == r"\midrule" or len(re.findall(r"(?<!\\)&", line)) == len(spec) - 1
    assert len(body) == 2 + len(table.lines)


def test_names_of_strangers_command_nothing():
    nasty = Table("t", NASTY, [Column(NASTY)], [[NASTY]])
    tex = written(nasty, "latex")
    assert r"\end{tabular}" not in tex.replace(r"\end{tabular}" + "\n", "", 1)
    assert r"a\_b \& 50\% \#1 \{x\} \textbackslash{}end\{tabular\} \$y\$" in latex(NASTY)
    assert "<b>" not in written(nasty, "html")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(written(nasty, "markdown"))
    cells = [token for token in tokens if token.type in ("th_open", "td_open")]
    assert len(cells) == 2
    formula = Table("t", "x", [Column("m")], [["=1+1"]])
    assert written(formula, "csv").splitlines()[1] == "'=1+1"


def test_without_a_curve_there_is_no_table_of_curves(rows):
    with pytest.raises(StoreError, match="no attack here trains"):
        tables(rows, curves.SCHEMA.empty_table(), ["curves"])


def test_a_table_of_each_target(tmp_path):
    cells = [cell("none", target_key=key * 64) for key in "st"]
    made = tables(board(tmp_path, cells), curves.SCHEMA.empty_table(), ["verdicts"])
    assert [table.name for table in made] == ["verdicts-world-tiny"] * 2
