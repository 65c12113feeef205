"""A submission: cells that somebody computed elsewhere, in a folder that a pull request adds.

    <name>/submission.json    what the cells say they are, and the digest of every other file
    <name>/cells/*.parquet    the cells, as a pack
    <name>/runs/*.yaml        the resolved options of the runs that made them
    <name>/plugins/*.py       plugins that are in no distribution, but in a file

It is data of a stranger. Names, kinds and sizes of files are looked at before any of them is opened, and
nothing in it is ever imported here.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.keys import file_digest, key
from ..core.names import UTILITY
from ..errors import StoreError, one_line
from .atomic import write_atomically
from .decided import DIGITS
from .packed import Packed, pack
from .store import Store

FORMAT = "1"
"""Of the folder: raised when a file of it changes its meaning."""

MANIFEST, CELLS, RUNS, PLUGINS = "submission.json", "cells", "runs", "plugins"
ENDINGS = {CELLS: ".parquet", RUNS: ".yaml", PLUGINS: ".py"}
"""What the files of each folder are."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
"""Of a submission, which is the name of its folder."""

FILE_NAME = re.compile(r"\w[\w.+-]{0,199}", re.ASCII)

MOST_FILES, MOST_BYTES, MOST_IN_ALL = 500, 20 * 2**20, 64 * 2**20
"""Files of a submission, and bytes of one and of all: 340 cells of a pretrained model have 444 kB."""

MOST_CELLS, MOST_UNPACKED = 20_000, 512 * 2**20
"""Cells of a submission, and bytes that a file of them says it takes in memory."""

DIGEST = re.compile(rf"[0-9a-f]{{{DIGITS}}}")
"""The version of a plugin that is in no distribution, but in a file, whose name stands for one."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission whose files are what its manifest says. Its cells have not been looked at yet."""

    folder: Path
    files: Mapping[str, str]
    """Digest of every file, by its path in the folder."""

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.folder.name

    @property
    def content(self) -> str:
        """SHA-256 over all its files: whoever vouches for it vouches for this."""
        return key(dict(self.files))

    def cells(self) -> Packed:
        """Its cells. Raises StoreError where a file is damaged or of another version."""
        return Packed(self.folder / CELLS)

    def of_kind(self, kind: str) -> list[Path]:
        """Its files in one of the folders ``ENDINGS``."""
        return [self.folder / path for path in sorted(self.files) if path.startswith(f"{kind}/")]


