"""A results directory of many cells in a few files: `harness results compact`.

    <root>/compacted/000001.parquet    some thousand cells that worked, as in a pack; of two the later counts

Beside them is what they hold, in short (``index.py``). What a run commits afterwards lies in files of its own
as ever, and goes before them. Nothing is lost at any moment: a
file of many cells is there, synced, before those of its single cells go, and one that was committed anew
meanwhile stays.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ..core.aside import aside
from ..core.files import ours
from . import index
from .index import Indexed
from .many import Cell, ManyCells

FOLDER = "compacted"

Stamp = tuple[int, int]
"""Which file it is, and when it was written."""


class Compacted:
    """The cells of a results directory that lie in files of many. Keys are read when they are asked for."""

    def __init__(self, root: Path) -> None:
        self.directory = root / FOLDER
        self._files: dict[Path, ManyCells] = {}
        self._indexed: dict[Path, Indexed] = {}
        self._latest: dict[str, ManyCells] = {}

    def refresh(self) -> None:
        """Look at the files as they are now; new ones are opened. Raises StoreError for a damaged one."""
        paths = self.paths()
        if paths == [*self._files]:
            return
        told = index.read(self.directory)
        self._indexed = {path: told[path.name] for path in paths if path.name in told}
        self._files = {path: self._files.get(path) or self._opened(path) for path in paths}
        self._latest = {key: file for file in self._files.values() for key in file.keys}

    def _opened(self, path: Path) -> ManyCells:
        return ManyCells(path, self._indexed[path].keys if path in self._indexed else None)

    def sound(self, keys: Collection[str]) -> Iterator[tuple[frozenset[str], ManyCells, bytes]]:
        """Of these cells those that need not be looked at again, with their file and its content.

        Nothing was wrong with them when they were compacted, and the file holds what it held then.
        """
        self.refresh()
        asked: dict[ManyCells, list[str]] = defaultdict(list)
        for key in keys:
            asked[self._latest[key]].append(key)
        for file in self._files.values():
            told, own = self._indexed.get(file.path), asked.get(file, ())
            sound = told.sound.intersection(own) if told else frozenset()
            if told and sound and (content := told.content(file.path)) is not None:
                yield sound, file, content

    def indexed(self, file: ManyCells) -> Indexed | None:
        """What the index says of a file."""
        return self._indexed.get(file.path)

    def index(self, known: Mapping[Path, Indexed]) -> None:
        """Have the index say this of these files, and of others what it said. Raises StoreError."""
        if known:
            self.refresh()
            self._indexed |= {path: told for path, told in known.items() if path in self._files}
            index.write(self.directory, {path.name: told for path, told in self._indexed.items()})

    def paths(self) -> list[Path]:
        """The files, the earliest first."""
        return sorted(ours(self.directory.glob("[0-9]*.parquet")), key=lambda path: int(path.stem))

    def files(self) -> list[ManyCells]:
        """The files, opened."""
        self.refresh()
        return [*self._files.values()]

    def last(self) -> int:
        """The number of the last file; 0 where there is none."""
        return max((int(path.stem) for path in self.paths()), default=0)

    def keys(self) -> Mapping[str, ManyCells]:
        """The file of each cell."""
        self.refresh()
        return self._latest

    def cell(self, key: str) -> Cell | None:
        """The tables of a cell, or None where it is in no such file."""
        if key not in self._latest:
            self.refresh()
        while key in self._latest:
            file = self._latest[key]
            try:
                return file.cell(key)
            except Exception:
                if file.path.is_file():
                    raise
                self.refresh()  # its cells are in a later file now
        return None


def stamp(path: Path) -> Stamp:
    """What changes when a file is written again."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def remove_as_read(path: Path, read: Stamp) -> None:
    """Remove a file if it is still the one that was read. Who writes it anew at this moment loses nothing."""
    part = aside(path)
    with suppress(FileNotFoundError):
        os.rename(path, part)
        if stamp(part) != read:
            with suppress(FileExistsError):  # a still later one is there by now
                os.link(part, path)
        part.unlink()


def batches(keys: list[str], most: int) -> Iterator[list[str]]:
    """The keys, so many at a time."""
    for begin in range(0, len(keys), most):
        yield keys[begin : begin + most]
