"""Invariants of any results: a violation stops the leaderboard, with the rows that violate it.

No plugin is asked, and no metric is known by name: the tables say what range a metric has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.names import ATTACK, EVALUATION, NO_ATTACK, ORIGINAL
from ..errors import StoreError
from ..store.schema import cell_name
from .identity import AttackId, TargetId

ROUNDING = 1e-6
"""Log-probabilities are sums in single precision: e to such a sum may be 1 and a little."""

NOISE = 1e-3
"""How far the untouched model's mean over a split may differ from machine to machine."""

ROWS_NAMED = 5
"""Offending rows that an error names."""

VALUE = "{split}.{metric} {value:g}"
POINT = ("key", "split", "step", "learning_rate")
"""What the metrics of one point of a curve, or of one cell's final values on a split, have in common."""

Row = dict[str, Any]
Rows = list[Row]
Cells = Mapping[str, Row]
"""The rows of ``cells`` by key."""


def check(cells: pa.Table, metrics: pa.Table, samples: pa.Table) -> None:
    """Raise StoreError for the first rule that these tables violate, naming it and the offending rows."""
    by_key = {cell["key"]: cell for cell in cells.to_pylist()}
    finals = metrics.filter(pc.is_null(metrics["step"]))
    _one_protocol(by_key)
    _stage_of_attack(by_key)
    _once("cell", cells, ["key"], by_key)
    _once("metric", finals, ["key", "split", "metric"], by_key)
    _once("sample", samples, ["key", "split", "metric", "fact_id"], by_key)
    for table in (metrics, samples):
        _stop("a value is a number", _where(table, pc.is_nan(table["value"])), by_key, VALUE)
    _metrics_in_range(metrics, by_key)
    _samples_in_range(samples, finals, by_key)
    _at_most(metrics, by_key)
    _untouched_is_the_same(finals, by_key)


def _stop(rule: str, rows: Rows, cells: Cells, what: str) -> None:
    """Raise StoreError unless ``rows`` is empty. ``what`` formats a row."""
    if not rows:
        return
    named = [
        f"{row['key'][:12]} ({cell_name(cells[row['key']]) if row['key'] in cells else ''}): {text}"
        for row, text in sorted(
            ((row, what.format_map(row)) for row in rows), key=lambda pair: (pair[0]["key"], pair[1])
        )[:ROWS_NAMED]
    ]
    more = f"; and {len(rows) - ROWS_NAMED} more" if len(rows) > ROWS_NAMED else ""
    raise StoreError(
        f"No leaderboard from these results: {rule}. Violated by cell {'; '.join(named)}{more}. Move these "
        "cells' files away and run again, or build from other results."
    )


def _one_protocol(cells: Cells) -> None:
    protocols = sorted({cell["protocol"] for cell in cells.values()})
    if len(protocols) > 1:
        first = [next(c for c in cells.values() if c["protocol"] == p) for p in protocols]
        rule = f"protocols {' and '.join(protocols)} cannot be compared"
        _stop(rule, first, cells, "protocol {protocol}")


def _stage_of_attack(cells: Cells) -> None:
    odd = [cell for cell in cells.values() if (cell["stage"] == ATTACK) == (cell["attack"] == NO_ATTACK)]
    _stop(f"a cell of the stage '{ATTACK}' names an attack, and no other does", odd, cells, "stage {stage}")


def _once(kind: str, table: pa.Table, columns: list[str], cells: Cells) -> None:
    counted = table.group_by(columns).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1)).to_pylist()
    what = ", ".join(f"{{{name}}}" for name in columns[1:])
    _stop(f"a {kind} must be there once", twice, cells, f"{what or 'the cell'}, {{count_all}} times")


def _metrics_in_range(metrics: pa.Table, cells: Cells) -> None:
    """Each value lies between the bounds in its row; null bounds compare as null, which keeps no row."""
    below = pc.less(metrics["value"], pc.subtract(metrics["low_bound"], ROUNDING))
    above = pc.greater(metrics["value"], pc.add(metrics["high_bound"], ROUNDING))
    outside = _where(metrics, pc.or_kleene(below, above))
    if outside:
        metric = outside[0]["metric"]
        _stop(_range(outside[0]), [row for row in outside if row["metric"] == metric], cells, VALUE)


