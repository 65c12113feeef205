"""The grammar of --methods, --attacks, --benchmarks and --analyses: from names to plugins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..errors import HarnessError, PluginError, gather, unknown
from .entry import Entry
from .kinds import Kind
from .registry import Registry


@dataclass(frozen=True, slots=True)
class AttackChoice:
    """An attack of a selection, with all its variants (None) or with one."""

    entry: Entry
    variant: str | None = None

    def __str__(self) -> str:
        return self.entry.name if self.variant is None else f"{self.entry.name}:{self.variant}"


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be run, in the order it was asked for."""

    methods: list[Entry]
    attacks: list[AttackChoice]
    benchmarks: list[Entry]
    analyses: list[Entry] = field(default_factory=list)

    def entries(self) -> list[Entry]:
        """Every plugin of the selection, once; of a composition each part."""
        attacks = [choice.entry for choice in self.attacks]
        chosen = [*self.benchmarks, *self.methods, *attacks, *self.analyses]
        return list(dict.fromkeys(part for entry in chosen for part in entry.parts))


def split(text: str) -> tuple[str, ...]:
    """The names of ``"a,b"``; a comma too many does no harm."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def select(
    registry: Registry,
    methods: Sequence[str],
    attacks: Sequence[str],
    benchmarks: Sequence[str],
    analyses: Sequence[str] = ("none",),
    settings: Collection[str] = (),
) -> Selection:
    """Resolve all four selections. Raises one HarnessError with everything that is wrong in them.

    ``settings`` are those that are given, as ``NAME.setting``.
    """
    parts: list[tuple[Callable[[Registry, Sequence[str]], Any], Sequence[str]]] = [
        (partial(select_methods, settings=settings), methods),
        (select_attacks, attacks),
        (select_benchmarks, benchmarks),
        (select_analyses, analyses),
    ]
    return Selection(*gather(lambda part: part[0](registry, part[1]), parts))


def select_methods(registry: Registry, names: Sequence[str], settings: Collection[str] = ()) -> list[Entry]:
    """The methods of these names, or of ``all``, each once; ``npo+sam`` is one with a modifier over it.

    ``all`` has none that needs a setting which is not among ``settings``, unless it is named beside it.
    """
    chosen = _select(registry, Kind.METHOD, names)
    return [entry for entry in chosen if entry.name in names or _needs(entry) <= {*settings}]


def _needs(entry: Entry) -> set[str]:
    """The settings that a method needs, by its name; what cannot be imported is refused where it is used."""
    try:
        needs = getattr(entry.load_unchecked(), "needs", ())
    except PluginError:
        return set()
    return {f"{entry.name}.{setting}" for setting in needs}


def select_benchmarks(registry: Registry, names: Sequence[str]) -> list[Entry]:
    """The benchmarks of these names, or of ``all``, each once."""
    return _select(registry, Kind.BENCHMARK, names)


def select_analyses(registry: Registry, names: Sequence[str]) -> list[Entry]:
    """The analyses of these names, of ``all`` or of ``none``, each once."""
    return [] if _none(Kind.ANALYSIS, names) else _select(registry, Kind.ANALYSIS, names)


def select_attacks(registry: Registry, names: Sequence[str]) -> list[AttackChoice]:
    """The attacks of ``a`` and ``b:variant``, ``all`` or ``none``, each once.

    ``a:variant`` is one variant of an attack; ``a`` is all of them, and then ``a:variant`` adds nothing.
    """
    names = _named(Kind.ATTACK, names)
    if _none(Kind.ATTACK, names):
        return []
    choices = gather(lambda name: _choice(registry, name), [name for name in names if name != "all"])
    if "all" in names:
        return [AttackChoice(entry) for entry in registry.attacks.values()]
    whole = {choice.entry for choice in choices if choice.variant is None}
    return [choice for choice in choices if choice.variant is None or choice.entry not in whole]


def _choice(registry: Registry, text: str) -> AttackChoice:
    name, colon, variant = text.partition(":")
    entry = registry.attack(name)
    if not colon:
        return AttackChoice(entry)
    variants = entry.load().variants  # type: ignore[attr-defined]
    if variant not in variants:
        raise HarnessError(unknown(f"variant of attack '{name}' named", variant, variants))
    return AttackChoice(entry, variant)


def _select(registry: Registry, kind: Kind, names: Sequence[str]) -> list[Entry]:
    names = _named(kind, names)
    entries = gather(lambda name: registry.get(kind, name), [name for name in names if name != "all"])
    return list(registry.kinds[kind].values()) if "all" in names else entries


def _none(kind: Kind, names: Sequence[str]) -> bool:
    """Whether none of a kind is meant. Raises HarnessError where others are named as well."""
    names = _named(kind, names)
    if "none" in names and len(names) > 1:
        raise HarnessError(f"'none' means no {kind} and stands alone, unlike in '{','.join(names)}'.")
    return "none" in names


def _named(kind: Kind, names: Sequence[str]) -> list[str]:
    """The names, each once; none at all is an error."""
    if not names:
        raise HarnessError(f"No {kind} is named: give names separated by commas, or 'all'.")
    return list(dict.fromkeys(names))
