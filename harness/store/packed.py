"""Results in a few files: what is kept under version control, passed on, and read without computing.

    <directory>/<benchmark>-<method>.parquet    a row for each cell, its metrics, samples and findings in it

A pack is read as any results directory is. Only cells that worked are in it; nothing is ever committed to it
by a run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.files import ours
from ..errors import StoreError, one_line
from . import shape
from .atomic import parquet_bytes, write_atomically
from .reading import check_versions
from .schema import CELLS, as_of_now, of_version
from .store import NUMBERS, PACK, Store

INNER = dict(NUMBERS)
"""What of a cell is nested in its row, without the key."""

LEVEL = 19
"""Of zstd: a pack is written once and read often."""


def _nested(schema: pa.Schema) -> pa.DataType:
    return pa.list_(pa.struct([(field.name, field.type) for field in schema if field.name != "key"]))


PACKED = pa.schema(
    [*CELLS, *(pa.field(name, _nested(schema)) for name, schema in INNER.items())], metadata=CELLS.metadata
)


class Packed(Store):
    """The cells of a pack, read whole when it is opened. Raises StoreError where a file is damaged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tables: dict[tuple[str, str], pa.Table] = {}
        for path in sorted(ours(root.glob("*.parquet"))):
            self._tables |= _read(path)

    def _keys(self) -> list[str]:
        return sorted(key for name, key in self._tables if name == "cells")

    def _has(self, table: str, key: str) -> bool:
        return (table, key) in self._tables

    def _content(self, table: str, key: str, columns: list[str] | None = None) -> pa.Table:
        whole = self._tables[table, key]
        return whole if columns is None else whole.select(columns)

    def _write(self, table: str, key: str, content: pa.Table) -> None:
        raise StoreError(PACK.format(self.root))


@dataclass(frozen=True, slots=True)
class Pack:
    """How many cells ``out`` holds now, how many of them are new, and how many failed ones were left out."""

    cells: int
    added: int
    failed: int


def pack(out: Path, sources: Sequence[Store]) -> Pack:
    """Bring the cells of ``sources`` that worked into ``out``, which may hold some already.

    A cell that is there stays as it is. Raises StoreError where a file cannot be written or is damaged.
    """
    there = Packed(out)
    chosen: dict[str, Store] = dict.fromkeys(there.statuses(), there)
    before, failed = len(chosen), set()
    for store in sources:
        for key, cell in store.stored().items():
            if cell.status == "ok":
                chosen.setdefault(key, store)
            else:
                failed.add(key)
    files: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key in sorted(chosen):
        row = _packed(chosen[key], key)
        files[f"{row['benchmark']}-{row['method']}.parquet"].append(row)
    for name, rows in files.items():
        write_atomically(out / name, parquet_bytes(pa.Table.from_pylist(rows, PACKED), LEVEL))
    return Pack(len(chosen), len(chosen) - before, len(failed - chosen.keys()))


def _packed(store: Store, key: str) -> dict[str, Any]:
    """A cell as a row of a pack."""
    (row,) = store.cell(key).to_pylist()
    tables = zip(INNER, store.numbers(key), strict=True)
    return row | {name: table.drop_columns("key").to_pylist() for name, table in tables}


def opened(directory: Path) -> Store:
    """The results in a directory, packed or not."""
    return Packed(directory) if any(ours(directory.glob("*.parquet"))) else Store(directory)


def stores(places: Sequence[Path]) -> list[Store]:
    """The results in these directories. Raises StoreError where there is none."""
    for place in places:
        if not place.is_dir():
            raise StoreError(
                f"There is no results directory {place}; run `harness run` first, or name another."
            )
    return [opened(place) for place in places]


def _read(path: Path) -> Mapping[tuple[str, str], pa.Table]:
    """The tables of each cell in a file, by name and key."""
    try:
        with pq.ParquetFile(path) as file:
            version = check_versions(path, file.schema_arrow.metadata or {}, PACKED.metadata)
            shape.columns(file, of_version(PACKED, version))
            whole = as_of_now(file.read(use_threads=False), PACKED)
        found = {}
        for i, key in enumerate(whole["key"].to_pylist()):
            row = whole.slice(i, 1).select(CELLS.names).cast(CELLS)
            found["cells", key] = shape.values(row)
            for name, schema in INNER.items():
                found[name, key] = shape.values(_unnested(whole[name][i], schema, key))
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise StoreError(
            f"{path} is damaged or cannot be read ({one_line(error)}): fetch it again, or take it away."
        ) from error
    return found


def _unnested(nested: pa.ListScalar, schema: pa.Schema, key: str) -> pa.Table:
    """The rows of a cell in one of its tables."""
    rows = nested.values
    columns = [
        pa.repeat(pa.scalar(key), len(rows)) if name == "key" else rows.field(name) for name in schema.names
    ]
    return pa.Table.from_arrays(columns, schema=schema)
