"""What the shell offers after a TAB: the names of plugins, also within a comma list. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from textwrap import shorten

from rich.markup import escape

from ..core.composition import JOINED
from ..plugins.kinds import Kind
from ..plugins.registry import Registry
from ..report.escape import plain

Offers = Iterator[tuple[str, str]]
"""What may stand there, each with a word about it."""


def listed(kind: str) -> Callable[[str], Offers]:
    """Completes ``a,b,<TAB>``: the names of a kind that are not in the list yet, and 'all' and the like."""

    def complete(incomplete: str) -> Offers:
        before, comma, begun = incomplete.rpartition(",")
        taken = before.split(",")
        registry = Registry()
        if kind == Kind.METHOD and "+" in begun:
            method, plus, begun = begun.rpartition("+")
            for name, entry in registry.modifiers.items():
                if name.startswith(begun) and name not in method.split(JOINED):
                    yield f"{before}{comma}{method}{plus}{name}", _line(entry.summary())
            return
        entries = registry.kinds[kind]
        for name in (*entries, *(() if comma else sorted(Kind(kind).reserved))):
            if name.startswith(begun) and name not in taken:
                about = _line(entries[name].summary()) if name in entries else f"{name} {Kind(kind).plural}"
                yield f"{before}{comma}{name}", about

    return complete


def named(*kinds: str) -> Callable[[str], Offers]:
    """Completes one name of these kinds."""

    def complete(incomplete: str) -> Offers:
        registry = Registry()
        for kind in kinds:
            for name, entry in registry.kinds[kind].items():
                if name.startswith(incomplete):
                    yield name, _line(entry.summary())

    return complete


def _line(summary: str) -> str:
    """One short line: shells take another line for another word. What looks like rich's markup is none."""
    return escape(plain(shorten(summary, 60, placeholder=" ...")))


def among(*words: str) -> Callable[[str], list[str]]:
    """Completes one of these words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]
