"""`harness results compact`: the cells of a results directory that worked go into a few files."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..core.files import ours
from ..errors import StoreError
from . import claims
from .atomic import parquet_bytes, write_atomically
from .compacted import Stamp, batches, remove_as_read, stamp
from .index import Indexed
from .many import NUMBERS, ManyCells, as_one_row, table_of
from .remote import Remote
from .store import Store

MOST = 4096
"""Cells of a file."""

GROUP = 1 << 22
"""Bytes of cells that are read at once, some thousand small ones: whoever wants one reads so many."""

TABLES = ("cells", *(name for name, _ in NUMBERS))
"""The row first: without it the other tables of a cell do not exist."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """How many cells went into files of many, how many files of them there are, and how many stay alone."""

    moved: int
    files: int
    left: int


def compact(store: Store, most: int = MOST) -> Compaction:
    """Bring cells that lie alone into files of many, if they worked and nothing is wrong with them.

    A file that is not full is written anew with them. Runs may commit meanwhile, and a compaction that was
    killed is finished by the next. Raises StoreError while another process does the same, and where a file
    cannot be written or is damaged.
    """
    if remote := Remote.of(store.root):
        raise StoreError(
            f"{remote.url} is on an object store, where nothing is compacted: bring its cells into a "
            "directory by `harness leaderboard merge`, compact that, and copy it there."
        )
    claim = claims.take(store.root / "claims" / "compact")
    if claim is None:
        raise StoreError(f"Another process compacts {store.root}: wait until it has ended.")
    try:
        return _compact(store, most)
    finally:
        claim.release()


def _compact(store: Store, most: int) -> Compaction:
    many = store.compacted
    latest = dict(many.keys())
    stamps = {key: _stamps(store, key) for key in store.single()}
    sound = {key for key, cell in store.looked_at(stamps) if cell.status == "ok"}
    small = [file for file in many.files() if len(file.keys) < most]
    again = [key for file in small for key in file.keys if latest[key] is file and key not in sound]
    made: dict[Path, Indexed] = {}
    if sound or len(small) > 1:
        number = many.last()
        looked_at = sound | _sound(store, [key for key in again if key not in stamps])
        for keys in batches(sorted([*sound, *again]), most):
            number += 1
            rows = [_row(store, None if key in sound else latest[key], key) for key in keys]
            content = content_of(table_of(rows))
            path = many.directory / f"{number:06d}.parquet"
            write_atomically(path, content)
            made[path] = Indexed.of(content, keys, frozenset(looked_at.intersection(keys)))
            for key in sound.intersection(keys):
                for name, read in stamps[key].items():
                    remove_as_read(store.path(name, key), read)
        for file in small:
            file.path.unlink(missing_ok=True)
    _sweep(store)
    many.index({**made, **_look(store, made)})
    return Compaction(len(sound), len(many.paths()), len(stamps.keys() - sound))


def content_of(cells: pa.Table) -> bytes:
    """The file of many cells. A group of rows takes time by itself, and memory while its cells are read."""
    return parquet_bytes(cells, rows=max(1, GROUP * cells.num_rows // max(cells.nbytes, 1)))


def _look(store: Store, made: Collection[Path]) -> dict[Path, Indexed]:
    """Look at the cells of files that the index lacks, or whose cells were looked at by other code."""
    many, found = store.compacted, {}
    latest, single = many.keys(), {*store.single()}
    for file in many.files():
        told = many.indexed(file)
        if file.path not in made and (told is None or not told.sound):
            own = [key for key in file.keys if latest[key] is file and key not in single]
            content = file.path.read_bytes()
            found[file.path] = Indexed.of(content, file.keys, frozenset(_sound(store, own)))
    return found


def _sound(store: Store, keys: list[str]) -> set[str]:
    """Those of cells in files of many that are ok, each looked at where it was not when it was compacted."""
    vouched = {key for own, _ in store.vouched(keys) for key in own}
    rest = (key for key in keys if key not in vouched)
    return vouched | {key for key, cell in store.looked_at(rest) if cell.status == "ok"}


def _sweep(store: Store) -> None:
    """Remove the numbers that one which was killed has left of cells whose rows it had removed.

    They are older than the file of many that has them; those of a cell that is just committed are not.
    """
    latest, single = store.compacted.keys(), set(store.single())
    for name, _ in NUMBERS:
        for path in ours((store.root / name).glob("*.parquet")):
            if path.stem in latest and path.stem not in single:
                with suppress(FileNotFoundError):
                    there = stamp(path)
                    if there[1] < latest[path.stem].path.stat().st_mtime_ns:
                        remove_as_read(path, there)


def _stamps(store: Store, key: str) -> dict[str, Stamp]:
    """The files of a cell that lies alone, as they are before they are read."""
    paths = {name: store.path(name, key) for name in TABLES}
    return {name: stamp(path) for name, path in paths.items() if path.is_file()}


def _row(store: Store, file: ManyCells | None, key: str) -> dict[str, Any]:
    if file:
        return as_one_row(file.cell(key))
    numbers = dict(zip((name for name, _ in NUMBERS), store.numbers(key), strict=True))
    return as_one_row({"cells": store.cell(key), **numbers})
