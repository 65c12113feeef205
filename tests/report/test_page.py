"""The leaderboard's page holds what the tables hold, and nothing that comes from data can break it."""

from __future__ import annotations

import json
import re
import webbrowser

import pyarrow as pa
import pytest

from harness.errors import ConfigError, StoreError
from harness.leaderboard import facts
from harness.leaderboard.findings import findings, resolution
from harness.report import files, markdown, page, page_data
from harness.report.documented import Documented
from support.boards import EVIL, PAGES, made
from support.cells import SHARE
from support.command import harness_cli


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return made(tmp_path_factory.mktemp("results"))


def held(html):
    """The data in a page, as its script reads them."""
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def unpacked(column):
    """A column as the page's script reads it: where values repeat, they stand once."""
    return column if isinstance(column, list) else [column["values"][place] for place in column["at"]]


def test_every_row_and_number_of_the_table_is_there(tables):
    rows = held(page.html(*tables))["rows"]
    for name in page.ROW:
        if name not in tables.board.column_names:  # only boards with submissions have badges
            assert name not in rows
            continue
        wanted = tables.board[name].to_pylist()
        found = unpacked(rows[name])
        assert found == ([value or None for value in wanted] if name == "peak_memory_mib" else wanted)


def test_every_point_of_every_curve_is_there_under_its_row(tables):
    curves = tables.curves
    data = held(page.html(*tables))
    found = [
        (unpacked(data["rows"]["signature"])[c["row"]], *point)
        for c in data["curves"]
        for point in zip(c["step"], c["value"], c["low"], c["high"], c["seeds"], strict=True)
    ]
    names = ("signature", "step", "value", "value_low", "value_high", "seeds")
    assert found == list(zip(*(curves[name].to_pylist() for name in names), strict=True))
    assert found


def test_every_fact_is_there_under_its_row_in_hundredths(tables):
    data = held(page.html(*tables))
    signatures, targets = (unpacked(data["rows"][name]) for name in ("signature", "target"))
    found = {
        (signatures[int(row)], fact): value
        for row, values in data["facts"]["values"].items()
        for (fact, _), value in zip(data["facts"]["names"][targets[int(row)]], values, strict=True)
        if value is not None
    }
    assert found == {(f["signature"], f["fact"]): round(100 * f["value"]) for f in tables.facts.to_pylist()}
    assert found


def test_every_answer_is_there_under_its_row_and_of_a_long_one_the_beginning(tables):
    texts = tables.facts["answer"].to_pylist()
    at = next(i for i, text in enumerate(texts) if text)
    texts[at] = "long " * 1000
    place = tables.facts.schema.get_field_index("answer")
    facts = tables.facts.set_column(place, tables.facts.schema.field("answer"), pa.array(texts))
    data = held(page.html(*tables._replace(facts=facts)))
    signatures, targets = (unpacked(data["rows"][name]) for name in ("signature", "target"))
    shown = {
        (signatures[int(row)], fact): data["facts"]["texts"][answer]
        for row, answers in data["facts"]["answers"].items()
        for (fact, _), answer in zip(data["facts"]["names"][targets[int(row)]], answers, strict=True)
        if answer is not None
    }
    given = {(f["signature"], f["fact"]): f["answer"] for f in facts.to_pylist() if f["answer"] is not None}
    assert shown.keys() == given.keys()
    assert [given[key] for key in given if shown[key] != given[key]] == ["long " * 1000]
    assert {*data["facts"]["answered"].values()} == {"exact_match"}


def test_what_analyses_found_is_there_to_four_digits(tables):
    data = held(page.html(*tables))
    signatures = unpacked(data["rows"]["signature"])
    found = [
        (signatures[looked["row"]], looked["analysis"], figure["figure"], figure["series"], value)
        for looked in data["analyses"]
        for figure in looked["figures"]
        for value in figure["value"]
    ]
    names = ("signature", "analysis", "figure", "series")
    rows = [
        (*(row[name] for name in names), float(f"{row['value']:.4g}")) for row in tables.analyses.to_pylist()
    ]
    assert sorted(found) == sorted(rows)
    assert found


def test_attacks_stand_by_what_they_brought_back_and_last_those_that_measure_something_else(tables):
    _, first = held(page.html(*tables))["targets"]
    assert first["attacks"] == ["private-data p=0.1", "sample"]


