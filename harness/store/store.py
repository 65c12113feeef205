"""Results on disk: one Parquet file per cell and table, committed whole or not at all.

    <root>/metrics/<key>.parquet    final values and curves
    <root>/samples/<key>.parquet    the value of every fact
    <root>/cells/<key>.parquet      the cell itself, written last: without it the other two do not exist

Several processes may commit at once. Nothing is deleted, and what another version wrote is refused, not
guessed at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.files import ours
from ..core.types import Metric, Outcome, Sample, as_row
from ..errors import StoreError
from . import shape
from .atomic import parquet_bytes, write_atomically
from .schema import CELLS, METRICS, SAMPLES, CellRow


class Store:
    """The results under one directory, which is made by the first commit.

    Opening reads the footer of every cell: a directory that this version cannot use is a StoreError then, and
    not after an hour of work.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        # The nearest thing that exists decides whether the rest can be made.
        there = next(p for p in (self.root, *self.root.absolute().parents) if os.path.lexists(p))
        if not there.is_dir():
            raise StoreError(f"{there} is not a directory; use another --results directory.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise StoreError(f"{there} cannot be written; change its permissions or use another --results.")
        self.statuses()

    def statuses(self) -> dict[str, str]:
        """``ok`` or ``failed`` for the key of every committed cell."""
        # One column of one row each: 500 cells take 0.1 s, and threads make it no faster.
        return {
            key: _read(self._path("cells", key), CELLS, ["status"])["status"][0].as_py()
            for key in self._keys()
        }

    def done(self) -> set[str]:
        """The keys of the cells that are ok: those a run need not do again."""
        return {key for key, status in self.statuses().items() if status == "ok"}

    def cells(self) -> pa.Table:
        """All committed cells, failed ones too, by key."""
        return self._table("cells", CELLS, self._keys())

    def metrics(self) -> pa.Table:
        """The metrics of all cells that are ok, by key and then as committed."""
        return self._table("metrics", METRICS, sorted(self.done()))

    def samples(self) -> pa.Table:
        """The per-fact values of all cells that are ok, by key and then as committed."""
        return self._table("samples", SAMPLES, sorted(self.done()))

    def commit(self, row: CellRow, outcome: Outcome | None = None) -> None:
        """Write a cell, replacing one with the same key. Killed at any moment, it is all there or not at all.

        A failed cell is its row alone: what it measured before it failed is not a result. Raises StoreError
        when the disk is full or refuses; earlier cells are untouched by that.
        """
        if row.status == "ok":
            if outcome is None:
                raise ValueError("a cell that is ok needs an outcome")
            self._write("metrics", row.key, METRICS, outcome.metrics)
            self._write("samples", row.key, SAMPLES, outcome.samples)
        self._write("cells", row.key, CELLS, [row])

    def cell(self, key: str) -> pa.Table:
        """The row of a cell."""
        return _read(self._path("cells", key), CELLS)

    def numbers(self, key: str) -> tuple[pa.Table, pa.Table]:
        """Metrics and samples of a cell that is ok."""
        return _read(self._path("metrics", key), METRICS), _read(self._path("samples", key), SAMPLES)

    def copy(self, key: str, to: Store) -> None:
        """Commit a cell of this store to another, as :meth:`commit` does."""
        row = self.cell(key)
        if row["status"][0].as_py() == "ok":
            for table, content in zip(("metrics", "samples"), self.numbers(key), strict=True):
                write_atomically(to._path(table, key), parquet_bytes(content))
        write_atomically(to._path("cells", key), parquet_bytes(row))

    def _path(self, table: str, key: str) -> Path:
        return self.root / table / f"{key}.parquet"

    def _keys(self) -> list[str]:
        return sorted(path.stem for path in ours((self.root / "cells").glob("*.parquet")))

    def _table(self, table: str, schema: pa.Schema, keys: list[str]) -> pa.Table:
        parts = [_read(self._path(table, key), schema) for key in keys]
        return pa.concat_tables([schema.empty_table(), *parts]).combine_chunks()

    def _write(
        self, table: str, key: str, schema: pa.Schema, rows: Iterable[CellRow | Metric | Sample]
    ) -> None:
        content = pa.Table.from_pylist([{"key": key, **as_row(row)} for row in rows], schema=schema)
        write_atomically(self._path(table, key), parquet_bytes(content))


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Keep samples that belong to no cell, whole or not at all. Raises StoreError."""
    rows = [{"key": path.stem, **as_row(sample)} for sample in samples]
    write_atomically(path, parquet_bytes(pa.Table.from_pylist(rows, schema=SAMPLES)))


def read_samples(path: Path) -> list[Sample] | None:
    """What :func:`write_samples` wrote; None where it is absent, damaged, or another version's."""
    try:
        rows = _read(path, SAMPLES).drop("key").to_pylist()
    except StoreError:
        return None
    return [Sample(**row) for row in rows]


def _read(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.metadata or {}
            for name, ours in schema.metadata.items():
                if found.get(name) != ours:
                    theirs = found.get(name, b"none").decode(errors="replace")
                    raise StoreError(
                        f"{path} was written with {name.decode()} {theirs} and this is {ours.decode()}; "
                        "use another --results directory."
                    )
            shape.columns(file, schema, rows=1 if schema is CELLS else None)
            return shape.values(file.read(columns=columns, use_threads=False))
    except (OSError, pa.ArrowException) as e:
        raise StoreError(
            f"{path} is damaged or cannot be read ({str(e).splitlines()[0]}); move "
            f"{path.parent.parent / 'cells' / path.name} away to have that cell run again, or use another "
            "--results directory."
        ) from e


def chosen(store: Store, keys: Sequence[str]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """The cells, metrics and samples under these keys."""
    own = pa.array(keys, pa.string())
    every = (store.cells(), store.metrics(), store.samples())
    return tuple(part.filter(pa.compute.is_in(part["key"], own)) for part in every)  # type: ignore[return-value]


def stores(places: Sequence[Path]) -> list[Store]:
    """The results in these directories. Raises StoreError where there is none."""
    for place in places:
        if not place.is_dir():
            raise StoreError(
                f"There is no results directory {place}; run `harness run` first, or name another."
            )
    return [Store(place) for place in places]


def tables(stores: Sequence[Store]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """The cells, metrics and samples of several results directories, a cell in two of them once."""
    seen: set[str] = set()
    parts = []
    for store in stores:
        fresh = store.statuses().keys() - seen
        seen |= fresh
        parts.append(chosen(store, sorted(fresh)))
    return tuple(pa.concat_tables(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]
