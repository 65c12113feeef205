"""A leaderboard as files: its tables, and the pages that follow from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import StoreError
from ..leaderboard import analyses, board, columns, curves, facts, origin
from ..leaderboard.groups import Groups
from ..leaderboard.labels import by_target
from ..leaderboard.rows import Columns
from ..store import shape
from ..store.atomic import parquet_bytes, write_atomically
from ..store.schema import ANALYSES as FOUND
from . import heatmap
from .documented import Documented
from .markdown import markdown
from .page import NAME, html
from .side_by_side import side_by_side

TABLE, CURVES, README = "leaderboard.parquet", "curves.parquet", "README.md"
FACTS, ANALYSES = "facts.parquet", "analyses.parquet"
TABLES = (TABLE, CURVES, FACTS, ANALYSES)
BESIDE = {FACTS: facts, ANALYSES: analyses}
"""The tables that a leaderboard may lack, by the module that makes them: older ones have none."""

DIGESTS = b"beside"
"""Where the metadata of the leaderboard's table say which of those files belong to it, by SHA-256."""

TASKS = "lm_eval_tasks"
"""A column that holds a JSON object, as those of settings do."""


MANY = 5_000
"""Rows from which on pages are made side by side."""


PICTURES_NAMED = 12
"""Heat maps that a sentence names; of more it says how many they are."""


def listed(names: Collection[str]) -> str:
    """The files of a leaderboard, for a sentence."""
    pictures = {name for name in names if name.endswith(".svg")}
    if len(pictures) <= PICTURES_NAMED:
        return ", ".join(names)
    return ", ".join([*(name for name in names if name not in pictures), f"{len(pictures)} heat maps"])


class Published(NamedTuple):
    """The rows, the relearning curves behind their scores, their facts, and what analyses found."""

    board: pa.Table
    curves: pa.Table
    facts: pa.Table = facts.SCHEMA.empty_table()
    analyses: pa.Table = analyses.SCHEMA.empty_table()

    def documented(self, docs: Path, out: Path) -> Published:
        """The same, with links from ``out`` to the pages in ``docs``. Raises ConfigError where are none."""
        return self._replace(board=Documented.pages_in(docs, out).marked(self.board))

    def pages(self) -> Mapping[str, bytes]:
        """By name, the files that people read. The same tables give the same bytes."""
        return self._made(self._page, self._readme, self._heatmaps)

    def files(self) -> Mapping[str, bytes]:
        """By name, all files of the leaderboard."""
        # The page takes as long as the others together.
        made = self._made(self._page, self._tables, self._readme, self._heatmaps)
        return {**{name: made[name] for name in TABLES if name in made}, **made}

    def _made(self, *work: Callable[[], Mapping[str, bytes]]) -> Mapping[str, bytes]:
        made = side_by_side(lambda make: make(), work) if self.board.num_rows > MANY else (m() for m in work)
        return {name: content for files in made for name, content in files.items()}

    def _page(self) -> Mapping[str, bytes]:
        return {NAME: html(*self).encode()}

    def _readme(self) -> Mapping[str, bytes]:
        return {README: markdown(self.board).encode()}

    def _heatmaps(self) -> Mapping[str, bytes]:
        rows = Columns(self.board).rows()
        targets = by_target(rows)
        made = (heatmap.files(targets[of], picture) for of, picture in heatmap.pictures(rows).items())
        return {name: content for files in made for name, content in files.items()}

    def _tables(self) -> Mapping[str, bytes]:
        there = {FACTS: self.facts, ANALYSES: self.analyses}
        beside = {name: parquet_bytes(table) for name, table in there.items() if table.num_rows}
        digests = json.dumps({name: hashlib.sha256(content).hexdigest() for name, content in beside.items()})
        marked = self.board.replace_schema_metadata({**(self.board.schema.metadata or {}), DIGESTS: digests})
        return {TABLE: parquet_bytes(marked), CURVES: parquet_bytes(self.curves), **beside}


NOTHING = FOUND.empty_table()


def build(
    groups: Groups, findings: pa.Table = NOTHING, benchmarks: board.Benchmarks | None = None
) -> Published:
    """The leaderboard of grouped cells, with the findings of analyses in the same results."""
    rows = origin.marked(board.build(groups, benchmarks), groups)
    looked = analyses.build(rows, groups, findings)
    return Published(rows, curves.build(rows, groups), facts.build(rows, groups), looked)


def write(files: Mapping[str, bytes], directory: Path) -> None:
    """Write files to a directory, each whole or not at all."""
    for name, content in files.items():
        write_atomically(directory / name, content)


def read(directory: Path) -> Published:
    """The tables of a leaderboard. Raises StoreError where one lacks, or this version cannot read it."""
    rows = _table(directory / TABLE, columns.COLUMNS)
    digests = _digests(directory / TABLE, rows)
    beside = (
        _beside(directory / name, digests.get(name), made.COLUMNS, made.SCHEMA)
        for name, made in BESIDE.items()
    )
    return Published(rows, _table(directory / CURVES, curves.COLUMNS), *beside)


def _digests(path: Path, rows: pa.Table) -> dict[str, str]:
    """The files that belong to a leaderboard's table, by name."""
    text = (rows.schema.metadata or {}).get(DIGESTS, b"{}")
    try:
        return {str(name): str(digest) for name, digest in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        raise StoreError(f"{path} is damaged or cannot be read ({error}); build it again.") from error


def _beside(path: Path, digest: str | None, expected: columns.Columns, schema: pa.Schema) -> pa.Table:
    """A table that the leaderboard names; an empty one where it names none."""
    if digest is None:
        return schema.empty_table()
    table = _table(path, expected)
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise StoreError(f"{path} is not the one that {path.with_name(TABLE)} was built with; build again.")
    return table


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
    there = {name: column for name, column in columns.OPTIONAL.items() if name in table.column_names}
    expected = {**expected, **there}
    for name, (kind, _) in expected.items():
        if (found := table.schema.field(name).type) != kind:
            raise pa.ArrowInvalid(f"its column '{name}' is {found} and not {kind}")
        if name in (*columns.NAMES, *columns.HASHES, "signature") and table[name].null_count:
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
