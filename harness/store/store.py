"""Results on disk: one Parquet file per cell and table, committed whole or not at all.

    <root>/metrics/<key>.parquet    final values and curves
    <root>/samples/<key>.parquet    the value of every fact
    <root>/analyses/<key>.parquet   what an analysis found, for its cells alone
    <root>/cells/<key>.parquet      the cell itself, written last: without it the others do not exist

Several may commit at once. What another version wrote is refused. Many cells in a file: ``compacted.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.files import ours
from ..core.names import ANALYSIS
from ..core.types import Outcome, as_row
from ..errors import StoreError
from . import integrity
from .atomic import parquet_bytes, write_atomically
from .compacted import Compacted
from .many import NUMBERS, PACK, SCHEMAS, Cell, Numbers, of_keys, unnested
from .reading import read
from .remote import Remote
from .schema import ANALYSES, CELLS, CellRow, cell_name
from .stored import UNSOUND, Stored, Tables

ReadRows = Callable[[], pa.Table]
"""Reads rows of ``many.MANY``."""


class Store:
    """The results under one directory, which is made by the first commit.

    Opening reads the footers of cells that lie alone, and the keys of those in files of many: a directory
    that this version cannot use is a StoreError then. The processes of a run take it as ``opened``.
    """

    def __init__(self, root: Path | str, opened: bool = False) -> None:
        self.root = Path(root)
        self.compacted = Compacted(self.root)
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
        self.statuses()

    def statuses(self) -> dict[str, str]:
        """``ok`` or ``failed`` for the key of every committed cell."""
        # One column of one row each: 500 cells take 0.1 s. In files of many are those that worked.
        single = {key: self._content("cells", key, ["status"])["status"][0].as_py() for key in self.single()}
        return dict(sorted({**dict.fromkeys(self.compacted.keys(), "ok"), **single}.items()))

    def single(self) -> list[str]:
        """The keys of the cells that lie alone, in files of their own."""
        return sorted(path.stem for path in ours((self.root / "cells").glob("*.parquet")))

    def done(self) -> set[str]:
        """The keys of the cells that are ok: those a run need not do again."""
        return {key for key, status in self.statuses().items() if status == "ok"}

    def cells(self) -> pa.Table:
        """All committed cells, failed ones too, by key."""
        return self._table("cells", self._keys())

    def columns(self, *names: str) -> list[dict[str, Any]]:
        """These columns of each committed cell whose file can be read: rows, and less to read than all."""
        rows: dict[str, dict[str, Any]] = {}
        alone, latest = {*self.single()}, self.compacted.keys()
        for file in self.compacted.files():
            with suppress(StoreError):
                found = file.rows(["key", *names])
                rows |= {
                    key: row
                    for key, row in zip(
                        found["key"].to_pylist(), found.select(names).to_pylist(), strict=True
                    )
                    if latest.get(key) is file and key not in alone
                }
        for key in alone:
            with suppress(StoreError):
                (rows[key],) = self._content("cells", key, [*names]).to_pylist()
        return [rows[key] for key in sorted(rows)]

    def metrics(self) -> pa.Table:
        """The metrics of all cells that are ok, by key and then as committed."""
        return self._table("metrics", sorted(self.done()))

    def samples(self) -> pa.Table:
        """The per-fact values of all cells that are ok, by key and then as committed."""
        return self._table("samples", sorted(self.done()))

    def stored(self, keys: Iterable[str] | None = None) -> dict[str, Stored]:
        """Every committed cell, or those of ``keys`` that are there, each looked at: by key."""
        there = self._keys()
        return {key: self._stored(key) for key in (there if keys is None else sorted({*keys} & {*there}))}

    def looked_at(self, keys: Iterable[str]) -> Iterator[tuple[str, Stored]]:
        """These cells, which are there, one after the other: few are in memory at once."""
        for key in keys:
            yield key, self._stored(key)

    def sound(self, keys: Iterable[str]) -> dict[str, Stored]:
        """Of these cells, those that are ok and that nothing is wrong with: a run need not do them again."""
        return {key: cell for key, cell in self.stored(keys).items() if cell.status == "ok"}

    def vouched(self, keys: Collection[str] | None = None) -> Iterator[tuple[frozenset[str], ReadRows]]:
        """Cells that worked, and need not be looked at again, all or those of ``keys``; file by file.

        They were looked at when they were compacted, and nothing has changed since. Each file comes with what
        reads the rows of those cells from it (``many.MANY``).
        """
        wanted = self.compacted.keys().keys() - {*self.single()}
        for own, file, content in self.compacted.sound(wanted if keys is None else wanted.intersection(keys)):
            yield own, partial(file.rows_of, content, own)

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

    def cell(self, key: str) -> pa.Table:
        """The row of a cell."""
        return self._content("cells", key)

    def numbers(self, key: str) -> Numbers:
        """Metrics, samples and findings of a cell that is ok."""
        found = self._content("analyses", key) if self._has("analyses", key) else ANALYSES.empty_table()
        return self._content("metrics", key), self._content("samples", key), found

    def copy(self, key: str, to: Store) -> None:
        """Commit a cell of this store to another, as :meth:`commit` does."""
        row = self.cell(key)
        if row["status"][0].as_py() == "ok":
            to._write_numbers(key, self.numbers(key))
        to._write("cells", key, row)

    def path(self, table: str, key: str) -> Path:
        """The file of a cell that lies alone."""
        return self.root / table / f"{key}.parquet"

    def keys(self) -> set[str]:
        """The keys of all committed cells, failed ones too."""
        return {*self.single(), *self.compacted.keys()}

    def _keys(self) -> list[str]:
        return sorted(self.keys())

    def _table(self, table: str, keys: list[str]) -> pa.Table:
        parts = [self._content(table, key) for key in keys]
        return pa.concat_tables([SCHEMAS[table].empty_table(), *parts]).combine_chunks()

    def _has(self, table: str, key: str) -> bool:
        if cell := self._of_many(key):
            return table != "analyses" or bool(cell[table].num_rows)
        return self.path(table, key).is_file()

    def _content(self, table: str, key: str, columns: list[str] | None = None) -> pa.Table:
        cell = self._of_many(key)
        try:
            found = cell[table] if cell else read(self.path(table, key), SCHEMAS[table], columns)
        except StoreError:
            if (cell := self._of_many(key)) is None:
                raise
            found = cell[table]  # it was compacted at this moment
        return found if columns is None else found.select(columns)

    def _of_many(self, key: str) -> Cell | None:
        """A cell that does not lie alone."""
        return None if self.path("cells", key).is_file() else self.compacted.cell(key)

    @cached_property
    def _remote(self) -> Remote | None:
        return Remote.of(self.root)

    def _write(self, table: str, key: str, content: pa.Table) -> None:
        path, written = self.path(table, key), parquet_bytes(content)
        write_atomically(path, written)
        with suppress(StoreError):  # it is kept here, and goes there with `Remote.push`
            if self._remote:
                self._remote.put(path, written)

    def _write_numbers(self, key: str, numbers: Numbers) -> None:
        """The tables of a cell but its row; what only analyses have is not written for others."""
        for (name, _), table in zip(NUMBERS, numbers, strict=True):
            if name != "analyses" or table.num_rows:
                self._write(name, key, table)

    def _stored(self, key: str) -> Stored:
        row, absent = self.cell(key), []
        (values,) = row.to_pylist()
        tables = {name: schema.empty_table() for name, schema in NUMBERS}
        for name in tables if values["status"] == "ok" else ():
            if self._has(name, key):
                tables[name] = self._content(name, key)
            elif name != "analyses" or values["stage"] == ANALYSIS:
                absent.append(f"its file of {name} is not there")
        metrics, samples, found = tables.values()
        return Stored(
            row, metrics, samples, found, absent or integrity.wrong(key, values, metrics, samples, found)
        )


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
    return _joined(*_chosen(stores))[:3]


def analyses(stores: Sequence[Store], keys: Iterable[str] | None = None) -> pa.Table:
    """What was found by analyses whose cells are ok, all or those of ``keys``: by key, as committed."""
    return _joined(*_chosen(stores, None if keys is None else {*keys}))[3]


def _chosen(
    stores: Sequence[Store], keys: Collection[str] | None = None
) -> tuple[Mapping[str, Stored], Sequence[pa.Table]]:
    """Cells that were looked at by themselves, and the rows of those that need not be."""
    found: dict[str, Stored] = {}
    parts: list[pa.Table] = []
    whole: set[str] = set()
    for store in stores:
        vouched: set[str] = set()
        for own, rows in store.vouched(keys):
            vouched |= own
            if fresh := {key for key in own - whole if key not in found or found[key].status != "ok"}:
                table = rows()
                parts.append(table if fresh == own else of_keys(table, fresh))
                whole |= fresh
        there = store.keys() if keys is None else store.keys() & {*keys}
        for key, cell in store.looked_at(sorted(there - vouched)):
            if key not in whole and (key not in found or (found[key].status != "ok" and cell.status == "ok")):
                found[key] = cell
    return {key: cell for key, cell in found.items() if key not in whole}, parts


def _joined(cells: Mapping[str, Stored], parts: Sequence[pa.Table]) -> tuple[pa.Table, ...]:
    """Cells, metrics, samples and findings, by key and then as committed."""
    empty = tuple(SCHEMAS[name].empty_table() for name in ("cells", *(name for name, _ in NUMBERS)))
    each = ((*cells[key].tables(key), cells[key].found()) for key in sorted(cells))
    alone = [pa.concat_tables(column) for column in zip(empty, *each, strict=True)]
    if not parts:
        return tuple(table.combine_chunks() for table in alone)
    many = unnested(pa.concat_tables(parts).sort_by("key"))
    joined = (pa.concat_tables([many[name], one]) for name, one in zip(many, alone, strict=True))
    # The sort is stable: what is of one cell stays as it was committed.
    return tuple((table.sort_by("key") if cells else table).combine_chunks() for table in joined)
