"""Writes every page as finished Markdown, and has Sphinx make the site of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from harness.plugins.registry import Registry
from harness.report import files
from harness.report.documented import Documented

from . import complete, markdown, navigation, pages, reference, versions
from .documented import PYTHON
from .notebook import notebook
from .pages import DOCS, ROOT
from .text import DocsError

GENERATED: Mapping[str, Callable[[], str]] = {
    "methods/index.md": pages.methods,
    "modifiers/index.md": pages.modifiers,
    "attacks/index.md": pages.attacks,
    "benchmarks/index.md": pages.benchmarks,
    "analyses/index.md": pages.analyses,
    "leaderboard.md": pages.board,
    "reference/cli.md": reference.cli,
    "reference/hooks.md": reference.hooks,
    "reference/metrics.md": reference.metrics,
    "reference/tables.md": reference.tables,
    "reference/errors.md": reference.errors,
}
"""What follows the hand-written text of a page, beside the Python interface and the pages about a plugin."""


def write(out: Path) -> None:
    """Write the pages and Sphinx's settings; refuse where anything that can be run or set is undocumented."""
    registry = Registry()
    if problems := complete.undocumented(registry):
        raise DocsError("\n".join(problems))
    _clear(out, "conf.py")
    sources = _sources()
    places = {source.relative_to(ROOT).as_posix(): uri for source, uri in sources.items()}
    for source, uri in sources.items():
        page = out / uri
        page.parent.mkdir(parents=True, exist_ok=True)
        text = notebook(source, page) if source.suffix == ".ipynb" else source.read_text()
        text = markdown.relinked(markdown.included(text, DOCS / "examples"), source, uri, ROOT, places)
        parts = [text, _generated(registry, uri), navigation.below(uri, registry)]
        page.write_text(
            markdown.with_equations("\n\n".join(part.strip("\n") for part in parts if part)) + "\n"
        )
    shutil.copyfile(DOCS / "conf.py", out / "conf.py")
    (out / "_static").mkdir()
    for name in ("style.css", "versions.js"):
        shutil.copyfile(DOCS / name, out / "_static" / name)
    versions.alone(out)
    unread = shutil.ignore_patterns("*.md")  # a page already
    shutil.copytree(ROOT / "leaderboard", out / "_extra" / "leaderboard", ignore=unread)
    for picture in (ROOT / "leaderboard").rglob("*.svg"):  # where the pages of the boards look for them
        shutil.copy(picture, out / "_extra")
    for page in sorted((out / "_extra").rglob("index.html")):
        page.write_text(_linked(page.parent, out / "_extra"))


def _linked(board: Path, site: Path) -> str:
    """The page of a leaderboard, whose links go to pages of the site."""
    there = files.read(board)
    if told := Documented.of(there.board):
        base = Path(os.path.relpath(site, board)).as_posix()
        told = replace(told, base=f"{base}/", suffix=".html")
        there = there._replace(board=told.marked(there.board))
    return there.pages()["index.html"].decode()


def build(source: Path, site: Path) -> int:
    """Make the site anew; every warning is an error. Returns Sphinx's exit code."""
    from sphinx.cmd.build import main

    _clear(site, versions.MARK)
    doctrees = str(source / ".doctrees")
    options = ["--quiet", "--fail-on-warning", "--fresh-env", "--jobs=auto", "--doctree-dir", doctrees]
    return main([*options, str(source), str(site)])


def _clear(folder: Path, mark: str) -> None:
    """Remove what an earlier build left, which holds the file ``mark``, and nothing else."""
    if folder.exists() and not (folder / mark).is_file() and any(folder.iterdir()):
        raise DocsError(f"{folder} holds something else than an earlier build; name a new or empty folder.")
    shutil.rmtree(folder, ignore_errors=True)


def _sources() -> dict[Path, str]:
    """Each page by the file it is made of."""
    written = {path: path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md"))}
    others = navigation.NOTEBOOKS | navigation.BOARD | navigation.SECURITY
    return written | {ROOT / place: f"{name}.md" for place, name in others.items()}


def _generated(registry: Registry, uri: str) -> str:
    if uri in PYTHON:
        return reference.python(PYTHON[uri])
    return GENERATED[uri]() if uri in GENERATED else pages.section(registry, uri)
