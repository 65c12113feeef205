"""Invariants across the cells of any results: a violation stops the leaderboard, and names the cells.

What must hold of one cell is in ``store.rules``; a cell that breaks it counts as failed, and stops nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.names import EVALUATION, ORIGINAL
from ..errors import StoreError
from ..store.schema import cell_name
from .identity import GroupId

NOISE = 1e-3
"""How far the untouched model's mean over a split may differ from machine to machine."""

ROWS_NAMED = 5
"""Offending rows that an error names."""

VALUE = "{split}.{metric} {value:g}"

Row = Mapping[str, Any]
Groups = Mapping[GroupId, Sequence[Row]]
Rows = list[Row]
Cells = Mapping[str, Row]
"""The rows of ``cells`` by key."""


def check(groups: Groups, metrics: pa.Table) -> None:
    """Raise StoreError for the first rule that these cells violate, naming it and the offending rows."""
    by_key = {cell["key"]: cell for cells in groups.values() for cell in cells}
    finals = metrics.filter(pc.is_null(metrics["step"]))
    _one_protocol(by_key)
    _once(groups, by_key)
    _untouched_is_the_same(finals, groups, by_key)


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


def _once(groups: Groups, cells: Cells) -> None:
    """Cells that differ in nothing but their seed have one key for each seed."""
    twice: list[Row] = []
    for rows in groups.values():
        times = Counter(row["seed"] for row in rows)
        twice += [row for row in rows if times[row["seed"]] > 1]
    _stop("a cell must be there once", twice, cells, "target {target_key:.12}")


def _untouched_is_the_same(finals: pa.Table, groups: Groups, cells: Cells) -> None:
    """The original of one target, before any attack, is one model: its cells agree over seeds and runs."""
    untouched = {
        cell["key"]: (which.target, cell["target_key"], which.attack)
        for which, own in groups.items()
        if which.method.method == ORIGINAL and which.stage == EVALUATION
        for cell in own
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
