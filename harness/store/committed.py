"""What lies in a results directory: which cells there are, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..core.files import ours
from ..core.names import ANALYSIS
from ..errors import StoreError
from . import integrity
from .compacted import Compacted
from .many import NUMBERS, SCHEMAS, Cell, Numbers
from .reading import read
from .schema import ANALYSES, CELLS
from .stored import Stored

ReadRows = Callable[[], pa.Table]
"""Reads rows of ``many.MANY``."""


class Committed:
    """The cells under one directory, alone or in files of many: what a :class:`Store` reads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.compacted = Compacted(root)

    def statuses(self) -> dict[str, str]:
        """``ok`` or ``failed`` for the key of every committed cell."""
        # In files of many are those that worked.
        return dict(sorted({**dict.fromkeys(self.compacted.keys(), "ok"), **self._of_single()}.items()))

    def _of_single(self) -> dict[str, str]:
        """The same of those that lie alone. One column of one row each: 500 cells take 0.1 s."""
        return {key: self._content("cells", key, ["status"])["status"][0].as_py() for key in self.single()}

    def single(self) -> list[str]:
        """The keys of the cells that lie alone, in files of their own."""
        return sorted(path.stem for path in ours((self.root / "cells").glob("*.parquet")))

    def done(self) -> set[str]:
        """The keys of the cells that are ok: those a run need not do again."""
        single = self._of_single()
        worked = {key for key, status in single.items() if status == "ok"}
        return ({*self.compacted.keys()} - single.keys()) | worked

    def cells(self) -> pa.Table:
        """All committed cells, failed ones too, by key."""
        return self._table("cells", self._keys())

    def columns(self, *names: str) -> list[dict[str, Any]]:
        """These columns of each committed cell whose file can be read: rows, and less to read than all."""
        return list(self.listing(*names).sort_by("key").select([*names]).to_pylist())

    def listing(self, *names: str) -> pa.Table:
        """The same with the key as a table, in the order of the files."""
        names = tuple(dict.fromkeys(("key", *names)))
        parts = [pa.schema(map(CELLS.field, names)).empty_table()]
        alone, latest = {*self.single()}, self.compacted.keys()
        files = self.compacted.files()
        once = len(latest) == sum(len(file.keys) for file in files) and alone.isdisjoint(latest)
        for file in files:
            with suppress(StoreError):
                found = file.rows(names).replace_schema_metadata()
                keys = [] if once else found["key"].to_pylist()
                of_file = [latest.get(key) is file and key not in alone for key in keys]
                parts.append(found if once else found.filter(of_file))
        for key in alone:
            with suppress(StoreError):
                parts.append(self._content("cells", key, [*names]).replace_schema_metadata())
        return pa.concat_tables(parts)

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
        reads its rows (``many.MANY``), among which are those of the cells.
        """
        known, alone = self.compacted.keys(), {*self.single()}
        wanted = {*(known if keys is None else filter(known.__contains__, keys))} - alone
        for own, file, content in self.compacted.sound(wanted):
            yield own, partial(file.rows_in, content)

    def cell(self, key: str) -> pa.Table:
        """The row of a cell."""
        return self._content("cells", key)

    def numbers(self, key: str) -> Numbers:
        """Metrics, samples and findings of a cell that is ok."""
        found = self._content("analyses", key) if self._has("analyses", key) else ANALYSES.empty_table()
        return self._content("metrics", key), self._content("samples", key), found

    def path(self, table: str, key: str) -> Path:
        """The file of a cell that lies alone."""
        return self.root / table / f"{key}.parquet"

    def keys(self) -> set[str]:
        """The keys of all committed cells, failed ones too."""
        return {*self.single(), *self.compacted.keys()}

    def among(self, keys: Collection[str]) -> set[str]:
        """Those of these keys that are of committed cells."""
        known = self.compacted.keys()
        return {key for key in keys if key in known} | ({*self.single()} & {*keys})

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
