"""Cells that nothing is wrong with: keys that follow from their rows, values that are means of their samples."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from harness.core.intervals import mean_interval
from harness.core.types import Metric, Outcome, Sample, as_row
from harness.store.decided import key_of
from harness.store.schema import CellRow


def sound(row: CellRow) -> CellRow:
    """The row under the key that follows from it."""
    return replace(row, key=key_of(as_row(row)))


def scored(split: str, metric: str, values: list[float], names: list[str] | None = None, **more) -> Outcome:
    """A value of each fact, with the mean and its interval."""
    names = names or [f"f{i}" for i in range(len(values))]
    final = Metric(split, metric, fmean(values), *mean_interval(values), len(values), **more)
    facts = zip(names, values, strict=True)
    return Outcome([final], [Sample(split, metric, name, value) for name, value in facts])


def together(*outcomes: Outcome) -> Outcome:
    """All of them as the outcome of one cell."""
    return Outcome([m for o in outcomes for m in o.metrics], [s for o in outcomes for s in o.samples])


def curve(outcome: Outcome, *points: tuple[int, float | None]) -> Outcome:
    """The outcome of an attack that found these values at each step and rate: the curve is flat."""
    found = [replace(m, step=step, learning_rate=rate) for step, rate in points for m in outcome.metrics]
    return replace(outcome, metrics=[*found, *outcome.metrics])
