"""Files that travel between machines which share no disk: those of one model, or one table of a cell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...core.aside import aside
from ...errors import StoreError
from ...store.atomic import write_atomically

LAST = "cells"
"""The directory of results whose files say that others are whole: listed first, and sent last."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A file, or a directory with its files, that belongs at ``path`` below ``root``."""

    root: str
    """``results`` or ``cache``."""
    path: str
    """Two names: a kind of things, and the thing."""
    files: dict[str, bytes]
    """By their names in the directory; under ``""`` the file itself."""

    @classmethod
    def of(cls, root: str, directory: Path, path: str) -> Parcel:
        """What is at ``path`` below the directory that is the root here."""
        whole = directory / path
        if whole.is_file():
            return cls(root, path, {"": whole.read_bytes()})
        names = sorted(file.relative_to(whole).as_posix() for file in whole.rglob("*") if file.is_file())
        return cls(root, path, {name: (whole / name).read_bytes() for name in names})

    def put(self, directory: Path) -> None:
        """Put it in its place below ``directory``, whole or not at all. Raises StoreError.

        A file takes the place of another; a directory that is there stays.
        """
        whole = directory / self.path
        if "" in self.files:
            write_atomically(whole, self.files[""])
            return
        part = aside(whole)
        try:
            for name, content in self.files.items():
                write_atomically(part / name, content)
            if not whole.exists():
                os.replace(part, whole)
        except OSError as error:
            raise StoreError(f"{whole} could not be written ({error.strerror or error}).") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)


def things(directory: Path) -> Iterator[str]:
    """All that is whole two levels below a directory, by path; what makes others whole comes last."""
    kinds = sorted(_names(directory), key=lambda kind: kind != LAST)
    found = [f"{kind}/{name}" for kind in kinds for name in _names(directory / kind)]
    yield from sorted(found, key=lambda path: path.startswith(f"{LAST}/"))


def _names(directory: Path) -> list[str]:
    """What is in a directory, without what is being written there."""
    return sorted(path.name for path in directory.glob("*") if not path.name.startswith("."))
