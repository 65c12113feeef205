"""Files of many cells: a row for each cell, with its metrics, samples and findings nested in it.

Packs are made of them, and what `harness results compact` makes of the files of single cells.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
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
    """A file of many cells. A cell is read with those around it.

    Opening reads the keys, if they are not given. Raises StoreError where the file is damaged, or of a
    version that is not read.
    """

    def __init__(self, path: Path, keys: Sequence[str] | None = None) -> None:
        self.path = path
        self._group: tuple[int, pa.Table] | None = None
        if keys is None:
            with self._file() as file:
                keys = file.read(columns=["key"], use_threads=False)["key"].to_pylist()
        self.keys = keys

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The row of each cell."""
        return {key: row for row, key in enumerate(self.keys)}

    def cell(self, key: str) -> Cell:
        """The tables of a cell."""
        row = self.places[key]
        begin, table = self._around(row)
        with _said_of(self.path):
            return _cell(table, row - begin, key)

    def cells(self) -> Iterator[tuple[str, Cell]]:
        """Each cell in its order, with its key."""
        for key in self.places:
            yield key, self.cell(key)

    def rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole file as it lies there, or some of its columns."""
        with self._file() as file:
            return _rows(file, columns)

    def rows_in(self, content: bytes) -> pa.Table:
        """All rows, in what was read of the file."""
        with self._file(pa.BufferReader(content)) as file:
            return _rows(file)

    def _around(self, row: int) -> tuple[int, pa.Table]:
        """The group of rows that holds a row, and the row that it begins with."""
        if self._group is None or not 0 <= row - self._group[0] < self._group[1].num_rows:
            with self._file() as file:
                sizes = (file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
                ends = [*accumulate(sizes)]
                group = bisect_right(ends, row)
                if group == len(ends):
                    raise pa.ArrowInvalid(f"it has {len(self.keys)} cells and {ends[-1] if ends else 0} rows")
                table = as_of_now(file.read_row_group(group, use_threads=False), MANY)
                self._group = ends[group] - table.num_rows, table
        return self._group

    @contextmanager
    def _file(self, source: pa.NativeFile | None = None) -> Iterator[pq.ParquetFile]:
        """The file, once its version and columns were looked at."""
        with _said_of(self.path), pq.ParquetFile(source or self.path) as file:
            version = check_versions(self.path, file.schema_arrow.metadata or {}, MANY.metadata)
            shape.columns(file.schema_arrow, of_version(MANY, version))
            yield file


def _rows(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> pa.Table:
    there = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
    wanted = MANY if columns is None else pa.schema(map(MANY.field, columns), MANY.metadata)
    return as_of_now(file.read(columns=there, use_threads=False), wanted)


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


def by_key(tables: Sequence[tuple[pa.Table, Collection[str]]]) -> pa.Table:
    """The rows of these cells of each table, by key: at once, since lists within rows are slow to copy."""
    chosen = [pc.is_in(table["key"], pa.array([*keys], pa.string())) for table, keys in tables]
    rows = pc.indices_nonzero(pa.chunked_array([chunk for each in chosen for chunk in each.chunks]))
    whole = pa.concat_tables([table for table, _ in tables])
    return whole.take(rows.take(pc.sort_indices(whole["key"].take(rows))))


def unnested(table: pa.Table) -> Cell:
    """The tables of all cells in such a table, in its order."""
    table = table.combine_chunks()
    tables = {"cells": table.select(CELLS.names).cast(CELLS)}
    for name, schema in INNER.items():
        nested = (
            pa.concat_arrays(table[name].chunks) if table.num_rows else pa.array([], MANY.field(name).type)
        )
        keys = pc.take(table["key"], pc.list_parent_indices(nested))
        rows = pc.list_flatten(nested)
        columns = [keys if column == "key" else pc.struct_field(rows, column) for column in schema.names]
        tables[name] = pa.table(columns, schema)
    return tables


def table_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of :func:`as_one_row` as the content of a file."""
    return pa.Table.from_pylist(list(rows), MANY)
