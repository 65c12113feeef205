"""What the shell offers after a TAB: the names of plugins, also within a comma list. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .registry import RESERVED, Registry

Offers = Iterator[tuple[str, str]]
"""What may stand there, each with a word about it."""


def listed(kind: str) -> Callable[[str], Offers]:
    """Completes ``a,b,<TAB>``: the names of a kind that are not in the list yet, and 'all' and the like."""

    def complete(incomplete: str) -> Offers:
        before, comma, begun = incomplete.rpartition(",")
        taken = before.split(",")
        entries = Registry().kinds[kind]
        words = {} if comma else {word: f"(word) {word} {kind}s" for word in sorted(RESERVED[kind])}
        for name, about in (words | {name: entry.summary() for name, entry in entries.items()}).items():
            if name.startswith(begun) and name not in taken:
                yield f"{before}{comma}{name}", about

    return complete


def named(*kinds: str) -> Callable[[str], Offers]:
    """Completes one name of these kinds."""

    def complete(incomplete: str) -> Offers:
        registry = Registry()
        for kind in kinds:
            for name, entry in registry.kinds[kind].items():
                if name.startswith(incomplete):
                    yield name, entry.summary()

    return complete


def among(*words: str) -> Callable[[str], list[str]]:
    """Completes one of these words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]
