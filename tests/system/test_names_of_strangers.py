"""A run and a board whose model, attack, setting and error were named to be taken for something else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from harness.report.escape import plain
from support.command import harness_cli
from support.results import rows

NAME = "m [x](javascript:y) ![z](y) <b> | `c` www.evil.example \x1b[31m\r\u202e[red] \n# head\nok: none"
WORD = "</script><img src=x> [link=https://evil.example]x[/link] [/] a | b \x1b]0;title\x07 ``` $x$"
PLUGIN = f"""
import harness
from harness import Attack, Config, Field


class Nasty(Attack):
    \"\"\"Looks [red]harmless[/red] \\x1b[31m.\"\"\"

    name = "nasty"
    variants = {{ {NAME!r}: {{"word": {WORD!r}}} }}

    class Config(Config):
        word: str = Field({WORD!r}, description={WORD!r})

    def attack(self, job):
        job.subject.advance({WORD!r}, 1, 2)
        job.checkpoint()
        if job.seed:
            raise RuntimeError({(WORD + NAME)!r})
"""
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def run(world):
    world.model = Path(shutil.copytree(world.model, world.folder / NAME))
    world.cache = world.folder / "cache"
    (world.folder / "nasty.py").write_text(PLUGIN, encoding="utf-8")
    return ("none", "nasty", "stub-bare", "--plugin", world.folder / "nasty.py")


@pytest.mark.parametrize("level", ["-q", "-v"])
def test_the_terminal_and_every_page_show_it_as_text(run, world, level):
    ended = harness_cli(level, *world.options(*run, controls=False))
    assert ended.code == 1, ended.err
    assert {row["model"] for row in rows(world.path())} == {NAME}
    assert len(rows(world.path(), status="failed")) == 1
    assert not ACTS.search(ended.out + ended.err)
    assert level == "-v" or "\nok: none" not in ended.out + ended.err  # a traceback is shown as it is
    assert "[link=https://evil.example]x[/link] [/] a | b \\x1b]0;title" in ended.err
    built = harness_cli("leaderboard", "build", "--results", world.path(), "--out", world.folder / "board")
    assert (built.code, built.err) == (0, "")
    readme((world.folder / "board" / "README.md").read_text(encoding="utf-8"))
    page((world.folder / "board" / "index.html").read_text(encoding="utf-8"))


def readme(text):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = [inner for token in parser.parse(text) for inner in (token, *(token.children or ()))]
    assert [t.attrs["href"] for t in tokens if t.type == "link_open"] == []
    assert {t.content for t in tokens if t.type == "html_inline"} <= {"<!-- -->"}
    assert not [t for t in tokens if t.type in ("image", "fence", "code_block", "hr")]
    ours = ("<details>", "</details>", "<picture>")
    assert all(t.content.startswith(ours) for t in tokens if t.type == "html_block")
    assert "evil.example" not in "".join(t.content for t in tokens if t.type == "html_block")
    assert len([t for t in tokens if t.type == "heading_open"]) == 3
    assert not ACTS.search(text)
    shown = ["".join(c.content for c in t.children if c.type == "text") for t in tokens if t.type == "inline"]
    assert plain(f"stub-bare: {' '.join(NAME.split())}", lines=False) in shown


def page(html):
    assert html.count("</script>") == 2
    assert "<img" not in html
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert json.loads(text)["targets"][0]["model"] == NAME


@pytest.mark.parametrize("arguments", ["list", "show nasty", "run --attacks nastier[/]", "check nasty"])
def test_what_a_plugin_says_of_itself_is_text(run, world, arguments):
    ended = harness_cli(*arguments.split(), "--plugin", world.folder / "nasty.py")
    assert ended.out + ended.err
    assert "Traceback" not in ended.err
    assert not ACTS.search(ended.out + ended.err)


def test_a_model_directory_whose_name_is_no_text_is_shown_too(world):
    world.model = Path(shutil.copytree(world.model, world.folder / "m\udcff"))
    ended = world.run("none", "none", "stub-bare", controls=False, seeds=1)
    [row] = rows(world.path())
    assert row["model"] == "m\\udcff"
    assert (ended.code, row["status"]) in ((0, "ok"), (1, "failed"))  # not every reader of weights takes it
    assert "Traceback" not in ended.err
