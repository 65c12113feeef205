"""Where results on an object store lie on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..core.events import Event, Tell
from ..core.keys import key
from ..engine.cache import cache_directory
from ..errors import StoreError
from ..store import packed
from ..store.remote import Remote
from ..store.store import Store
from ..store.urls import url_of

DIGITS = 16
"""Of the digest of a URL in the name of its directory."""


def here(results: Path | str) -> Path:
    """The directory of a results directory: itself, or that which stands for a URL and holds what is there.

    Raises StoreError where what is there cannot be had.
    """
    if (url := url_of(results)) is None:
        return Path(results)
    root = cache_directory() / "results" / key(url.rstrip("/"))[:DIGITS]
    Remote(url, root).begin()
    return root


def send(directory: Path) -> None:
    """Bring what a directory holds alone to the URL that it stands for, if it stands for any.

    Raises StoreError, with where it is kept, if something could not be brought there.
    """
    if remote := Remote.of(directory):
        try:
            remote.push()
        except StoreError as error:
            raise StoreError(
                f"{error} What was computed is kept in {directory}; run again to bring it there."
            ) from error


def sending(directory: Path, tell: Tell) -> Tell:
    """What hears of a cell after ``tell`` has, and brings it to the URL that the directory stands for.

    What cannot be brought there now goes with :func:`send`.
    """
    remote = Remote.of(directory)
    if remote is None:
        return tell

    def send_too(event: Event) -> None:
        tell(event)
        if event.cell:
            with suppress(StoreError):
                remote.send(event.key)

    return send_too


def stores(places: Iterable[Path | str]) -> list[Store]:
    """The results in these directories or URLs. Raises StoreError where there is none."""
    return packed.stores([here(place) for place in places])


def local(path: Path) -> Path:
    """A place to write to. Raises StoreError for a URL: what is no result is written to directories alone."""
    if url := url_of(path):
        raise StoreError(f"Nothing is written to {url} but cells: name a directory, and copy it there.")
    return path
