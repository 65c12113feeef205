"""Results on an object store, by any URL that fsspec knows: a directory of this machine stands for it.

    <root>/remote    the URL that the directory stands for

A cell is committed here, as ever, and whoever runs the grid brings it there when it hears of it: an object is
there whole or not at all, its row last. What lies there and not here is fetched before anything is read. What
could not be brought there stays here, and goes when the directory is opened again, so nothing that was
computed is lost. Workers know nothing of it: packages of object stores start threads, which would be taken
for a plugin's.

Machines that run in one place do not hold claims against each other. A cell that two of them made has one key
and lies there once: the one that came last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ..core.files import ours
from ..errors import StoreError, one_line
from .atomic import write_atomically
from .compacted import FOLDER, Compacted
from .many import INNER, TABLES

MARKER = "remote"

CLOCKS = 60.0
"""Seconds by which clocks of machines may differ."""

KINDS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""By protocol, the package that knows it, where fsspec alone does not."""

NUMBERS = tuple(INNER)
"""The tables but that of the cells' rows."""

DENIED = ("Credentials", "PermissionError", "Forbidden", "AccessDenied", "TokenRetrieval")
ABSENT = ("FileNotFound", "NoSuchBucket")


class Remote:
    """The objects below a URL, and the directory ``root`` of this machine that stands for them."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = url.rstrip("/"), root
        with self._said():
            from fsspec.core import url_to_fs

            self._fs, self._base = url_to_fs(self.url)

    @classmethod
    def of(cls, root: Path) -> Remote | None:
        """What a directory stands for, if it stands for anything."""
        marker = root / MARKER
        return cls(marker.read_text(), root) if marker.is_file() else None

    def begin(self) -> None:
        """Have the directory stand for the URL, and hold what is there. Raises StoreError, a sentence."""
        write_atomically(self.root / MARKER, self.url.encode())
        self.pull()

    def pull(self) -> None:
        """Fetch what is there and not here, or newer there. Raises StoreError."""
        with self._said():
            self._fs.invalidate_cache()
            # Rows first: what they need was there before them, and so is in the lists that come later.
            there = self._listed("cells")
            for table in (*NUMBERS, FOLDER):
                there = self._listed(table) | there
            for name, info in there.items():
                if self._is_news(name, info):
                    self._fetch(name, info)
        self._drop(there)

    def push(self) -> None:
        """Bring there what is here alone. Raises StoreError, also where nothing may be written there."""
        self.put(self.root / MARKER, self.url.encode())
        with self._said():
            self._fs.invalidate_cache()
            for table in (*NUMBERS, "cells"):
                there = self._listed(table)
                for path in sorted(ours((self.root / table).glob("*.parquet"))):
                    info = there.get(f"{table}/{path.name}")
                    if info is None or info["size"] != path.stat().st_size:
                        self.put(path, path.read_bytes())

    def send(self, key: str) -> None:
        """Bring a cell there that lies here. Raises StoreError."""
        for table in (*NUMBERS, "cells"):
            path = self.root / table / f"{key}.parquet"
            if path.is_file():
                self.put(path, path.read_bytes())

    def put(self, path: Path, content: bytes) -> None:
        """Write an object, whole or not at all. Raises StoreError."""
        with self._said():
            self._fs.pipe_file(f"{self._base}/{path.relative_to(self.root).as_posix()}", content)

    def _listed(self, table: str) -> dict[str, Mapping[str, Any]]:
        """The objects of a table, by their name below the URL."""
        found = self._fs.find(f"{self._base}/{table}", detail=True)
        return {f"{table}/{Path(at).name}": info for at, info in found.items() if at.endswith(".parquet")}

    def _is_news(self, name: str, info: Mapping[str, Any]) -> bool:
        path = self.root / name
        if not path.is_file():
            return True
        # What is newer here could not be brought there when it was committed.
        here, there = path.stat(), _written(info)
        return there > here.st_mtime + CLOCKS or (there > here.st_mtime and info["size"] != here.st_size)

    def _fetch(self, name: str, info: Mapping[str, Any]) -> None:
        try:
            content = self._fs.cat_file(f"{self._base}/{name}")
        except FileNotFoundError:
            return  # it was compacted at this moment
        write_atomically(self.root / name, content)
        if _written(info):
            os.utime(self.root / name, (_written(info),) * 2)

    def _drop(self, there: Mapping[str, Any]) -> None:
        """Remove files of many that are gone there, and files of single cells that are in files of many."""
        for path in ours((self.root / FOLDER).glob("*.parquet")):
            if f"{FOLDER}/{path.name}" not in there:
                path.unlink(missing_ok=True)
        many = Compacted(self.root).keys()
        for table in TABLES:
            for path in ours((self.root / table).glob("*.parquet")):
                if f"{table}/{path.name}" not in there and path.stem in many:
                    path.unlink(missing_ok=True)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Have whatever goes wrong say what to do about it."""
        try:
            yield
        except StoreError:
            raise
        except ImportError as error:
            package = KINDS.get(self.url.partition(":")[0], "the package that knows it")
            raise StoreError(f"{self.url} needs {package}: install it with pip.") from error
        except Exception as error:
            if type(error).__module__ == "builtins" and not isinstance(error, OSError | ValueError):
                raise  # a bug, and not what packages of object stores raise
            raise StoreError(f"{self.url} {_reason(error)}") from error


def _written(info: Mapping[str, Any]) -> float:
    """When an object was written, in seconds; 0 where nobody says."""
    names = ("LastModified", "last_modified", "mtime", "created")
    found = next((info[name] for name in names if info.get(name)), 0)
    return found.timestamp() if isinstance(found, datetime) else float(found)


def _reason(error: BaseException) -> str:
    """What is wrong, by the names of the errors that lie behind one."""
    names, seen = [], error
    while seen is not None:
        names += [kind.__name__ for kind in type(seen).__mro__]
        names.append(str(seen))
        seen = seen.__cause__ or seen.__context__  # type: ignore[assignment]
    text = " ".join(names)
    if isinstance(error, ValueError) and "rotocol" in text:
        return "has a protocol that fsspec does not know; use s3://BUCKET/PREFIX or another that it lists."
    if any(name in text for name in ABSENT):
        return "is not there: make the bucket first, or correct its name."
    if any(name in text for name in DENIED):
        return "cannot be used with these credentials, or there are none: set them as its package says."
    return f"cannot be reached ({one_line(error)}): try again when the network is there."
