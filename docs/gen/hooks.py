"""What MkDocs calls while it builds the site: appends what is generated, and turns equations into MathML."""

from __future__ import annotations

import html
import re
from typing import Any

import complete
import pages
import reference
from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

from harness.plugins.registry import Registry

PAGES = {
    "methods/index.md": pages.methods,
    "attacks/index.md": pages.attacks,
    "benchmarks/index.md": pages.benchmarks,
    "reference/cli.md": reference.cli,
    "reference/hooks.md": reference.hooks,
    "reference/classes.md": reference.classes,
    "reference/engine.md": reference.engine,
    "reference/metrics.md": reference.metrics,
    "reference/tables.md": reference.tables,
    "reference/errors.md": reference.errors,
}
"""What follows the hand-written text of a page. Pages about a plugin are found by their place."""

EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
ROLE = re.compile(r":(?:func|class|meth|attr|mod):(?=<code>)")


def on_pre_build(config: Any) -> None:
    """Stop where anything that can be run or set is undocumented."""
    if problems := complete.undocumented(Registry()):
        raise PluginError("\n".join(problems))


def on_page_markdown(markdown: str, page: Any, **rest: Any) -> str:
    """The hand-written text, and below it what comes from the code."""
    uri = page.file.src_uri
    made = PAGES[uri]() if uri in PAGES else pages.section(Registry(), uri)
    return f"{markdown}\n\n{made}" if made else markdown


def on_page_content(html: str, **rest: Any) -> str:
    """Equations as MathML, which browsers show without a script; docstrings without Sphinx's roles."""
    return ROLE.sub("", EQUATION.sub(mathml, html))


def mathml(found: re.Match[str]) -> str:
    """One equation. latex2mathml passes on as text what it does not know, so what is left is refused."""
    tex = html.unescape(found[3]).strip()
    made = convert(tex, display="block" if found[2] == "[" else "inline")
    if left := re.search(r"\\\S+?\b|\\.", made):
        raise PluginError(f"latex2mathml does not know {left[0]}, in the equation {tex}")
    return made
