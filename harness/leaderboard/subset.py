"""A random subset of the committed leaderboard that can be run again within a time budget."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, Self

from ..core.names import NO_ATTACK, TINY
from ..errors import StoreError
from .columns import CONFIGS

JOBS = 2
"""Cores that a budget is for. Not those of this machine: the same seed picks the same subset anywhere."""

SETUP = 80.0
"""Seconds before the first cell, for each target: it and its twin trained side by side, or a pretrained model
converted and asked what it knows; workers started (docs/performance.md)."""

Row = Mapping[str, Any]


class Run(NamedTuple):
    """Benchmark, method and attack, as ``harness run`` takes them."""

    benchmark: str
    method: str
    attack: str

    @classmethod
    def of(cls, row: Row) -> Self:
        """What makes a row."""
        return cls(row["benchmark"], row["method"], ":".join(filter(None, (row["attack"], row["variant"]))))


@dataclass(frozen=True, slots=True)
class Subset:
    """Methods under attacks on one benchmark, and the seconds they take on ``JOBS`` quiet cores."""

    benchmark: str
    methods: tuple[str, ...]
    attacks: tuple[str, ...]
    seeds: int
    targets: int
    """Independently trained targets that the seeds run on."""
    seconds: float
    eligible: int
    """Rows of the leaderboard that may be picked with this budget."""

    @property
    def rows(self) -> int:
        """Its rows: every method under every attack, and before any."""
        return len(self.methods) * (1 + len(self.attacks))


def pick(rows: Sequence[Row], budget: float, seed: int, model: str = TINY) -> Subset:
    """Pick a row under an attack, and add methods and attacks at random while ``budget`` (seconds) allows.

    Every row that fits is as likely as any other to come first. Picked are rows of one model with the
    settings a plain run has; costs are those in the table. Raises StoreError where none fits.
    """
    plain = {Run.of(row): row for row in rows if _plain(row, model)}
    candidates = {
        run: (row["seeds"], row["targets"])
        for run, row in plain.items()
        if run.attack != NO_ATTACK and run._replace(attack=NO_ATTACK) in plain
    }

    def seconds(
        benchmark: str, methods: Sequence[str], attacks: Sequence[str], size: tuple[int, int]
    ) -> float:
        """Until the last worker is done, each taking the next unlearned model when it is free."""
        loads, (seeds, targets) = [0.0] * JOBS, size
        for method in methods:
            runs = (Run(benchmark, method, attack) for attack in (NO_ATTACK, *attacks))
            cells = sum(plain[run]["seconds"] for run in runs)
            for _ in range(seeds):
                loads[loads.index(min(loads))] += cells
        return SETUP * targets + max(loads)

    fitting = [
        run
        for run in sorted(candidates)
        if seconds(run.benchmark, [run.method], [run.attack], candidates[run]) <= budget
    ]
    if not fitting:
        raise StoreError(
            f"No row of this leaderboard can be made again in {budget / 60:g} minutes: those of the model "
            f"'{model}' with default settings can; give more --minutes, another --model or --committed."
        )
    chance = random.Random(seed)
    first = chance.choice(fitting)
    benchmark, size = first.benchmark, candidates[first]
    methods, attacks = [first.method], [first.attack]
    on_benchmark = [run for run in candidates if run.benchmark == benchmark]
    # Sorted, methods before attacks: the order they are added in depends on the seed alone.
    additions = [("method", name) for name in sorted({run.method for run in on_benchmark} - {*methods})]
    additions += [("attack", name) for name in sorted({run.attack for run in on_benchmark} - {*attacks})]
    for axis, name in chance.sample(additions, len(additions)):
        more = ([*methods, name], attacks) if axis == "method" else (methods, [*attacks, name])
        there = all(candidates.get(Run(benchmark, *pair)) == size for pair in product(*more))
        if there and seconds(benchmark, *more, size) <= budget:
            methods, attacks = more
    taken = seconds(benchmark, methods, attacks, size)
    return Subset(benchmark, tuple(sorted(methods)), tuple(sorted(attacks)), *size, taken, len(fitting))


def _plain(row: Row, model: str) -> bool:
    """Whether a run of the model without settings makes this row."""
    plain = row["model"] == model and row["dtype"] == "float32" and all(row[name] is None for name in CONFIGS)
    return plain and not row["failed"] and row["seconds"] is not None
