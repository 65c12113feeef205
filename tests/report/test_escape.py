"""What strangers named or raised is shown as text, in every medium: never obeyed, never hidden."""

from __future__ import annotations

import io
import re

import pytest
from markdown_it import MarkdownIt
from rich.progress import Progress
from rich.text import Text

from harness.core.events import Event
from harness.report import console
from harness.report.escape import markdown as escaped
from harness.report.escape import plain
from harness.report.markdown import markdown
from harness.report.progress import RunProgress
from support.cells import board, cell

NASTY = (
    "[click](https://evil.example)",
    "![seen](https://evil.example/pixel.png)",
    "[ref][a] [b]: https://evil.example",
    "[x] done",
    "[^1]: note",
    "<img src=x onerror=alert(1)>",
    "<!-- the rest is gone",
    "<https://evil.example> </table> <br>",
    "https://evil.example www.evil.example WWW.evil.example me@evil.example ftp://evil.example",
    "a | b | c",
    "a \\| b \\\\| c",
    "ends with \\",
    "`code` ``` ~~~",
    "*a* **b** ***c*** _a_ __b__ a_b_c ~~d~~",
    "# head #",
    "- item",
    "+ item",
    "12. item",
    "1) item",
    "> quote",
    "===",
    "---",
    "    code\n\n\ttab",
    "two\nlines\r\n\n# and a head",
    "&lt;b&gt; &#60; &copy;",
    "$x$ $$y$$",
    "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\ \x9b31m",
    "gd\rnone \x08\x07\x00",
    "\u202egnp.exe \u2066\u200b\u2028\u2029\ufeff",
    "[red]gd[/red] [/] [link=https://evil.example]x[/link] [bold",
)
DOCUMENT = "## {0}\n\n- {0}\n\n| a | b |\n| --- | --- |\n| {0} | {0} |\n"
TAG = re.compile(r"</?(\w+)")
OURS = {"details", "summary", "picture", "source", "img"}
"""Tags that the README of a leaderboard has of its own."""

COMMENT = "<!-- -->"


def parsed(text):
    """The tokens of a Markdown text, those within lines too."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [inner for token in parser.parse(text) for inner in (token, *(token.children or ()))]


def structure(tokens):
    shown = [t for t in tokens if t.type != "text" and t.content != COMMENT]
    return [(token.type, token.tag) for token in shown]


def words(tokens):
    """The text of each heading, item and cell."""
    return [
        "".join(inner.content for inner in token.children if inner.type == "text")
        for token in tokens
        if token.type == "inline"
    ]


def one_line(text):
    return plain(" ".join(text.split()), lines=False)


class TestMarkdown:
    @pytest.mark.parametrize("text", NASTY)
    def test_a_text_is_read_as_it_is_in_a_heading_an_item_and_a_cell(self, text):
        found, usual = parsed(DOCUMENT.format(escaped(text))), parsed(DOCUMENT.format("usual"))
        assert structure(found) == structure(usual)
        assert words(found) == [{"usual": one_line(text)}.get(word, word) for word in words(usual)]

    @pytest.mark.parametrize("text", NASTY)
    def test_there_is_no_address_that_github_makes_a_link_of(self, text):
        assert not re.search(r"\w://|www\.|\w@\w|\$", escaped(text), re.IGNORECASE)

    @pytest.mark.parametrize("text", ["npo beta=0.1, a=1", "prompt in-context", "rouge_l_recall", "0.5 (x)"])
    def test_what_is_usual_stays_as_it_is(self, text):
        assert escaped(text) == text


@pytest.fixture(scope="module", params=range(0, len(NASTY), 3), ids=lambda at: repr(NASTY[at]))
def nasty(request, tmp_path_factory):
    one, two, three = (NASTY[(request.param + i) % len(NASTY)] for i in range(3))
    place = {"benchmark": one, "model": two, "dtype": three, "data_fingerprint": one, "target_key": two}
    cells = []
    for method in ("none", one, two):
        for seed in range(3):
            cells.append(cell(method, seed=seed, known=20, **place))
            failed = {"status": "failed", "error_type": three, "error_message": one + two + three}
            lost = failed if (method, seed) == (two, 2) else {}
            cells.append(cell(method, three, seed, 9, variant=one, **place, **lost))
    return (one, two, three), markdown(board(tmp_path_factory.mktemp("results"), cells))


class TestTheBoard:
    """A leaderboard of which a stranger chose every name."""

    def test_it_has_no_link_image_or_tag_but_its_own(self, nasty):
        foreign = ("image", "fence", "code_block", "hr", "s_open")
        tokens = parsed(nasty[1])
        assert [t.attrs["href"] for t in tokens if t.type == "link_open"] == []
        assert not [token for token in tokens if token.type in foreign]
        assert {t.content for t in tokens if t.type == "html_inline"} <= {COMMENT}
        assert {tag for t in tokens if t.type == "html_block" for tag in TAG.findall(t.content)} == OURS
        assert len([t for t in tokens if t.type == "heading_open"]) == 3
        assert not re.search(r"\w://|www\.|\w@\w", nasty[1], re.IGNORECASE)

    def test_every_line_of_a_table_has_its_columns(self, nasty):
        tokens = parsed(nasty[1])
        kinds = {"tr_open": "r", "th_open": "c", "td_open": "c"}
        rows = "".join(kinds.get(token.type, "") for token in tokens).split("r")[1:]
        assert {len(row) for row in rows} == {2, 5, 8}
        lines = [line for line in nasty[1].splitlines() if line.startswith("| ")]
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3, 6, 9}

    def test_the_names_are_read_as_they_are(self, nasty):
        (one, two, three), text = nasty
        shown = words(parsed(text))
        assert f"{one_line(one)}: {one_line(two)}" in shown
        assert {one_line(one), one_line(two), "none"} <= set(shown)
        assert one_line(f"{three} {one}") in shown
        assert any(one_line(f"{three}: {one}{two}{three}") in line for line in shown)


class TestTheTerminal:
    @pytest.mark.parametrize("text", NASTY)
    def test_nothing_acts_in_a_line_a_text_or_a_table(self, text, capsys):
        for what in (text, Text(text, "red"), console.table(text, ("a", text), [(text, text)])):
            console.say(what)
        out = capsys.readouterr().out
        assert out == plain(out)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", out)

    def test_a_line_says_what_stood_there(self, capsys):
        console.say("\x1b[31mred \u202e[red]")
        assert capsys.readouterr().out == "\\x1b[31mred \\u202e[red]\n"

    def test_half_a_character_is_printed_too(self, capsys):
        console.say("a\udcff")
        assert capsys.readouterr().out == "a\\udcff\n"

    @pytest.mark.parametrize("text", NASTY)
    def test_bars_show_a_name_as_it_is(self, text):
        """A name in square brackets is no markup: it would colour the bar, or end the run."""
        stream = io.StringIO()
        with RunProgress(1) as shown:
            shown.live = True
            shown(Event(text, text, 1, 2))
            own = Progress(*shown.progress.columns[:1], console=console.Plain(file=stream, width=500))
            own.add_task(shown.progress.tasks[-1].description)
            own.console.print(own.make_tasks_table(own.tasks))
        assert stream.getvalue().strip() == plain(f"{text}: {text}", lines=False).strip()

    def test_no_line_of_an_error_passes_for_one_of_ours(self, capsys):
        with RunProgress(1) as shown:
            shown(Event("gd\nok: gd", status="failed", message="no\nok: gd none seed 0", cell=True))
        assert capsys.readouterr().err == "failed: gd\\nok: gd: no\n  ok: gd none seed 0\n"
