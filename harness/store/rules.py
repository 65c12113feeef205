"""Rules that the numbers of one cell obey, whatever was measured.

No plugin is asked, and no metric is known by name: the tables say what range a metric has. Each rule gives a
sentence for everything that breaks it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..core.names import ANALYSIS, ATTACK, NO_ATTACK, STAGES, UTILITY
from .intervals import mean_interval

ROUNDING = 1e-6
"""Log-probabilities are sums in single precision: e to such a sum may be 1 and a little."""

ALL = "all"
"""The split of aggregates, which have no samples."""

Row = Mapping[str, Any]
Columns = Mapping[str, Sequence[Any]]
Measured = tuple[str, str]
"""Split and metric."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A cell by what was measured: final values, points of curves, values of facts, and findings."""

    row: Row
    finals: Mapping[Measured, Sequence[Row]]
    curves: Mapping[Measured, Sequence[Row]]
    samples: Mapping[Measured, tuple[Sequence[str], Sequence[float]]]
    """Facts and their values."""
    findings: Columns

    @classmethod
    def of(cls, row: Row, metrics: Sequence[Row], samples: Columns, findings: Columns) -> Numbers:
        """The numbers in rows of ``metrics``, and in ``samples`` and ``findings`` by column."""
        finals: dict[Measured, list[Row]] = defaultdict(list)
        curves: dict[Measured, list[Row]] = defaultdict(list)
        for metric in metrics:
            chosen = finals if metric["step"] is None else curves
            chosen[metric["split"], metric["metric"]].append(metric)
        facts: dict[Measured, tuple[list[str], list[float]]] = defaultdict(lambda: ([], []))
        columns = (samples[name] for name in ("split", "metric", "fact_id", "value"))
        for split, metric, fact, value in zip(*columns, strict=True):
            names, values = facts[split, metric]
            names.append(fact)
            values.append(value)
        return cls(row, finals, curves, facts, findings)

    def metrics(self) -> Iterator[Row]:
        """All rows of ``metrics``."""
        for table in (self.finals, self.curves):
            for rows in table.values():
                yield from rows


def violations(row: Row, metrics: Sequence[Row], samples: Columns, findings: Columns) -> list[str]:
    """A sentence for everything that breaks the first of the rules that are broken; empty for a sound cell.

    ``samples`` and ``findings`` are by column: there are many.
    """
    numbers = Numbers.of(row, metrics, samples, findings)
    return next((found for rule in RULES if (found := list(rule(numbers)))), [])


def _stage(cell: Numbers) -> Iterator[str]:
    stage, attack, analysis = (cell.row[name] for name in ("stage", "attack", "analysis"))
    if (stage == ANALYSIS) == (analysis == ""):
        yield f"only a cell of the stage '{ANALYSIS}' names an analysis; this is '{stage}' of '{analysis}'"
    elif stage not in STAGES or (stage != ANALYSIS and (stage == ATTACK) == (attack == NO_ATTACK)):
        yield f"only a cell of the stage '{ATTACK}' names an attack; this is '{stage}' of '{attack}'"


def _findings(cell: Numbers) -> Iterator[str]:
    """An analysis has findings, all of them numbers, and nothing else; other cells have none."""
    found, name = cell.findings, cell.row["analysis"]
    if cell.row["stage"] != ANALYSIS:
        if found["key"]:
            yield f"only an analysis has findings, and there are {len(found['key'])}"
        return
    if cell.finals or cell.curves or cell.samples:
        yield f"the analysis '{name}' has findings alone, and there are metrics or samples"
    if not found["key"]:
        yield f"the analysis '{name}' found nothing, and at least one number must be there"
    columns = (found[column] for column in ("analysis", "figure", "series", "layer", "module", "x", "value"))
    for analysis, *where, x, value in zip(*columns, strict=True):
        at = " ".join(str(part) for part in (*where, x) if part not in (None, ""))
        if analysis != name:
            yield f"a number of the analysis '{name}' is of '{analysis}'"
        if not where[0]:
            yield f"a number of the analysis '{name}' names no figure"
        if not _finite(value) or not (x is None or _finite(x)):
            yield f"{at} is {value}, and a number of an analysis must be finite, as must its place"


def _once(cell: Numbers) -> Iterator[str]:
    for measured, rows in cell.finals.items():
        if len(rows) > 1:
            yield f"a final value must be there once, and {_name(measured)} is there {len(rows)} times"
    for measured, (facts, _) in cell.samples.items():
        times_of = Counter(facts) if len({*facts}) < len(facts) else {}
        for fact, times in times_of.items():
            if times > 1:
                yield f"a fact must be scored once, and {_name(measured)} of '{fact}' is there {times} times"


