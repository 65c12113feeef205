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

ALL = "all"
"""The word that stands for every name of a kind."""


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
    ``-npo`` leaves one out.
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
    ``-a`` and ``-a:variant`` leave out what the other names choose.
    """
    names, left_out = _named(Kind.ATTACK, names)
    if _none(Kind.ATTACK, names):
        return []
    choices, without = (
        gather(lambda name: _choice(registry, name), [name for name in part if name != ALL])
        for part in (names, left_out)
    )
    if ALL in names:
        choices = [AttackChoice(entry) for entry in registry.attacks.values()]
    whole = {choice.entry for choice in choices if choice.variant is None}
    choices = [choice for choice in choices if choice.variant is None or choice.entry not in whole]
    return _some(Kind.ATTACK, [left for choice in choices for left in _less(choice, without)], without)


def _less(choice: AttackChoice, without: Sequence[AttackChoice]) -> list[AttackChoice]:
    """What is left of a choice: itself, some of its variants, or nothing."""
    lost = {other.variant for other in without if other.entry == choice.entry}
    if not lost or choice.variant is not None:
        return [] if {None, choice.variant} & lost else [choice]
    variants = choice.entry.load().variants  # type: ignore[attr-defined]
    return [] if None in lost else [AttackChoice(choice.entry, name) for name in variants if name not in lost]


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
    names, left_out = _named(kind, names)
    entries, without = (
        gather(lambda name: registry.get(kind, name), [name for name in part if name != ALL])
        for part in (names, left_out)
    )
    if ALL in names:
        entries = list(registry.kinds[kind].values())
    return _some(kind, [entry for entry in entries if entry not in without], without)


def _none(kind: Kind, names: Sequence[str]) -> bool:
    """Whether none of a kind is meant. Raises HarnessError where others are named as well."""
    if "none" in names and len({*names}) > 1:
        raise HarnessError(f"'none' means no {kind} and stands alone, unlike in '{','.join(names)}'.")
    return "none" in names


def _named(kind: Kind, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names that are chosen, and those that are left out, each once. None chosen is an error."""
    names = list(dict.fromkeys(names))
    left_out = [name.removeprefix("-") for name in names if name.startswith("-")]
    chosen = [name for name in names if not name.startswith("-")]
    if not chosen:
        what = f"Only what to leave out is named of {kind}s" if left_out else f"No {kind} is named"
        raise HarnessError(f"{what}: give names separated by commas, or '{ALL}'.")
    return chosen, left_out


def _some(kind: Kind, chosen: list[Any], without: Sequence[Any]) -> list[Any]:
    """What is chosen. Raises HarnessError where all of it was left out again."""
    if without and not chosen:
        raise HarnessError(f"No {kind} is left: all that are named are left out as well.")
    return chosen
