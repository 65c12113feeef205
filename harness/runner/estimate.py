"""How long a run will take: from what cells like its own took, here or for the committed leaderboards.

``seconds.csv`` beside this file holds the latter. ``tests/perf/seconds.py`` makes it from the leaderboards of
the repository. A line without a method is the mean of all methods: what an attack takes hardly depends on who
unlearned.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, Self

from ..core.names import ATTACK, CONTROLS, EVALUATION, NO_ATTACK
from .cost import CPU
from .plan import Cell, Group, Plan

TABLE = Path(__file__).with_name("seconds.csv")
TARGET = "target"
"""In place of a stage: the training of a model."""

LONG = 30 * 60
"""Seconds from which on a run is a long one."""

UNPACKED = 2e6
"""Bytes of a GGUF file that are converted in a second. Most of it goes into reading its words one by one."""

MANY = 200
"""Cells of which nothing is known from which on it may be."""


class Work(NamedTuple):
    """What takes time: columns of ``cells`` with the same names, as text. No method is any of them."""

    benchmark: str
    model: str
    dtype: str
    stage: str
    attack: str = NO_ATTACK
    variant: str = ""
    method: str = ""
    analysis: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The work that a row is about."""
        return cls(*(row[name] for name in cls._fields))

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """The work behind a row of a leaderboard."""
        before = row["attack"] == NO_ATTACK
        stage = EVALUATION if before else ATTACK
        of = {"stage": stage, "variant": row["variant"] or "", "analysis": ""}
        return cls.of({**row, **of, "method": row["method"] if before else ""})


COLUMNS = (*Work._fields, "status", "seconds")
"""Of the rows of ``cells`` that seconds are taken from."""


class Known:
    """Mean seconds of work that was measured."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        taken: dict[Work, list[float]] = defaultdict(list)
        for row in rows:
            work = Work.of(row)
            taken[work].append(float(row["seconds"]))
            # Controls unlearn in no time or nothing at all, and say little about a method.
            if work.method and not (work.stage == EVALUATION and work.method in CONTROLS):
                taken[work._replace(method="")].append(float(row["seconds"]))
        self.means = {work: fmean(seconds) for work, seconds in taken.items()}


def shipped(device: str = CPU) -> Known:
    """What cells of the models of the committed leaderboards take on a device."""
    return Known({"analysis": "", **row} for row in table() if row["device"] == device)


def table() -> list[dict[str, str]]:
    """The lines of the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def measured(rows: Iterable[Mapping[str, Any]]) -> Known:
    """What cells that worked took, from columns of their rows."""
    return Known(row for row in rows if row["status"] == "ok")


Otherwise = Callable[[Work], float | None]
"""Says what work takes that was not measured, or None."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left to do, and the seconds it takes as far as that is known."""

    cells: Mapping[str, float | None]
    """Core seconds by key of each cell; the first of an unlearned model bears its unlearning."""
    models: Sequence[float | None]
    """Core seconds of each model that must be trained first."""
    workers: int
    seconds: float
    """Until all is done by so many workers, without what is not known."""

    @property
    def unknown(self) -> int:
        """Cells of which nothing is known."""
        return sum(seconds is None for seconds in self.cells.values())

    @property
    def is_long(self) -> bool:
        """Whether somebody who starts it should know that before."""
        return self.seconds > LONG or self.unknown > MANY


def seconds_of(work: Work, known: Sequence[Known]) -> float | None:
    """What it takes, by its method and else by the mean of all; the first of ``known`` says most."""
    for asked in (work, work._replace(method="")):
        for of in known:
            if (found := of.means.get(asked)) is not None:
                return found
    return None


def estimate(
    plan: Plan,
    model: str,
    done: set[str],
    to_train: Iterable[str],
    workers: int,
    known: Sequence[Known],
    kept: Collection[str] = (),
    otherwise: Otherwise | None = None,
) -> Estimate:
    """What is left of a plan for a model: ``to_train`` are keys of recipes, the first of ``known`` says most.

    Groups whose unlearned models are ``kept``, by key, unlearn nothing.

    What a method takes under the same work goes before the mean of all methods, and where neither was
    measured ``otherwise`` may say it.
    """

    def seconds(work: Work) -> float | None:
        found = seconds_of(work, known)
        return otherwise(work) if found is None and otherwise else found

    cells: dict[str, float | None] = {}
    loads = []
    for group in sorted(plan.missing(done), key=lambda group: -len(group.cells)):
        own = dict(_of_group(group, model, plan.source.dtype, seconds, group.key in kept))
        cells |= own
        loads.append(sum(filter(None, own.values())))
    models = [
        seconds(Work(plan.recipes[key].benchmark.name, model, plan.source.dtype, TARGET)) for key in to_train
    ]
    whole = _makespan(filter(None, models), workers) + _makespan(loads, workers)
    return Estimate(cells, models, workers, whole)


def _of_group(
    group: Group, model: str, dtype: str, seconds: Callable[[Work], float | None], kept: bool
) -> Iterator[tuple[str, float | None]]:
    """The seconds of each cell of a group."""

    def of(cell: Cell) -> float | None:
        attack = cell.attack.name if cell.attack else NO_ATTACK
        analysis = cell.analysis.name if cell.analysis else ""
        benchmark, method = group.benchmark.name, group.method.name
        return seconds(Work(benchmark, model, dtype, cell.stage, attack, cell.variant, method, analysis))

    first, *_ = group.cells
    unlearning = 0.0
    if first.stage != EVALUATION and not kept:  # it is there, and unlearning is done again for what is not
        unlearning = of(Cell("", first.seed, EVALUATION)) or 0.0
    attacked = {(cell.attack, cell.variant, cell.seed) for cell in group.cells if cell.stage == ATTACK}
    for cell in group.cells:
        found = of(cell)
        setting = cell.attack, cell.variant, cell.seed
        if found is not None and cell.attack and setting not in attacked:
            attacked.add(setting)  # made again for the first analysis of what it makes of the model
            found += of(Cell("", cell.seed, ATTACK, cell.attack, cell.variant)) or 0.0
        yield cell.key, found if found is None or cell is not first else found + unlearning


def _makespan(loads: Iterable[float], workers: int) -> float:
    """Seconds until the last worker is done, each taking the next load when it is free."""
    busy = [0.0] * workers
    for load in loads:
        busy[busy.index(min(busy))] += load
    return max(busy)
