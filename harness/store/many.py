"""Files of many cells: a row for each cell, with its metrics, samples and findings nested in it.

Packs are made of them, and what `harness results compact` makes of the files of single cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import StoreError, one_line
from . import shape
from .reading import check_versions
from .schema import ANALYSES, CELLS, METRICS, SAMPLES, as_of_now, of_version

NUMBERS = (("metrics", METRICS), ("samples", SAMPLES), ("analyses", ANALYSES))
"""The tables of what was measured, by name: all but the cells'."""

SCHEMAS = {**dict(NUMBERS), "cells": CELLS}
TABLES = tuple(SCHEMAS)
"""The directories of a store."""

Numbers = tuple[pa.Table, pa.Table, pa.Table]
"""Metrics, samples and findings of one cell."""

INNER = dict(NUMBERS)
"""What of a cell is nested in its row, without the key."""

PACK = (
    "{0} is a pack of cells, and nothing is committed to it: use another results directory; "
    "`harness leaderboard merge {0} --out DIR` brings its cells there."
)

Cell = dict[str, pa.Table]
"""The tables of one cell, by name."""


def _nested(schema: pa.Schema) -> pa.DataType:
    return pa.list_(pa.struct([(field.name, field.type) for field in schema if field.name != "key"]))


MANY = pa.schema(
    [*CELLS, *(pa.field(name, _nested(schema)) for name, schema in INNER.items())], metadata=CELLS.metadata
)


def as_one_row(cell: Mapping[str, pa.Table]) -> dict[str, Any]:
    """The tables of a cell as a row of such a file."""
    (row,) = cell["cells"].to_pylist()
    return row | {name: cell[name].drop_columns("key").to_pylist() for name in INNER}


class ManyCells:
    """A file of many cells. Opening reads their keys; a cell is read with those around it.

    Raises StoreError where it is damaged, or of a version that is not read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._group: tuple[int, pa.Table] | None = None
        with _said_of(path), pq.ParquetFile(path) as file:
            version = check_versions(path, file.schema_arrow.metadata or {}, MANY.metadata)
            shape.columns(file, of_version(MANY, version))
            keys = file.read(columns=["key"], use_threads=False)["key"].to_pylist()
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        places = ((group, row) for group, rows in enumerate(groups) for row in range(rows))
        self.places: dict[str, tuple[int, int]] = dict(zip(keys, places, strict=True))
        """Row group, and row in it, of each cell."""

    def cell(self, key: str) -> Cell:
        """The tables of a cell."""
        group, row = self.places[key]
        if self._group is None or self._group[0] != group:
            with _said_of(self.path), pq.ParquetFile(self.path) as file:
                self._group = group, as_of_now(file.read_row_group(group, use_threads=False), MANY)
        with _said_of(self.path):
            return _cell(self._group[1], row, key)

    def cells(self) -> Iterator[tuple[str, Cell]]:
        """Each cell in its order, with its key."""
        for key in self.places:
            yield key, self.cell(key)

    def rows(self) -> pa.Table:
        """The whole file as it lies there."""
        with _said_of(self.path), pq.ParquetFile(self.path) as file:
            return as_of_now(file.read(use_threads=False), MANY)


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """Have whatever pyarrow raises over a broken file say what to do with it."""
    try:
        yield
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise StoreError(
            f"{path} is damaged or cannot be read ({one_line(error)}): fetch it again, or take it away."
        ) from error


def _cell(table: pa.Table, row: int, key: str) -> Cell:
    own = table.slice(row, 1)
    cell = {"cells": shape.values(own.select(CELLS.names).cast(CELLS))}
    for name, schema in INNER.items():
        cell[name] = shape.values(_unnested(own[name][0], schema, key))
    return cell


def _unnested(nested: pa.ListScalar, schema: pa.Schema, key: str) -> pa.Table:
    """The rows of a cell in one of its tables."""
    rows = nested.values
    columns = [
        pa.repeat(pa.scalar(key), len(rows)) if name == "key" else rows.field(name) for name in schema.names
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def table_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of :func:`as_one_row` as the content of a file."""
    return pa.Table.from_pylist(list(rows), MANY)
