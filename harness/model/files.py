"""Which files of a model directory decide what it computes, and whether they are still what they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..core.keys import file_digest, key

WEIGHTS = ("*.safetensors", "*.bin")
PATTERNS = (
    *WEIGHTS,
    *("*.json", "*.txt", "*.py"),
    *("*.model", "tokenizer.model*", "*.tiktoken", "*.spm", "*.vocab", "*.bpe", "*.codes", "*.tokenizer"),
    *("*.jinja", "additional_chat_templates/*.jinja"),
)
"""What transformers reads of a model: weights, configuration, tokenizer, chat templates, code."""

Stamp = tuple[int, int, int]
"""Size, and when content and entry were changed: while they stay, so does the content."""


def files_of(directory: Path) -> dict[str, Path]:
    """The files of a model directory that decide what it computes, by their path in it; of a file, itself."""
    if directory.is_file():
        return {"": directory}
    own = (path for pattern in PATTERNS for path in directory.glob(pattern))
    named = {path.relative_to(directory).as_posix(): path for path in own}
    named |= {name: directory / name for name in _shards(directory)}
    return {name: path for name, path in sorted(named.items()) if path.is_file()}


def _shards(directory: Path) -> Iterator[str]:
    """The files that an index of weights names: they may lie deeper."""
    for index in directory.glob("*.index.json"):
        try:
            shards = json.loads(index.read_bytes())["weight_map"].values()
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue  # whoever loads the model says what is wrong with it
        yield from {shard for shard in shards if isinstance(shard, str) and "\0" not in shard}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The deciding files of a model directory at one moment: path in it, stamp and SHA-256 of each."""

    files: tuple[tuple[str, Stamp, str], ...]

    @property
    def fingerprint(self) -> str:
        """One digest of all of them; it does not depend on where the directory is."""
        return key(["files", sorted((name, digest) for name, _, digest in self.files)])

    def changed(self, directory: Path) -> str | None:
        """The first file that is not what it was. Only those with another stamp are read again."""
        before = {name: (stamp, digest) for name, stamp, digest in self.files}
        now = files_of(directory)
        for name in sorted(before.keys() | now.keys()):
            if name not in now or name not in before:
                return name
            stamp, digest = before[name]
            if _stamp(now[name]) != stamp and file_digest(now[name]) != digest:
                return name
        return None


def snapshot_of(directory: Path) -> Snapshot:
    """The files as they are now. Read once per process while their stamps stay: weights can be large."""
    return _hashed(directory, tuple((name, _stamp(path)) for name, path in files_of(directory).items()))


@lru_cache
def _hashed(directory: Path, stamps: tuple[tuple[str, Stamp], ...]) -> Snapshot:
    return Snapshot(tuple((name, stamp, file_digest(directory / name)) for name, stamp in stamps))


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
