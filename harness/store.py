"""Results on disk: one Parquet file per cell and table, committed whole or not at all.

    <root>/metrics/<key>.parquet    final values and curves
    <root>/samples/<key>.parquet    the value of every fact
    <root>/cells/<key>.parquet      the cell itself, written last: without it the other two do not exist

Several processes may commit at once. Nothing is deleted, and what another version wrote is refused, not
guessed at.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import StoreError
from .types import Metric, Outcome, Sample, as_row

SCHEMA_VERSION = "1"
"""Of the tables: raised when a column is added, renamed or changes its meaning."""

PROTOCOL = "1"
"""Of the measurement. Raised when the same code inputs would no longer give comparable numbers: another
definition of the score, of recovery or of the forgetting threshold, other splits, seeds or budgets. Not
raised for speed, plugins, or columns. A leaderboard never mixes two."""


def _column(kind: pa.DataType, says: str, unit: str = "", **default: Any) -> Any:
    """A field of a row, its type and meaning in the table kept beside it."""
    return field(metadata={"kind": kind, "description": says, "unit": unit}, **default)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRow:
    """One cell: what it is, whether it worked, and what it took. Each field is a column of ``cells``."""

    key: str = _column(pa.string(), "SHA-256 of everything that decides the cell's numbers")
    protocol: str = _column(pa.string(), "version of the measurement", default=PROTOCOL)
    benchmark: str = _column(pa.string(), "name of the benchmark")
    benchmark_plugin: str = _column(
        pa.string(), "distribution and version the benchmark comes from", default=""
    )
    benchmark_config: str = _column(
        pa.string(), "resolved settings of the benchmark, canonical JSON", default="{}"
    )
    data_fingerprint: str = _column(pa.string(), "SHA-256 of every fact in every split")
    model: str = _column(pa.string(), "what the target was made from: hub id, or name of the embedded model")
    target_key: str = _column(pa.string(), "content key of the target")
    target_weights: str = _column(pa.string(), "SHA-256 of the original model's weight files")
    method: str = _column(pa.string(), "name of the method")
    method_plugin: str = _column(pa.string(), "distribution and version the method comes from")
    method_config: str = _column(pa.string(), "resolved settings of the method, canonical JSON", default="{}")
    attack: str = _column(pa.string(), "name of the attack, or 'none' before any attack", default="none")
    variant: str = _column(pa.string(), "published setting of the attack, e.g. 'p=0.1', or ''", default="")
    attack_plugin: str = _column(
        pa.string(), "distribution and version the attack comes from, or ''", default=""
    )
    attack_config: str = _column(pa.string(), "resolved settings of the attack, canonical JSON", default="{}")
    seed: int = _column(pa.int64(), "the cell's seed, from which one per axis is derived")
    dtype: str = _column(pa.string(), "number format of the weights, e.g. 'bfloat16'")
    status: str = _column(pa.string(), "'ok' or 'failed'", default="ok")
    error_type: str | None = _column(pa.string(), "class of the error of a failed cell", default=None)
    error_message: str | None = _column(pa.string(), "message of the error of a failed cell", default=None)
    notes: str = _column(
        pa.string(), "facts about the run as JSON: forget_metric, threshold, chance, ...", default="{}"
    )
    seconds: float = _column(pa.float64(), "wall time", "s", default=0.0)
    steps: int = _column(pa.int64(), "optimiser steps", default=0)
    tokens: int = _column(pa.int64(), "tokens seen in training", default=0)
    peak_memory_mib: float = _column(pa.float64(), "highest memory in use", "MiB", default=0.0)
    provenance: str = _column(pa.string(), "commit, versions and hardware as JSON", default="{}")


BENCHMARK = ("benchmark", "benchmark_plugin", "benchmark_config")
TARGET = (*BENCHMARK, "data_fingerprint", "model", "target_key", "dtype")
METHOD = ("method", "method_plugin", "method_config")
ATTACK = ("attack", "variant", "attack_plugin", "attack_config")
"""The columns of ``cells`` that say what was measured, apart from the seed."""


def _schema(columns: Iterable[tuple[str, pa.DataType, str, str]]) -> pa.Schema:
    """A schema that explains itself; its versions end up in the footer of every file."""
    return pa.schema(
        [
            pa.field(name, kind, metadata={"description": says, **({"unit": unit} if unit else {})})
            for name, kind, says, unit in columns
        ],
        metadata={"schema_version": SCHEMA_VERSION, "protocol": PROTOCOL},
    )


CELLS = _schema(
    (f.name, f.metadata["kind"], f.metadata["description"], f.metadata["unit"]) for f in fields(CellRow)
)
METRICS = _schema(
    [
        ("key", pa.string(), "the cell", ""),
        ("split", pa.string(), "split of the benchmark, or 'all' for an aggregate", ""),
        ("metric", pa.string(), "name of the metric", ""),
        ("value", pa.float64(), "its value: mean over the facts, or the maximum of an attack's curve", ""),
        ("low", pa.float64(), "lower end of the 95 % interval over facts", ""),
        ("high", pa.float64(), "upper end of the 95 % interval over facts", ""),
        ("n", pa.int64(), "facts behind the value", "facts"),
        ("step", pa.int64(), "optimiser step of a point of a curve; null for a final value", "steps"),
        ("learning_rate", pa.float64(), "learning rate of that curve; null for a final value", ""),
    ]
)
SAMPLES = _schema(
    [
        ("key", pa.string(), "the cell", ""),
        ("split", pa.string(), "split of the benchmark", ""),
        ("metric", pa.string(), "name of the metric", ""),
        ("fact_id", pa.string(), "id of the fact within the benchmark", ""),
        ("value", pa.float64(), "value of the metric on the fact", ""),
    ]
)


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
        return sorted(path.stem for path in (self.root / "cells").glob("*.parquet"))

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


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file. The same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def write_atomically(path: Path, content: bytes) -> None:
    """Put a file in place whole or leave what was there, even when power fails. Raises StoreError."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(content)
            _flush(file)
        os.replace(aside, path)
        # The new name is on disk only when its directory is.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as e:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise StoreError(
            f"{path} could not be written ({e.strerror or e}); make room or use another --results directory, "
            "and run again: finished cells are kept."
        ) from e


def _flush(file: BinaryIO) -> None:
    """Have it on the disk and not only in the system's memory. Here a full disk shows at the latest."""
    file.flush()
    os.fsync(file.fileno())


def _read(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.metadata or {}
            for name, ours in schema.metadata.items():
                if found.get(name) != ours:
                    theirs = found.get(name, b"none").decode()
                    raise StoreError(
                        f"{path} was written with {name.decode()} {theirs} and this is {ours.decode()}; "
                        "use another --results directory."
                    )
            return file.read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as e:
        raise StoreError(
            f"{path} is damaged or cannot be read ({str(e).splitlines()[0]}); move "
            f"{path.parent.parent / 'cells' / path.name} away to have that cell run again, or use another "
            "--results directory."
        ) from e
