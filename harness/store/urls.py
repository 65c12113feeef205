"""URLs in the place of a results directory."""

from __future__ import annotations

from pathlib import Path


def url_of(path: Path | str) -> str | None:
    """The URL that a path is, or None for a directory. A path has lost one of the two strokes of a URL."""
    protocol, colon, rest = str(path).partition(":/")
    if not colon or len(protocol) < 2 or not protocol.replace("+", "").isalnum():
        return None
    return f"{protocol}://{'/' if protocol == 'file' else ''}{rest.lstrip('/')}"


def as_written(path: Path | str) -> str:
    """A results directory as people write it: a URL with both of its strokes."""
    return url_of(path) or str(path)
