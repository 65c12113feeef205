"""From the Markdown that people write to that which is built: included files, equations, links."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Mapping
from pathlib import Path

from latex2mathml.converter import convert

from .text import DocsError, entities

FENCE = r"^(?P<fence>`{3,})[^\n]*\n.*?^(?P=fence)`*[ ]*$"
CODE = r"(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"
VERBATIM = f"(?P<verbatim>{FENCE}|{CODE})"
EQUATION = re.compile(
    VERBATIM + r"|\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$])?)\$(?!\d)",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(
    VERBATIM + r"|(?<!!)\[(?P<label>[^\[\]]*)\]\((?P<target>[^()\s]+)\)", re.MULTILINE | re.DOTALL
)
INCLUDE = re.compile(r'^--8<-- "(?P<file>[^":]+)(?::(?P<first>\d+):(?P<last>\d+))?"$', re.MULTILINE)


def included(text: str, folder: Path) -> str:
    """Put a file, or some of its lines, in the place of each line ``--8<-- "file:first:last"``."""

    def content(found: re.Match[str]) -> str:
        path = folder / found["file"]
        if not path.is_file():
            raise DocsError(f"{found[0]}: there is no file {found['file']} in docs/{folder.name}.")
        lines = path.read_text().splitlines()
        return "\n".join(lines[int(found["first"]) - 1 : int(found["last"])] if found["first"] else lines)

    return INCLUDE.sub(content, text)


def with_equations(text: str) -> str:
    """Turn TeX between dollars into MathML, which browsers show without a script; code stays as it is."""

    def equation(found: re.Match[str]) -> str:
        if found["verbatim"]:
            return found[0]
        if found["block"]:
            return f'\n<div class="equation">{mathml(found["block"], "block")}</div>\n'
        return mathml(found["inline"], "inline")

    return EQUATION.sub(equation, text)


def mathml(tex: str, display: str) -> str:
    """One equation. latex2mathml passes on as text what it does not know, so what is left is refused."""
    made = convert(tex.strip(), display=display)
    if left := re.search(r"\\\S+?\b|\\.", made):
        raise DocsError(f"latex2mathml does not know {left[0]}, in the equation {tex.strip()}")
    return re.sub(r">([^<]+)<", lambda text: f">{entities(html.unescape(text[1]))}<", made)


def relinked(text: str, source: Path, uri: str, root: Path, pages: Mapping[str, str]) -> str:
    """Make links from a file of the repository links from a page of the site.

    ``pages`` are the pages by the file they are made of. A link to a file
    that no page is made of keeps its words only.
    """

    def link(found: re.Match[str]) -> str:
        if found["verbatim"]:
            return found[0]
        path, _, anchor = found["target"].partition("#")
        if not path or ":" in path:
            return found[0]
        file = Path(os.path.normpath(source.parent / path))
        if not file.exists():
            return found[0]  # the build says so
        page = pages.get(file.relative_to(root).as_posix())
        if page is None:
            return found["label"]
        target = os.path.relpath(page, Path(uri).parent) + f"#{anchor}" * bool(anchor)
        return f"[{found['label']}]({target})"

    return LINK.sub(link, text)
