"""Results in a few files: what is kept under version control, passed on, and read without computing.

    <directory>/<benchmark>-<method>.parquet    a row for each cell, its metrics, samples and findings in it

A pack is read as any results directory is. Only cells that worked are in it; nothing is ever committed to it
by a run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..core.files import ours
from ..errors import StoreError
from .atomic import parquet_bytes, write_atomically
from .committed import ReadRows
from .many import NUMBERS, PACK, ManyCells, as_one_row, table_of
from .schema import CELLS
from .store import Store

LEVEL = 19
"""Of zstd: a pack is written once and read often."""


class Packed(Store):
    """The cells of a pack, read whole when it is opened. Raises StoreError where a file is damaged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tables: dict[tuple[str, str], pa.Table] = {}
        for path in sorted(ours(root.glob("*.parquet"))):
            for key, cell in ManyCells(path).cells():
                self._tables |= {(name, key): table for name, table in cell.items()}

    def statuses(self) -> dict[str, str]:
        """``ok`` or ``failed`` for the key of every cell."""
        return {key: self.cell(key)["status"][0].as_py() for key in self._keys()}

    def keys(self) -> set[str]:
        """The keys of all cells."""
        return {key for name, key in self._tables if name == "cells"}

    def among(self, keys: Collection[str]) -> set[str]:
        """Those of these keys that are of its cells."""
        return self.keys() & {*keys}

    def vouched(self, keys: Collection[str] | None = None) -> Iterator[tuple[frozenset[str], ReadRows]]:
        """None: a pack is passed on, and each cell is looked at."""
        yield from ()

    def listing(self, *names: str) -> pa.Table:
        """The key and these columns of each cell."""
        names = tuple(dict.fromkeys(("key", *names)))
        parts = (self._content("cells", key, [*names]) for key in self._keys())
        empty = pa.schema(map(CELLS.field, names)).empty_table()
        return pa.concat_tables([empty, *(part.replace_schema_metadata() for part in parts)])

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


def pack(
    out: Path, sources: Sequence[Store], chosen_by: Callable[[Mapping[str, Any]], bool] = lambda row: True
) -> Pack:
    """Bring the cells of ``sources`` that worked, and whose row is chosen, into ``out``, which may hold some.

    A cell that is there stays as it is. Raises StoreError where a file cannot be written or is damaged.
    """
    there = Packed(out)
    chosen: dict[str, Store] = dict.fromkeys(there.statuses(), there)
    before, failed = len(chosen), set()
    for store in sources:
        for key, cell in store.stored().items():
            if not chosen_by(cell.row.to_pylist()[0]):
                continue
            if cell.status == "ok":
                chosen.setdefault(key, store)
            else:
                failed.add(key)
    files: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key in sorted(chosen):
        row = _packed(chosen[key], key)
        files[f"{row['benchmark']}-{row['method']}.parquet"].append(row)
    for name, rows in files.items():
        # Names may be a stranger's, and none of them leads out of the directory.
        if Path(name).name != name or not name.isprintable():
            raise StoreError(f"No pack of these cells: {name!r:.200} is no name of a file.")
        write_atomically(out / name, parquet_bytes(table_of(rows), LEVEL))
    return Pack(len(chosen), len(chosen) - before, len(failed - chosen.keys()))


def _packed(store: Store, key: str) -> dict[str, Any]:
    """A cell as a row of a pack."""
    numbers = dict(zip((name for name, _ in NUMBERS), store.numbers(key), strict=True))
    return as_one_row({"cells": store.cell(key), **numbers})


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
