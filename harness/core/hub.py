"""What comes from the Hugging Face hub: fetched once, and what `harness prepare` fetched is used as it was.

A repository is used at one commit, from the hub client's own cache. Which commit, and the SHA-256 of each
file, stands in a file of the harness's cache; no request is made for what stands there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import DataError, HarnessError
from .keys import file_digest

RECORD = "prepared.json"
"""Where in the cache `harness prepare` writes what it fetched."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The files of a model or data set (``kind``) of the hub at one commit."""

    kind: str
    repo: str
    requested: str | None
    """The revision that was asked for: a branch, a tag or a commit; None is the main branch."""
    revision: str
    """The commit."""
    files: tuple[tuple[str, str], ...]
    """Each file's path in the repository and its SHA-256."""
    size: int
    """Bytes of all files."""


class Hub:
    """The hub as one run sees it, with ``prepared`` standing for the hub's own answers."""

    def __init__(self, prepared: Iterable[Fetched] = ()) -> None:
        self.prepared = tuple(prepared)
        self.fetched: dict[tuple[str, str, str | None], Path] = {}
        """What was asked for so far, by kind, repository and revision, and where it is."""

    def dataset(self, repo: str, patterns: list[str]) -> Path:
        """The directory with a data set's files that fit ``patterns``. Raises HarnessError, DataError."""
        try:
            return self.fetch("dataset", repo, patterns)
        except HarnessError:
            raise
        except Exception as error:  # the hub client raises a dozen unrelated classes when it is out of reach
            reason = (str(error).strip() or "no reason given").splitlines()[0]
            raise HarnessError(
                f"The data set {repo} could not be had from the hub ({type(error).__name__}: {reason}). Run "
                "`harness prepare` where there is a network, or give a directory or file of it instead."
            ) from error

    def fetch(self, kind: str, repo: str, patterns: list[str], revision: str | None = None) -> Path:
        """The directory with a repository's files that fit ``patterns``, as :meth:`dataset`.

        Raises DataError where a file is no longer what was prepared, and whatever the hub client raises.
        """
        known = next(
            (
                entry
                for entry in self.prepared
                if (entry.kind, entry.repo) == (kind, repo) and revision in (entry.requested, entry.revision)
            ),
            None,
        )
        directory = _as_prepared(known, patterns) if known else _download(kind, repo, patterns, revision)
        self.fetched[kind, repo, revision] = directory
        return directory


def _download(kind: str, repo: str, patterns: list[str], revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, repo_type=kind, revision=revision, allow_patterns=patterns))


def _as_prepared(known: Fetched, patterns: list[str]) -> Path:
    """From the hub client's cache without a request if all is there, else the same commit from the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    directory = None
    with suppress(LocalEntryNotFoundError):
        there = snapshot_download(
            known.repo, repo_type=known.kind, revision=known.revision, local_files_only=True
        )
        directory = Path(there)
    if directory is None or not all((directory / name).is_file() for name, _ in known.files):
        directory = _download(known.kind, known.repo, patterns, known.revision)
    check(known, directory)
    return directory


def describe(kind: str, repo: str, requested: str | None, directory: Path) -> Fetched:
    """What is there of a repository: ``directory`` is the hub client's directory, named after the commit."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    files = tuple((path.relative_to(directory).as_posix(), file_digest(path)) for path in paths)
    return Fetched(kind, repo, requested, directory.name, files, sum(path.stat().st_size for path in paths))


@lru_cache
def check(known: Fetched, directory: Path) -> None:
    """Raise DataError for the first file that is not what `harness prepare` fetched.

    Files are read once per process: weights can be large.
    """
    for name, digest in known.files:
        path = directory / name
        if not path.is_file() or file_digest(path) != digest:
            raise DataError(
                path,
                f"this is not what `harness prepare` fetched of {known.repo}: its SHA-256 is another; "
                f"delete {path.resolve()} and run `harness prepare` again",
            )


def recorded(cache: Path) -> tuple[Fetched, ...]:
    """What `harness prepare` fetched; nothing where it never ran. Raises DataError for a broken record."""
    path = cache / RECORD
    if not path.is_file():
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Fetched(**{**e, "files": tuple(map(tuple, e["files"]))}) for e in entries)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            path, "this is no record of `harness prepare`; delete it and run that again"
        ) from error


def as_json(entries: Iterable[Fetched]) -> bytes:
    """The content of the record."""
    return (json.dumps([asdict(entry) for entry in entries], indent=2) + "\n").encode()
