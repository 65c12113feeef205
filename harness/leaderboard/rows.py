"""Rows of tables, read by column, since there may be millions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from .identity import COLUMNS, GroupId


class Columns(dict[str, list[Any]]):
    """The columns of a table as lists, each made when it is first asked; equal texts are one object."""

    def __init__(self, table: pa.Table) -> None:
        super().__init__()
        self.table = table

    def __missing__(self, name: str) -> list[Any]:
        column = self.table[name]
        if pa.types.is_string(column.type):
            texts, of = codes(column)
            self[name] = [texts[code] for code in of.tolist()]
        else:
            self[name] = list(column.to_pylist())
        return self[name]

    @cached_property
    def which(self) -> list[GroupId]:
        """Of rows of ``cells``, what each measures: one object for those that share it."""
        return [*map(GroupId.made, zip(*(self[name] for name in COLUMNS), strict=True))]

    def rows(self) -> list[Row]:
        """The rows."""
        return [Row(self, row) for row in range(self.table.num_rows)]


class Row(Mapping[str, Any]):
    """A row of a table, of which no more is read than is asked."""

    __slots__ = ("_columns", "_row")

    def __init__(self, columns: Columns, row: int) -> None:
        self._columns, self._row = columns, row

    @property
    def which(self) -> GroupId:
        """What it measures, if it is one of ``cells``."""
        return self._columns.which[self._row]

    def __getitem__(self, name: str) -> Any:
        return self._columns[name][self._row]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns.table.column_names)

    def __len__(self) -> int:
        return self._columns.table.num_columns


def group_of(cell: Mapping[str, Any]) -> GroupId:
    """What a row of ``cells`` measures."""
    return cell.which if isinstance(cell, Row) else GroupId.of(cell)


def codes(column: pa.ChunkedArray) -> tuple[list[Any], np.ndarray]:
    """The texts of a column, null as the last one, and by row the place of its text."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    return [*texts, None], encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
