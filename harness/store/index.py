"""What lies in files of many cells, in one file beside them: opening reads none of theirs.

    <root>/compacted/index.parquet    a row for each cell in them: its file, its key, and whether it is sound

It is written last, and only says what the files say: where it lacks a file, or names one of another size,
that file is opened. A cell that was looked at when it was compacted need not be looked at again as long as
its file has the digest that stands here, and the code that looks is the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq

from ..core import intervals as core_intervals
from ..core import keys, names
from ..core.keys import files_fingerprint
from . import decided, integrity, intervals, rules, schema, shape
from .atomic import parquet_bytes, write_atomically

NAME = "index.parquet"

CELLS = pa.schema([("key", pa.string()), ("sound", pa.bool_())])
FILES = b"files"
"""In the metadata: name, size, digest and number of cells of each file, in the order of the rows."""
CHECKS = b"checks"
"""In the metadata: the digest of the code that looked at the cells."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index says of a file; ``sound`` are the cells that need not be looked at again."""

    keys: Sequence[str]
    size: int
    digest: str
    sound: frozenset[str]

    @classmethod
    def of(cls, content: bytes, keys: Sequence[str], sound: frozenset[str]) -> Indexed:
        """Of a file with this content."""
        return cls(keys, len(content), sha256(content).hexdigest(), sound)

    def content(self, path: Path) -> bytes | None:
        """The file, if it holds what it held when its cells were looked at."""
        with suppress(OSError):
            content = path.read_bytes()
            if sha256(content).hexdigest() == self.digest:
                return content
        return None


@lru_cache
def checks() -> str:
    """Of the code that says what is wrong with a cell."""
    ours: tuple[ModuleType, ...] = (decided, integrity, intervals, rules, schema, shape)
    core: tuple[ModuleType, ...] = (core_intervals, keys, names)
    return files_fingerprint(str(module.__file__) for module in (*ours, *core))


def read(directory: Path) -> dict[str, Indexed]:
    """By name, the files that are as the index says. Empty where there is none that can be read."""
    try:
        with pq.ParquetFile(directory / NAME) as file:
            table = file.read(use_threads=False)
        told = table.schema.metadata or {}
        versions = all(told[name] == version for name, version in schema.CELLS.metadata.items())
        files = json.loads(told[FILES]) if versions and table.schema.equals(CELLS) else []
        ends = [0, *accumulate(cells for *_, cells in files)]
        if ends[-1] != table.num_rows:
            return {}
        table.validate(full=True)
        same = told[CHECKS].decode() == checks()
        found = {}
        for (name, size, digest, _), (begin, end) in zip(files, pairwise(ends), strict=True):
            path = directory / name
            if path.is_file() and path.stat().st_size == size:
                of_file = table.slice(begin, end - begin)
                sound = of_file.filter(of_file["sound"])["key"].to_pylist() if same else []
                found[name] = Indexed(of_file["key"].to_pylist(), size, digest, frozenset(sound))
        return found
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, pa.ArrowException):
        return {}  # it holds nothing that does not stand elsewhere


def write(directory: Path, files: Mapping[str, Indexed]) -> None:
    """Write the index of these files, by name. Raises StoreError."""
    told = [[name, file.size, file.digest, len(file.keys)] for name, file in files.items()]
    rows = [(key, key in file.sound) for file in files.values() for key in file.keys]
    found, sound = zip(*rows, strict=True) if rows else ((), ())
    metadata = {**schema.CELLS.metadata, FILES: json.dumps(told), CHECKS: checks()}
    table = pa.table([found, sound], CELLS.with_metadata(metadata))
    write_atomically(directory / NAME, parquet_bytes(table))
