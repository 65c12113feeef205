"""Markdown in small pieces."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from harness.leaderboard import format

HARD = "\N{NO-BREAK SPACE}"
ROLE = re.compile(r":(?:func|class|meth|attr|mod|data):(?=`)")


class DocsError(Exception):
    """The pages cannot be written; says what to mend and where."""


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; nothing for no rows."""
    lines = [[cell(value) for value in row] for row in rows]
    if not lines:
        return ""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines]) + "\n"


def cell(value: Any) -> str:
    """A value inside a table: one line, and no bar that would end it."""
    return " ".join(str(value).split()).replace("|", "\\|")


def code(value: Any) -> str:
    """As code, unless it is empty."""
    if "|" in str(value):  # in a table Markdown has no way to write a bar in backticks
        return f"<code>{escape(str(value)).replace('|', '&#124;')}</code>"
    return f"`{value}`" if str(value) else ""


def plain(text: str) -> str:
    """Text in which nothing is Markdown: descriptions hold <, * and _ of formulas."""
    return "".join(f"&#{ord(sign)};" if sign in "\\`*_<>[]{}$" else sign for sign in text)


def entities(text: str) -> str:
    """Text within HTML within Markdown, also in a table."""
    return "".join(f"&#{ord(sign)};" if sign in "\\`*_<>[]{}$&|~" else sign for sign in text)


def fenced(text: str, language: str) -> str:
    """A block of code, or a directive, whatever fences it holds."""
    longest = max((len(ticks) for ticks in re.findall(r"^`+", text, re.MULTILINE)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def number(value: Any, digits: int = 3) -> str:
    """A number of a table, or the dash that stands for what was not measured."""
    # + 0.0: no minus before a zero
    return format.number(round(value, digits) + 0.0 if isinstance(value, float) else value, digits)


def interval(row: dict[str, Any], column: str) -> str:
    """A value with its 95 % interval where there is one."""
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    told = number(row[column])
    return told if low is None else f"{told}{HARD}[{number(low)},{HARD}{number(high)}]"


def docstring(thing: Any) -> str:
    """The docstring of this very thing and of none of its bases, without indentation."""
    return markdown_of(thing.__doc__ or "")


def markdown_of(text: str) -> str:
    """A docstring without indentation and Sphinx's roles: Markdown shows what they name as code."""
    return ROLE.sub("", inspect.cleandoc(text))
