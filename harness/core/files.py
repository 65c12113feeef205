"""Files that are somebody's, and not what an operating system puts beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

SIDE = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


def ours(paths: Iterable[Path]) -> Iterator[Path]:
    """The paths without side files: ``._name`` beside ``name``, ``.DS_Store``, all below ``__MACOSX``."""
    return (path for path in paths if not path.name.startswith("._") and not {*path.parts} & {*SIDE})
