"""`harness results compact`: the cells of a results directory that worked go into a few files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..core.files import ours
from ..errors import StoreError
from . import claims
from .atomic import parquet_bytes, write_atomically
from .compacted import Stamp, batches, remove_as_read, stamp
from .many import NUMBERS, ManyCells, as_one_row, table_of
from .store import Store

MOST = 4096
"""Cells of a file."""

GROUP = 128
"""Cells that are read at once: whoever wants one reads so many."""

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
    sound = {key for key, cell in store.stored(stamps).items() if cell.status == "ok"}
    small = [file for file in many.files() if len(file.places) < most]
    again = [key for file in small for key in file.places if latest[key] is file and key not in sound]
    if sound or len(small) > 1:
        number = many.last()
        for keys in batches(sorted([*sound, *again]), most):
            number += 1
            rows = [_row(store, None if key in sound else latest[key], key) for key in keys]
            content = parquet_bytes(table_of(rows), rows=GROUP)
            write_atomically(many.directory / f"{number:06d}.parquet", content)
            for key in sound.intersection(keys):
                for name, read in stamps[key].items():
                    remove_as_read(store.path(name, key), read)
        for file in small:
            file.path.unlink(missing_ok=True)
    _sweep(store)
    return Compaction(len(sound), len(many.paths()), len(stamps.keys() - sound))


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