def write(
    out: Path,
    sources: Sequence[Store],
    methods: Iterable[str],
    runs: Mapping[str, bytes],
    plugins: Mapping[str, bytes],
) -> Submission:
    """Write the cells of these methods that worked as a submission, with runs and plugins by file name.

    Raises StoreError where ``out`` is no name for one or holds something, and where there are no such cells.
    """
    if not NAME.fullmatch(out.resolve().name):
        raise StoreError(
            f"--out {out}: the last part is the submission's name, of at most 64 small letters, digits and "
            "hyphens; choose another."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(f"--out {out} holds something already; take it away, or choose another name.")
    wanted = {*methods}
    if not pack(out / CELLS, sources, lambda row: row["method"] in wanted).cells:
        raise StoreError(
            f"No cell of {', '.join(sorted(wanted))} worked in these results: run it first, or name others."
        )
    for kind, named in ((RUNS, runs), (PLUGINS, plugins)):
        for name, content in named.items():
            write_atomically(out / kind / name, content)
    rows = [row for cell in Packed(out / CELLS).stored().values() for row in cell.row.to_pylist()]
    digests = {path: file_digest(out / path) for path in sorted(_walk(out))}
    manifest = {"format": FORMAT, **described(rows), "files": digests}
    write_atomically(out / MANIFEST, (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())
    return opened(out)


def described(rows: Iterable[Row]) -> dict[str, Any]:
    """What a manifest says of cells: what they are of, and what they were made with and on."""
    rows = list(rows)
    plugins: dict[str, set[str]] = defaultdict(set)
    for distribution, version in owners(rows):
        plugins[distribution].add(version)
    machines = {json.dumps(_machine(row), sort_keys=True) for row in rows}
    return {
        "cells": len(rows),
        **{f"{kind}s": sorted({row[kind] for row in rows}) for kind in ("benchmark", "method", "model")},
        "attacks": sorted({" ".join(filter(None, (row["attack"], row["variant"]))) for row in rows}),
        "plugins": {name: sorted(versions) for name, versions in sorted(plugins.items())},
        "environment": [json.loads(text) for text in sorted(machines)],
    }


def _machine(row: Row) -> dict[str, Any]:
    """Versions and hardware of a cell, without its time."""
    return {name: value for name, value in json.loads(row["provenance"]).items() if name != "started_at"}


def owners(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Distribution and version of every plugin of these cells; of one from a file its name and digest."""
    kinds = ("benchmark_plugin", "method_plugin", "attack_plugin", "analysis_plugin")
    # A composition is of several; lm-eval stands where the attack of a cell of utility would.
    named = {part for row in rows for kind in kinds for part in row[kind].split(" + ") if part}
    return [(name, version) for name, _, version in (owner.rpartition(" ") for owner in sorted(named))]


def opened(folder: Path) -> Submission:
    """The submission in a folder. Raises StoreError with all that is wrong with its files."""
    if wrong := list(_odd(folder)):
        raise StoreError("\n".join(wrong))
    manifest = _manifest(folder)
    files = {path: file_digest(folder / path) for path in sorted(_walk(folder))}
    own = {path: digest for path, digest in files.items() if path != MANIFEST}
    told = manifest.get("files")
    if not isinstance(told, dict):
        raise StoreError(f"{MANIFEST} names no files; write it with `harness submit`.")
    for path in sorted({*own, *map(str, told)}):
        if path not in own:
            raise StoreError(f"{MANIFEST} names {path!r:.120}, which is no file of the submission.")
        if own[path] != told.get(path):
            raise StoreError(f"{path} is not the file of which {MANIFEST} holds the digest.")
    _small_enough(folder, own)
    return Submission(folder, files)


def disagreements(submission: Submission, rows: Sequence[Row]) -> Iterator[str]:
    """Where the manifest says something else than the cells do."""
    says = _manifest(submission.folder)
    for name, value in described(rows).items():
        if says.get(name) != value:
            yield f"{MANIFEST} says of '{name}' something else than its cells; write it with `harness submit`"
    files = {(path.name, file_digest(path)[:DIGITS]) for path in submission.of_kind(PLUGINS)}
    for name, version in owners(rows):
        if DIGEST.fullmatch(version) and (name, version) not in files:
            yield f"its cells are of the plugin file {name!r:.120} ({version}), which is not in {PLUGINS}/"


def requirements(submission: Submission, besides: str) -> list[str]:
    """What pip needs to have the plugins of a submission here, but for those of ``besides``."""
    rows = [row for cell in submission.cells().stored().values() for row in cell.row.to_pylist()]
    # Where lm-eval measured, its name stands for a plugin's.
    named = owners(row for row in rows if row["stage"] != UTILITY)
    return [
        f"{name}=={version}" for name, version in named if name != besides and not DIGEST.fullmatch(version)
    ]


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{MANIFEST} is not JSON ({one_line(error)}).") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(f"{MANIFEST} is not of format {FORMAT}, which this version reads.")
    return manifest


def _odd(folder: Path) -> Iterator[str]:
    """What must not be in a submission, seen from names, kinds and sizes alone; no link is followed."""
    if folder.is_symlink() or not folder.is_dir():
        yield f"{folder.name!r:.80} is no folder."
        return
    if not NAME.fullmatch(folder.name):
        yield f"{folder.name!r:.80} is no name of a submission: use small letters, digits and hyphens."
    sizes: list[int] = []
    for path in _walk(folder):
        parts, found = path.split("/"), (folder / path).lstat()
        sizes.append(found.st_size)
        if len(sizes) > MOST_FILES:
            yield f"it has more than {MOST_FILES} files."
            return
        if not stat.S_ISREG(found.st_mode):
            yield f"{path!r:.120} is a link or no plain file; a submission holds what is in it."
        elif parts != [MANIFEST] and (
            len(parts) != 2
            or not FILE_NAME.fullmatch(parts[1])
            or Path(parts[1]).suffix != ENDINGS.get(parts[0])
        ):
            yield f"{path!r:.120} belongs to no submission; it holds {MANIFEST}, {_layout()}."
        elif found.st_size > MOST_BYTES:
            yield f"{path} has more than {MOST_BYTES // 2**20} MiB."
    if sum(sizes) > MOST_IN_ALL:
        yield f"its files have more than {MOST_IN_ALL // 2**20} MiB in all."
    if not (folder / MANIFEST).is_file():
        yield f"it has no {MANIFEST}; write it with `harness submit`."


def _layout() -> str:
    return ", ".join(f"{kind}/*{ending}" for kind, ending in ENDINGS.items())


def _walk(folder: Path, below: str = "") -> Iterator[str]:
    """Whatever is in a folder but plain folders, by its path; a link to a folder is not entered."""
    with os.scandir(folder / below) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False) and path.count("/") < len(ENDINGS):
                yield from _walk(folder, f"{path}/")
            else:
                yield path


def _small_enough(folder: Path, files: Iterable[str]) -> None:
    """Raise StoreError for cells that would fill the memory once they are unpacked."""
    cells = 0
    for path in files:
        if path.startswith(f"{CELLS}/"):
            try:
                with pq.ParquetFile(folder / path) as file:
                    groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
            except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
                raise StoreError(f"{path} is damaged or no Parquet file ({one_line(error)}).") from error
            cells += sum(group.num_rows for group in groups)
            if sum(group.total_byte_size for group in groups) > MOST_UNPACKED:
                raise StoreError(f"{path} takes more than {MOST_UNPACKED // 2**20} MiB unpacked.")
    if not 0 < cells <= MOST_CELLS:
        raise StoreError(f"it holds {cells:,} cells; from 1 to {MOST_CELLS:,} are allowed.")