def test_links_go_to_pages_that_there_are(tables, tmp_path):
    docs, out = tmp_path / "docs", tmp_path / "boards" / "real"
    (docs / "methods").mkdir(parents=True)
    for name in ("methods/gd.md", "protocol.md"):
        (docs / name).write_text("#")
    files.write(files.Published(*tables).documented(docs, out).files(), out)
    told = held((out / "index.html").read_text())["documentation"]
    assert told == {"base": "../../docs/", "suffix": ".md", "pages": ["methods/gd", "protocol"]}
    assert files.read(out).pages()["index.html"] == (out / "index.html").read_bytes()
    assert held(page.html(*tables))["documentation"] is None
    with pytest.raises(ConfigError, match="holds no documentation"):
        files.Published(*tables).documented(tmp_path / "boards", out)


def test_a_composition_leads_to_the_pages_of_its_parts(tables):
    there = Documented("../docs/", ".md", ("methods/gd", "methods/npo", "modifiers/sam", "modifiers/ilu"))
    at = tables.board.schema.get_field_index("method")
    names = ["gd+sam" if name == "gd" else "npo" for name in tables.board["method"].to_pylist()]
    board = there.marked(tables.board.set_column(at, tables.board.schema.field(at), pa.array(names)))
    assert Documented.of(board).pages == ("methods/gd", "methods/npo", "modifiers/sam")


@pytest.mark.parametrize("base", ["javascript:alert(1)//", "data:text/html,", '"><img src=x>', 7])
def test_a_place_of_the_documentation_that_is_no_address_is_refused(tables, base):
    board = Documented(base, ".md", PAGES).marked(tables.board)
    with pytest.raises(StoreError, match="does not say where the documentation is"):
        page.html(board, tables.curves)


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
    script = html.partition('<script type="module">')[2]
    assert not re.findall(r"\b(?:href|src|style): ", script)
    # Addresses are those of the documentation, which were looked at before.
    assert re.findall(r"\.(?:href|src|style\.\w+) = [^;]*", script) == [
        *(
            ".href = at",
            ".style.left = `${Math.max(8, Math.min(at.left + at.width / 2 - own.width / 2, room))}px`",
        ),
        ".style.top = `${below ? at.bottom + 6 : at.top - own.height - 6}px`",
    ]


def test_it_asks_for_nothing_from_outside(tables):
    html = page.html(*tables)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', html)) == {
        *(
            "#verdicts",
            "leaderboard.parquet",
            "curves.parquet",
            "facts.parquet",
            "analyses.parquet",
            "data:,",
        ),
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
    assert set(unpacked(data["rows"]["verdict"])) - {None} <= set(data["verdicts"])


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


def test_facts_are_by_target_and_what_a_model_did_not_write_is_an_answer():
    rows = [("a", "f2", 0.126, ""), ("a", "f1", 1.0, ""), ("b", "f1", 0.5, None), ("c", "f9", 0.0, "yes")]
    table = pa.Table.from_pylist(
        [
            {"signature": s, "fact": fact, "value": value, "seeds": 1, "answer": answer}
            | {"answer_metric": None if answer is None else "exact_match"}
            for s, fact, value, answer in rows
        ],
        schema=facts.SCHEMA,
    )
    found = page_data.facts(table, {"a": 0, "b": 1, "c": 2}, [0, 0, 1])
    assert found["names"] == [[["f1", None], ["f2", None]], [["f9", None]]]
    assert found["values"] == {0: [100, 13], 1: [50, None], 2: [0]}
    assert found["texts"] == ["", "yes"]
    assert found["answers"] == {0: [0, 0], 2: [1]}
    assert found["answered"] == {0: "exact_match", 2: "exact_match"}


@pytest.mark.parametrize("values", [[1.5] * 9, [0.1 * i for i in range(9)], ["a", None, "a"] * 3, [None] * 4])
def test_a_column_of_a_table_is_packed_as_its_values_are(values):
    made = page_data.column(pa.chunked_array([values[:2], values[2:]], pa.array(values).type))
    assert made == page_data.packed(values)
    assert (made if isinstance(made, list) else [made["values"][at] for at in made["at"]]) == values