def _samples_in_range(samples: pa.Table, finals: pa.Table, cells: Cells) -> None:
    """The values of single facts lie in the range of the mean that they add up to."""
    bounds = {_of_sample(row): row for row in _where(finals, pc.is_valid(finals["low_bound"]))}
    extremes = samples.group_by(["key", "split", "metric"]).aggregate([("value", "min"), ("value", "max")])
    for extreme in extremes.to_pylist():
        final = bounds.get(_of_sample(extreme))
        if final is None:
            continue
        low, high = final["low_bound"] - ROUNDING, final["high_bound"] + ROUNDING
        if extreme["value_min"] < low or extreme["value_max"] > high:
            own = _where(samples, pc.equal(samples["key"], extreme["key"]))
            outside = [
                row
                for row in own
                if _of_sample(row) == _of_sample(extreme) and not low <= row["value"] <= high
            ]
            _stop(_range(final), outside, cells, VALUE)


def _of_sample(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["key"], row["split"], row["metric"]


def _range(row: Row) -> str:
    return f"{row['metric']} lies in [{row['low_bound']:g}, {row['high_bound']:g}]"


def _at_most(metrics: pa.Table, cells: Cells) -> None:
    """No metric exceeds the one that its benchmark says it never does, at any point of a curve or in the end.

    That holds of means, and not of single facts: the samples of an attack are those of each metric's own
    best checkpoint.
    """
    limited = _where(metrics, pc.is_valid(metrics["at_most"]))
    names = pa.array({row["at_most"] for row in limited}, pa.string())
    limits: dict[tuple, Rows] = defaultdict(list)
    for row in _where(metrics, pc.is_in(metrics["metric"], names)):
        limits[*(row[name] for name in POINT), row["metric"]].append(row)
    # A curve may hold several points of one step and rate; they come in the same order for each metric.
    seen: dict[tuple, int] = defaultdict(int)
    above = []
    for row in limited:
        point = tuple(row[name] for name in POINT)
        number = seen[*point, row["metric"]]
        seen[*point, row["metric"]] += 1
        for limit in limits[*point, row["at_most"]][number : number + 1]:
            if row["value"] > limit["value"] + ROUNDING:
                above.append({**row, "limit": limit["value"]})
    if above:
        rule = f"{above[0]['metric']} is at most {above[0]['at_most']}"
        _stop(rule, above, cells, VALUE + ", {at_most} {limit:g}")


def _untouched_is_the_same(finals: pa.Table, cells: Cells) -> None:
    """The original, before any attack, is one model: its cells agree over seeds and runs."""
    untouched = {
        key: (TargetId.of(cell), AttackId.of(cell))
        for key, cell in cells.items()
        if cell["method"] == ORIGINAL and cell["stage"] == EVALUATION
    }
    own = finals.filter(pc.is_in(finals["key"], pa.array(untouched, pa.string())))
    same: dict[tuple, Rows] = defaultdict(list)
    for row in own.sort_by("key").to_pylist():
        if row["split"] != "all" and (row["low_bound"], row["high_bound"]) == (0, 1):
            same[*untouched[row["key"]], row["split"], row["metric"]].append(row)
    differing = list(_apart(same))
    _stop(f"'{ORIGINAL}' measures the same in all runs on one target", differing, cells, VALUE)


def _apart(same: Mapping[tuple, Rows]) -> Iterator[Row]:
    """The lowest and the highest row of each group that differ."""
    for rows in same.values():
        low, high = (choose(rows, key=lambda row: row["value"]) for choose in (min, max))
        if high["value"] - low["value"] > NOISE:
            yield from (low, high)


def _where(table: pa.Table, mask: Any) -> Rows:
    return table.filter(mask).to_pylist()
