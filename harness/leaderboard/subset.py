"""A part of the committed leaderboard to make again from nothing: freshly drawn, within a budget of time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..core.names import TINY
from ..errors import StoreError
from .compare import CONFIGS

JOBS = 2
"""Cores that a budget is for. Not those of this machine: the same seed draws the same part anywhere."""

SETUP = 80.0
"""Seconds before the first cell: two targets trained side by side, workers started (docs/performance.md)."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Methods under attacks on one benchmark, and the seconds they take on ``JOBS`` quiet cores."""

    benchmark: str
    methods: tuple[str, ...]
    attacks: tuple[str, ...]
    seeds: int
    seconds: float
    drawable: int
    """Rows of the leaderboard that may be drawn with this budget."""

    @property
    def rows(self) -> int:
        """Its rows: every method under every attack, and before any."""
        return len(self.methods) * (1 + len(self.attacks))


def draw(rows: Sequence[Row], budget: float, seed: int) -> Part:
    """Draw a row under an attack, and add methods and attacks at random while ``budget`` (seconds) allows.

    Every row that fits is as likely as any other to come first. Drawn are rows of the embedded model with
    the settings a plain run has; costs are those in the table. Raises StoreError where none fits.
    """
    plain = {_place(row): row for row in rows if _plain(row)}
    found = {
        place: row["seeds"]
        for place, row in plain.items()
        if place[2] != "none" and (*place[:2], "none") in plain
    }

    def seconds(benchmark: str, methods: Sequence[str], attacks: Sequence[str], seeds: int) -> float:
        """Until the last worker is done, each taking the next unlearned model when it is free."""
        loads = [0.0] * JOBS
        for method in methods:
            cells = sum(plain[benchmark, method, attack]["seconds"] for attack in ("none", *attacks))
            for _ in range(seeds):
                loads[loads.index(min(loads))] += cells
        return SETUP + max(loads)

    fit = [place for place in sorted(found) if seconds(place[0], *_lists(place), found[place]) <= budget]
    if not fit:
        raise StoreError(
            f"No row of this leaderboard can be made again in {budget / 60:g} minutes: those of the embedded "
            f"model ('{TINY}') with default settings can; give more --minutes, or another --committed."
        )
    chance = random.Random(seed)
    first = chance.choice(fit)
    benchmark, seeds = first[0], found[first]
    methods, attacks = _lists(first)
    others = sorted({(axis, place[axis]) for place in found if place[0] == benchmark for axis in (1, 2)})
    others = [(axis, name) for axis, name in others if name != first[axis]]
    for axis, name in chance.sample(others, len(others)):
        more = ([*methods, name], attacks) if axis == 1 else (methods, [*attacks, name])
        there = all(found.get((benchmark, *each)) == seeds for each in product(*more))
        if there and seconds(benchmark, *more, seeds) <= budget:
            methods, attacks = more
    taken = seconds(benchmark, methods, attacks, seeds)
    return Part(benchmark, tuple(sorted(methods)), tuple(sorted(attacks)), seeds, taken, len(fit))


def _lists(place: tuple[str, str, str]) -> tuple[list[str], list[str]]:
    return [place[1]], [place[2]]


def _place(row: Row) -> tuple[str, str, str]:
    """Benchmark, method and attack, as ``harness run`` takes them."""
    return row["benchmark"], row["method"], ":".join(filter(None, (row["attack"], row["variant"])))


def _plain(row: Row) -> bool:
    """Whether a run without settings makes this row."""
    plain = row["model"] == TINY and row["dtype"] == "float32" and all(row[name] is None for name in CONFIGS)
    return plain and not row["failed"] and row["seconds"] is not None
