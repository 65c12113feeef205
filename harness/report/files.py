"""A leaderboard as files: two tables, and the pages that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import StoreError
from ..leaderboard import board, columns, curves, origin
from ..leaderboard.groups import Groups
from ..store import shape
from ..store.atomic import parquet_bytes, write_atomically
from . import heatmap
from .markdown import markdown
from .page import NAME, html

TABLE, CURVES, README = "leaderboard.parquet", "curves.parquet", "README.md"

TASKS = "lm_eval_tasks"
"""A column that holds a JSON object, as those of settings do."""


class Published(NamedTuple):
    """The rows, and the relearning curves behind their scores."""

    board: pa.Table
    curves: pa.Table

    def pages(self) -> Mapping[str, bytes]:
        """By name, the files that people read. The same tables give the same bytes."""
        return {
            **heatmap.files(self.board.to_pylist()),
            README: markdown(self.board).encode(),
            NAME: html(self.board, self.curves).encode(),
        }

    def files(self) -> Mapping[str, bytes]:
        """By name, all files of the leaderboard."""
        tables = {TABLE: parquet_bytes(self.board), CURVES: parquet_bytes(self.curves)}
        return {**tables, **self.pages()}


def build(groups: Groups) -> Published:
    """The leaderboard of grouped cells, and its curves."""
    rows = origin.marked(board.build(groups), groups)
    return Published(rows, curves.build(rows, groups))


def write(files: Mapping[str, bytes], directory: Path) -> None:
    """Write files to a directory, each whole or not at all."""
    for name, content in files.items():
        write_atomically(directory / name, content)


def read(directory: Path) -> Published:
    """The tables of a leaderboard. Raises StoreError where one lacks, or this version cannot read it."""
    return Published(
        _table(directory / TABLE, columns.COLUMNS),
        _table(directory / CURVES, curves.COLUMNS),
    )


def _table(path: Path, expected: columns.Columns) -> pa.Table:
    if not path.is_file():
        raise StoreError(f"There is no {path}; name the directory of a leaderboard.")
    try:
        # By its own reader: read_table() would take directories and partitions as well.
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)
        if lacking := [name for name in expected if name not in table.column_names]:
            names = ", ".join(lacking)
            raise StoreError(f"{path} lacks the columns {names}: build it again with this version.")
        return _sound(table, expected)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise StoreError(
            f"{path} is damaged or cannot be read ({str(error).splitlines()[0]}); build it again."
        ) from error


def _sound(table: pa.Table, expected: columns.Columns) -> pa.Table:
    """The columns with their meanings as this version has them. Raises ArrowInvalid for odd ones."""
    table.validate(full=True)
    for name, (kind, _) in expected.items():
        if (found := table.schema.field(name).type) != kind:
            raise pa.ArrowInvalid(f"its column '{name}' is {found} and not {kind}")
        if name in (*columns.NAMES, *columns.HASHES) and table[name].null_count:
            raise pa.ArrowInvalid(f"its column '{name}' has no value")
        if name in (*columns.CONFIGS, TASKS):
            for text in filter(None, table[name].to_pylist()):
                shape.json_object(name, text)
    sound = pa.table([table[name] for name in expected], columns.schema(expected))
    return sound.replace_schema_metadata(table.schema.metadata)


def page(directory: Path) -> Path:
    """The page in a leaderboard's directory. Raises StoreError where there is none."""
    if not (path := directory / NAME).is_file():
        raise StoreError(
            f"There is no {path}; run `harness leaderboard build --out {directory}`, or name another "
            "directory."
        )
    return path.resolve()
