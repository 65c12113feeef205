"""Cells that nothing is wrong with, and ways to change what lies on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.core.intervals import mean_interval
from harness.core.types import Metric, Outcome, Sample, as_row
from harness.store import integrity
from harness.store.decided import key_of
from harness.store.many import NUMBERS
from harness.store.schema import CellRow


def row_of(**changes: Any) -> CellRow:
    """The row of a cell of one world, method and seed, and before any attack, but for ``changes``."""
    plain = {
        "key": "k",
        "benchmark": "world",
        "data_fingerprint": "d",
        "model": "tiny",
        "target_key": "t",
        "target_weights": "w",
        "method": "gd",
        "method_plugin": "p 1",
        "seed": 0,
        "dtype": "float32",
    }
    return CellRow(**plain | changes)


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


Rows = list[dict[str, Any]]


def edit(place: Path, table: str, key: str, change: Callable[[Rows], Rows | None]) -> None:
    """Change the rows in a cell's file by hand; ``change`` returns others, or changes those it is given."""
    path = place / table / f"{key}.parquet"
    found = pq.ParquetFile(path).read()
    rows = found.to_pylist()
    pq.write_table(pa.Table.from_pylist(change(rows) or rows, schema=found.schema), path)


def sign(place: Path, key: str) -> None:
    """Have a cell's digest be that of what lies there now, as somebody who knows how would."""
    paths = (place / table / f"{key}.parquet" for table, _ in NUMBERS)
    tables = [
        pq.ParquetFile(path).read() if path.is_file() else schema.empty_table()
        for path, (_, schema) in zip(paths, NUMBERS, strict=True)
    ]

    def signed(rows: Rows) -> None:
        rows[0]["content"] = integrity.digest(rows[0], *(table.to_pydict() for table in tables))

    edit(place, "cells", key, signed)
