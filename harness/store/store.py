"""Results on disk: one Parquet file per cell and table, committed whole or not at all.

    <root>/metrics/<key>.parquet    final values and curves
    <root>/samples/<key>.parquet    the value of every fact
    <root>/analyses/<key>.parquet   what an analysis found, for its cells alone
    <root>/cells/<key>.parquet      the cell itself, written last: without it the others do not exist

Several may commit at once. What another version wrote is refused. Many cells in a file: ``compacted.py``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..core.files import ours
from ..core.types import Outcome, as_row
from ..errors import StoreError
from . import integrity
from .atomic import parquet_bytes, row_bytes, write_atomically
from .committed import Committed
from .many import NUMBERS, PACK, SCHEMAS, Numbers, by_key, unnested
from .schema import CELLS, CellRow, cell_name
from .stored import UNSOUND, Stored, Tables


class Store(Committed):
    """The results under one directory, which is made by the first commit.

    Opening reads the footers of cells that lie alone, and the keys of those in files of many: a directory
    that this version cannot use is a StoreError then. The processes of a run take it as ``opened``.
    """

    def __init__(self, root: Path | str, opened: bool = False) -> None:
        super().__init__(Path(root))
        if opened:
            return
        # The nearest thing that exists decides whether the rest can be made.
        there = next(p for p in (self.root, *self.root.absolute().parents) if os.path.lexists(p))
        if not there.is_dir():
            raise StoreError(f"{there} is not a directory; use another --results directory.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise StoreError(f"{there} cannot be written; change its permissions or use another --results.")
        if any(ours(self.root.glob("*.parquet"))):
            raise StoreError(PACK.format(self.root))
        self._of_single()
        self.compacted.refresh()

    def commit(self, row: CellRow, outcome: Outcome | None = None) -> None:
        """Write a cell, replacing one with the same key. Killed at any moment, it is all there or not at all.

        A failed cell is its row alone: what it measured before it failed is not a result. Raises StoreError
        when the disk is full or refuses; earlier cells are untouched by that.
        """
        if row.status == "ok" and outcome is None:
            raise ValueError("a cell that is ok needs an outcome")
        numbers = as_tables(row.key, outcome if outcome and row.status == "ok" else Outcome(), row.analysis)
        if row.status == "ok":
            self._write_numbers(row.key, numbers)
        (cell,) = pa.Table.from_pylist([as_row(row)], CELLS).to_pylist()
        cell["content"] = integrity.digest(cell, *(table.to_pydict() for table in numbers))
        self._write("cells", row.key, pa.Table.from_pylist([cell], CELLS))

    def copy(self, key: str, to: Store) -> None:
        """Commit a cell of this store to another, as :meth:`commit` does."""
        row = self.cell(key)
        if row["status"][0].as_py() == "ok":
            to._write_numbers(key, self.numbers(key))
        to._write("cells", key, row)

    def _write(self, table: str, key: str, content: pa.Table) -> None:
        written = row_bytes(content) if table == "cells" else parquet_bytes(content)
        write_atomically(self.path(table, key), written)

    def _write_numbers(self, key: str, numbers: Numbers) -> None:
        """The tables of a cell but its row; what only analyses have is not written for others."""
        for (name, _), table in zip(NUMBERS, numbers, strict=True):
            if name != "analyses" or table.num_rows:
                self._write(name, key, table)


def as_tables(key: str, outcome: Outcome, analysis: str = "") -> Numbers:
    """Metrics, samples and findings. Raises TypeError or ValueError for what is no number or no text."""
    rows = [
        [{"key": key, **as_row(metric)} for metric in outcome.metrics],
        [{"key": key, **as_row(sample)} for sample in outcome.samples],
        [{"key": key, "analysis": analysis, **as_row(found)} for found in outcome.findings],
    ]
    metrics, samples, found = (
        pa.Table.from_pylist(part, schema) for part, (_, schema) in zip(rows, NUMBERS, strict=True)
    )
    return metrics, samples, found


def chosen(store: Store, keys: Iterable[str], there: Mapping[str, Stored]) -> Tables:
    """The tables of the cells under these keys; a cell that something is wrong with is a failed one.

    Those that are ``there`` have been read before, and are not read again.
    """
    found, parts = _chosen([store], {*keys} - there.keys())
    return _joined({**there, **found}, parts)[:3]


def unsound(cells: pa.Table) -> list[tuple[str, str]]:
    """What those cells are that something is wrong with, by the beginning of their keys, and what it is."""
    return [
        (f"{row['key'][:12]} ({cell_name(row)})", row["error_message"])
        for row in cells.filter(pc.equal(cells["error_type"], UNSOUND)).to_pylist()
    ]


def tables(stores: Sequence[Store]) -> Tables:
    """The tables of several directories. A cell in two of them is there once: one that is ok, if any is."""
    return everything(stores)[:3]


def everything(stores: Sequence[Store], keys: Collection[str] | None = None) -> tuple[pa.Table, ...]:
    """The tables of all cells, or those of ``keys``, as :func:`tables` has them, and what analyses found."""
    return _joined(*_chosen(stores, keys))


def analyses(stores: Sequence[Store], keys: Iterable[str] | None = None) -> pa.Table:
    """What was found by analyses whose cells are ok, all or those of ``keys``: by key, as committed."""
    return everything(stores, None if keys is None else {*keys})[3]


def _chosen(
    stores: Sequence[Store], keys: Collection[str] | None = None
) -> tuple[Mapping[str, Stored], Sequence[tuple[pa.Table, Collection[str]]]]:
    """Cells that were looked at by themselves, and of those that need not be their keys, with their rows."""
    found: dict[str, Stored] = {}
    parts: list[tuple[pa.Table, Collection[str]]] = []
    whole: set[str] = set()
    for store in stores:
        vouched: set[str] = set()
        for own, rows in store.vouched(keys):
            vouched |= own
            if fresh := {key for key in own - whole if key not in found or found[key].status != "ok"}:
                parts.append((rows(), fresh))
                whole |= fresh
        there = store.keys() if keys is None else store.among(keys)
        for key, cell in store.looked_at(sorted(there - vouched)):
            if key not in whole and (key not in found or (found[key].status != "ok" and cell.status == "ok")):
                found[key] = cell
    return {key: cell for key, cell in found.items() if key not in whole}, parts


def _joined(
    cells: Mapping[str, Stored], parts: Sequence[tuple[pa.Table, Collection[str]]]
) -> tuple[pa.Table, ...]:
    """Cells, metrics, samples and findings, by key and then as committed."""
    empty = tuple(SCHEMAS[name].empty_table() for name in ("cells", *(name for name, _ in NUMBERS)))
    each = ((*cells[key].tables(key), cells[key].findings()) for key in sorted(cells))
    alone = [pa.concat_tables(column) for column in zip(empty, *each, strict=True)]
    if not parts:
        return tuple(table.combine_chunks() for table in alone)
    many = unnested(by_key(parts))
    joined = (pa.concat_tables([many[name], one]) for name, one in zip(many, alone, strict=True))
    # The sort is stable: what is of one cell stays as it was committed.
    return tuple((table.sort_by("key") if cells else table).combine_chunks() for table in joined)
