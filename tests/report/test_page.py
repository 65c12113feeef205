"""The leaderboard's page holds what the tables hold, and nothing that comes from data can break it."""

from __future__ import annotations

import json
import re
import webbrowser

import pytest

from harness.leaderboard.findings import findings, resolution
from harness.report import files, markdown, page
from support.boards import EVIL, made
from support.cells import SHARE
from support.command import harness_cli


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return made(tmp_path_factory.mktemp("results"))


def held(html):
    """The data in a page, as its script reads them."""
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def test_every_row_and_number_of_the_table_is_there(tables):
    board, curves = tables
    rows = held(page.html(board, curves))["rows"]
    for name in page.ROW:
        wanted = board[name].to_pylist()
        assert rows[name] == ([value or None for value in wanted] if name == "peak_memory_mib" else wanted)


def test_every_point_of_every_curve_is_there_under_its_row(tables):
    board, curves = tables
    data = held(page.html(board, curves))
    found = [
        (data["rows"]["signature"][c["row"]], *point)
        for c in data["curves"]
        for point in zip(c["step"], c["value"], c["low"], c["high"], c["seeds"], strict=True)
    ]
    names = ("signature", "step", "value", "value_low", "value_high", "seeds")
    assert found == list(zip(*(curves[name].to_pylist() for name in names), strict=True))
    assert found


def test_the_same_tables_give_the_same_bytes(tables):
    assert page.html(*tables) == page.html(*tables)


def test_text_from_data_is_never_markup(tables):
    html = page.html(*tables)
    assert EVIL not in html
    assert EVIL in [
        failed["error"].removeprefix("seed 2: E: ") for failed in held(html)["targets"][1]["failed"]
    ]
    assert html.count("</script>") == 2


def test_its_script_makes_text_and_attributes_of_data_and_never_markup(tables):
    html = page.html(*tables)
    assert not re.findall(
        r"inner\w*HTML|outerHTML|insertAdjacent|document\.write|\beval\(|srcdoc|javascript:", html
    )
    assert re.findall(r"setAttribute\((?!name,|\"[\w-]+\",)", html) == []
    assert not re.findall(r"\b(?:href|src|style): ", html.partition('<script type="module">')[2])


def test_it_asks_for_nothing_from_outside(tables):
    html = page.html(*tables)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', html)) == {
        *("#standing", "leaderboard.parquet", "curves.parquet", "data:,"),
    }
    assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest", html)


def test_every_column_says_what_it_means(tables):
    data = held(page.html(*tables))
    assert all(data["help"][column["name"]] for column in data["columns"])


def test_the_guide_is_that_of_the_readme(tables):
    html, guide = page.html(*tables), "\n" + markdown.reading()
    assert html.count("<li>") == guide.count("\n- ") > 5
    assert "<strong>recovery</strong> is what the attack brought back" in html


def test_what_stands_above_a_table_is_said_of_its_target(tables):
    second, first = held(page.html(*tables))["targets"]
    assert (first["benchmark"], first["metric"], first["chances"]) == ("world", "accuracy", [0.25])
    assert (first["definition"], first["range"]) == (SHARE["definition"], "[0, 1]")
    assert "gd has no rank: retain 79 % of the original's." in first["compared"]
    assert (second["benchmark"], second["failed"]) == ("other", [])


def test_the_verdict_leads_and_what_was_learned_is_said(tables):
    data = held(page.html(*tables))
    assert [column["name"] for column in data["columns"][:2]] == ["method", "verdict"]
    _, first = data["targets"]
    rows = [row for row in tables[0].to_pylist() if row["benchmark"] == "world"]
    assert first["findings"] == [*findings(rows), resolution(rows)]
    assert first["findings"][0].startswith("c and npo hide: up to 100 % [90, 110] of what they were made to ")
    assert set(data["rows"]["verdict"]) - {None} <= set(data["verdicts"])


def test_open_shows_the_page_and_says_where_it_is(tables, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or True)
    files.write(files.Published(*tables).pages(), tmp_path)
    ended = harness_cli("leaderboard", "open", tmp_path)
    assert (ended.code, ended.out, ended.err) == (0, f"{tmp_path / 'index.html'}\n", "")
    assert opened == [(tmp_path / "index.html").as_uri()]


def test_open_without_a_browser_still_says_where_it_is(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda uri: False)
    files.write(files.Published(*tables).pages(), tmp_path)
    ended = harness_cli("leaderboard", "open", tmp_path)
    assert (ended.code, ended.out) == (0, f"{tmp_path / 'index.html'}\n")
    assert ended.err == "No browser could be started here; open that file in one.\n"


def test_open_says_what_to_do_where_there_is_no_page(tmp_path):
    ended = harness_cli("leaderboard", "open", tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.sentence == (
        f"There is no {tmp_path / 'index.html'}; run `harness leaderboard build --out {tmp_path}`, or name "
        "another directory."
    )
