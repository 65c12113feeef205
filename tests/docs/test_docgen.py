"""What writes the pages of the documentation: equations, links, the reference, and a strict build."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pytest

import harness

ROOT = Path(harness.__file__).parents[1]
DOCS = ROOT / "docs"

pytest.importorskip("docgen", reason="no checkout: its docs/ is not installed")
for needed in ("sphinx", "myst_parser", "furo", "sphinx_copybutton", "latex2mathml"):
    pytest.importorskip(needed, reason="the extra 'docs' is not installed")

from docgen import api, markdown, site  # noqa: E402
from docgen.text import DocsError  # noqa: E402


def test_a_broken_link_a_missing_anchor_and_a_lost_page_are_errors(tmp_path, capfd):
    (tmp_path / "pages" / "_static").mkdir(parents=True)
    (tmp_path / "pages" / "_extra").mkdir()
    (tmp_path / "pages" / "conf.py").write_bytes((DOCS / "conf.py").read_bytes())
    (tmp_path / "pages" / "_static" / "style.css").touch()
    home = "# Home\n\n[a](nowhere.md) [b](#nothing)\n\n```{toctree}\nabsent\n```\n"
    (tmp_path / "pages" / "index.md").write_text(home)
    (tmp_path / "pages" / "lost.md").write_text("# Lost\n")
    assert site.build(tmp_path / "pages", tmp_path / "site") == 1
    said = capfd.readouterr().err
    for problem in (
        "nowhere.md",
        "nothing",
        "nonexisting document 'absent'",
        "isn't included in any toctree",
    ):
        assert problem in said


def test_only_an_earlier_build_is_overwritten(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(DocsError, match="name a new or empty folder"):
        site.build(tmp_path, tmp_path)
    assert (tmp_path / "thesis.tex").is_file()


def test_equations_become_mathml_and_code_stays():
    code = "```sh\necho $HOME $PATH\n```"
    made = markdown.with_equations(f"`$x$` and $|y|$, $5 or\n\n{code}\n\n$$\nz\n$$\n")
    assert "`$x$`" in made
    assert code in made
    assert "$5 or" in made
    assert made.count("<math ") == 2
    assert made.count('display="block"') == 1
    assert "|" not in made, "a bar would end the cell of a table"


def test_what_cannot_be_shown_is_said():
    with pytest.raises(DocsError, match=r"does not know \\nonsense, in the equation"):
        markdown.with_equations(r"$\nonsense x$")
    with pytest.raises(DocsError, match=r"there is no file absent\.py in docs/examples"):
        markdown.included('```python\n--8<-- "absent.py"\n```', DOCS / "examples")


def test_links_lead_from_the_repository_to_pages():
    def relinked(text):
        pages = {"docs/cli.md": "cli.md", "leaderboard/README.md": "leaderboard.md"}
        return markdown.relinked(text, DOCS / "howto" / "gpu.md", "howto/gpu.md", ROOT, pages)

    assert relinked("[a](../cli.md#exit-codes)") == "[a](../cli.md#exit-codes)"
    assert relinked("[a](../../leaderboard/README.md)") == "[a](../leaderboard.md)"
    assert relinked("[a](../../methods/gd.py)") == "a", "no page is made of it"
    assert relinked("[a](absent.md) [b](https://example.org/c) `[d](../../methods/gd.py)`").count("](") == 3


class Kept:
    """A class that computes and is set."""

    @cached_property
    def sum(self) -> int:
        """Added up once."""

    @property
    def width(self) -> int:
        """How wide."""

    @width.setter
    def width(self, value: int) -> None: ...


def test_a_property_is_shown_once():
    assert api.described(Kept).count("{py:property}") == 2
    assert "{py:property} sum\n:type: int\n\nAdded up once.\n" in api.described(Kept)


class Shown(NamedTuple):
    """A class with one of everything."""

    left: int
    right: str = "r"

    @property
    def both(self) -> str:
        """As one; see :func:`len`."""

    @classmethod
    def made(cls, *parts: int, deep: bool = False) -> Shown:
        """From parts."""

    @staticmethod
    def plain(x: float) -> float: ...

    def _hidden(self) -> None: ...


def test_the_reference_shows_a_class_as_it_is_written():
    shown = api.described(Shown)
    assert f"{{py:class}} {__name__}.Shown(left: int, right: str = 'r')" in shown
    assert "{py:property} both\n:type: str\n\nAs one; see `len`.\n" in shown
    assert "{py:method} made(*parts: int, deep: bool=False) -> Shown\n:classmethod:\n\nFrom parts.\n" in shown
    assert "{py:method} plain(x: float) -> float\n:staticmethod:\n" in shown
    assert "_hidden" not in shown