def _numbers(cell: Numbers) -> Iterator[str]:
    """A value is finite, but where the range of an aggregate itself reaches to infinity: log of 0.

    Facts come first: they say most.
    """
    for measured, (facts, values) in cell.samples.items():
        if None not in values and all(map(math.isfinite, values)):  # many of them, and at once
            continue
        for fact, value in zip(facts, values, strict=True):
            if not _finite(value):
                yield f"{_name(measured)} of '{fact}' is {value}, and a value must be a finite number"
    for metric in cell.metrics():
        value, ends = metric["value"], (metric["low_bound"], metric["high_bound"])
        if not _finite(value) and (value is None or math.isnan(value) or value not in ends):
            yield f"{_at(metric)} is {value}, and a value must be a finite number"
        if (metric["low"] is None) != (metric["high"] is None):
            yield f"{_at(metric)} has one end of an interval without the other"
        elif metric["low"] is not None and not (_finite(metric["low"]) and _finite(metric["high"])):
            yield f"the interval of {_at(metric)} must be of finite numbers"


def _in_range(cell: Numbers) -> Iterator[str]:
    for measured, (facts, values) in cell.samples.items():
        low, high = _bounds(cell.finals.get(measured, [{}])[0])
        if _within(min(values), low, high) and _within(max(values), low, high):
            continue
        for fact, value in zip(facts, values, strict=True):
            if not _within(value, low, high):
                yield f"{_name(measured)} of '{fact}' is {value:g}, and it lies in [{low:g}, {high:g}]"
    for metric in cell.metrics():
        low, high = _bounds(metric)
        if not _within(metric["value"], low, high):
            yield f"{_at(metric)} is {metric['value']:g}, and it lies in [{low:g}, {high:g}]"


def _in_interval(cell: Numbers) -> Iterator[str]:
    for metric in cell.metrics():
        if metric["low"] is not None and not _within(metric["value"], metric["low"], metric["high"]):
            interval = f"[{metric['low']:g}, {metric['high']:g}]"
            yield f"{_at(metric)} is {metric['value']:g}, outside its own interval {interval}"


def _at_most(cell: Numbers) -> Iterator[str]:
    """A metric never exceeds the one its benchmark names, at any point of a curve or in the end.

    That holds of means, and not of single facts: the samples of an attack are those of each metric's own
    best checkpoint. A curve may hold several points of one step and rate; they come in the same order for
    each metric.
    """
    points: dict[tuple, list[Row]] = defaultdict(list)
    for metric in cell.metrics():
        points[metric["split"], metric["metric"], metric["step"], metric["learning_rate"]].append(metric)
    for (split, _, *point), rows in points.items():
        for number, metric in enumerate(rows):
            if metric["at_most"] is not None:
                for limit in points.get((split, metric["at_most"], *point), [])[number : number + 1]:
                    if metric["value"] > limit["value"] + ROUNDING:
                        yield (
                            f"{_at(metric)} is {metric['value']:g}, and it is at most {metric['at_most']}, "
                            f"{limit['value']:g}"
                        )


def _of_samples(cell: Numbers) -> Iterator[str]:
    """A final value is the mean of its samples, with their interval and their number.

    lm-eval has values that are no means: those carry no interval.
    """
    utility = cell.row["stage"] == UTILITY
    for measured, (final, *_) in cell.finals.items():
        _, values = cell.samples.get(measured, ((), ()))
        if utility and (final["low"] is None or not values):
            continue
        if not values:
            if measured[0] != ALL:
                yield f"{_name(measured)} has a value and no samples that it is the mean of"
        elif final["n"] != len(values):
            yield f"{_name(measured)} says that {final['n']} facts are behind it, and there are {len(values)}"
        elif not _near(final["value"], mean := fmean(values)):
            count = len(values)
            yield f"{_name(measured)} is {final['value']:g}, and the mean of its {count} samples {mean:g}"
        else:
            found = mean_interval(values)
            if not all(_near(a, b) for a, b in zip(found, (final["low"], final["high"]), strict=True)):
                yield f"the interval of {_name(measured)} is not that of its {len(values)} samples"
    if not utility:
        for measured in sorted(cell.samples.keys() - cell.finals.keys(), key=str):
            yield f"{_name(measured)} has samples and no final value"


def _of_curve(cell: Numbers) -> Iterator[str]:
    """The score of an attack is the maximum of its curve."""
    if cell.row["stage"] != ATTACK:
        return
    for measured in sorted(cell.finals.keys() ^ cell.curves.keys(), key=str):
        yield f"{_name(measured)} has a curve or a final value, and not both"
    for measured, points in cell.curves.items():
        for final in cell.finals.get(measured, ()):
            if not _near(final["value"], highest := max(point["value"] for point in points)):
                yield f"{_name(measured)} is {final['value']:g}, and the maximum of its curve {highest:g}"


RULES = (_stage, _findings, _once, _numbers, _in_range, _in_interval, _at_most, _of_samples, _of_curve)
"""In this order: each may rely on those before it."""


def _bounds(metric: Row) -> tuple[float, float]:
    """The range of a metric: without ends where nobody said."""
    low, high = metric.get("low_bound"), metric.get("high_bound")
    return -math.inf if low is None else low, math.inf if high is None else high


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _within(value: float, low: float, high: float) -> bool:
    return low - ROUNDING <= value <= high + ROUNDING


def _near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= ROUNDING * max(1.0, abs(other))


def _name(measured: Measured) -> str:
    return ".".join(map(str, measured))


def _at(metric: Row) -> str:
    """A metric, and the point of the curve that it is."""
    name = _name((metric["split"], metric["metric"]))
    return name if metric["step"] is None else f"{name} at step {metric['step']}"
