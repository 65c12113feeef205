"""Tables of published data sets, however they were saved: JSON lines, JSON, CSV or Parquet, as records.

Names and places vary, too: a clone of the authors' repository, files of the hub, a folder of one's own. A
table named ``knowmem/forget_qa`` is found as ``knowmem/forget_qa.json`` and as
``data/knowmem/forget_qa-00000-of-00001.parquet``.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from harness import DataError

from .records import LONGEST_LINE, Record, check_texts, parsed, read_text

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".txt")
"""In the order in which they are taken where a table is there in several formats. Text is one row."""

DEEPEST = 3
"""Folders between the directory that is given and a table."""

TEXT = "text"
"""The field of a row that is a text and no object."""

SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")


def find_table(directory: Path, *names: str) -> list[Path]:
    """The files of the first of these tables that is there, its parts in order; none where none is.

    Case does not count. Raises DataError where two files could be meant, and where a part is missing.
    """
    files = _files(directory)
    for name in names:
        tail = tuple(name.lower().split("/"))
        found = {parts: by for parts, by in files.items() if parts[-len(tail) :] == tail}
        if found:
            nearest = min(map(len, found))
            places = [by for parts, by in found.items() if len(parts) == nearest]
            if len(places) > 1:
                both = " and ".join(str(next(iter(by.values()))[0]) for by in places[:2])
                raise DataError(directory, f"two files could be the table '{name}': {both}; keep one of them")
            return _whole(next(places[0][suffix] for suffix in SUFFIXES if suffix in places[0]))
    return []


def read_table(directory: Path, *names: str) -> list[Record]:
    """The records of the first of these tables that is there.

    Raises DataError where there is none, where it holds no record, and for what :func:`find_table` names.
    """
    if not directory.is_dir():
        raise DataError(directory, "this directory does not exist")
    paths = find_table(directory, *names)
    if not paths:
        wanted = " or ".join(f"'{name}'" for name in names)
        raise DataError(
            directory, f"no table {wanted} is here: expected such a file in {', '.join(SUFFIXES)}"
        )
    records = [record for path in paths for record in read_file(path)]
    if not records:
        raise DataError(paths[0], "the file holds no record")
    return records


def read_file(path: Path) -> Iterator[Record]:
    """The records of one file, in the format that its name says. Raises DataError naming file and row."""
    readers = {".json": _json, ".jsonl": _lines, ".csv": _csv, ".parquet": _parquet, ".txt": _text}
    if path.suffix.lower() not in readers:
        raise DataError(path, f"expected a file in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise DataError(path, "this file is missing")
    yield from readers[path.suffix.lower()](path)


def _files(directory: Path) -> dict[tuple[str, ...], dict[str, list[Path]]]:
    """By the parts of its name in lower case, the files of each table by suffix."""
    files: dict[tuple[str, ...], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for depth in range(DEEPEST + 1):
        for path in sorted(directory.glob("*/" * depth + "*.*")):
            within = path.relative_to(directory)
            if (suffix := path.suffix.lower()) in SUFFIXES and not any(p[0] == "." for p in within.parts):
                stem = SHARD.sub("", path.stem)
                files[(*(p.lower() for p in within.parts[:-1]), stem.lower())][suffix].append(path)
    return files


def _whole(paths: list[Path]) -> list[Path]:
    """The files of a table, which are one or all parts of it."""
    parts = [SHARD.search(path.stem) for path in paths]
    if len(paths) == 1 and parts[0] is None:
        return paths
    numbers = [(int(part[1]), int(part[2])) for part in parts if part]
    count = max(total for _, total in numbers)
    if len(numbers) != len(paths) or numbers != [(number, count) for number in range(count)]:
        raise DataError(paths[0], f"expected {count} parts of this table, found {len(paths)} files")
    return paths


def _row(path: Path, number: int, value: Any, unit: str = "row") -> Record:
    source = f"{path}, {unit} {number}"
    if isinstance(value, str):
        value = {TEXT: value}
    if not isinstance(value, dict):
        raise DataError(source, f"expected an object or a text, found {type(value).__name__}")
    return Record(source, None, value)


def _lines(path: Path) -> Iterator[Record]:
    # Not splitlines(): JSON strings may hold other line separators of Unicode as they are.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            if len(line) > LONGEST_LINE:
                size = f"the line has {len(line):,} characters; at most {LONGEST_LINE:,}"
                raise DataError(path, size, number)
            yield _row(path, number, parsed(path, line, number), "line")


def _json(path: Path) -> Iterator[Record]:
    """A list of rows, an object of columns, or JSON lines under the name of JSON."""
    text = read_text(path)
    first, _, rest = text.strip().partition("\n")
    if first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{"):
        yield from _lines(path)
        return
    value = parsed(path, text)
    if isinstance(value, dict):
        value = _rows_of_columns(path, value)
    if not isinstance(value, list):
        raise DataError(path, f"expected a list of rows, found {type(value).__name__}")
    for number, row in enumerate(value, 1):
        yield _row(path, number, row)


def _rows_of_columns(path: Path, columns: dict[str, Any]) -> list[Any]:
    """One object: a row of its own, or columns as lists of one length."""
    lists = [value for value in columns.values() if isinstance(value, list)]
    if len(lists) < len(columns) or not lists:
        return [columns]
    if len({len(values) for values in lists}) > 1:
        lengths = {name: len(values) for name, values in columns.items()}
        raise DataError(path, f"expected columns of one length, found {lengths}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _text(path: Path) -> Iterator[Record]:
    if text := read_text(path):
        check_texts(path, text)
        yield _row(path, 1, text)


def _csv(path: Path) -> Iterator[Record]:
    text = read_text(path)
    limit = csv.field_size_limit(LONGEST_LINE)  # for the whole process: it is put back
    try:
        header, *rows = list(csv.reader(StringIO(text, newline=""), strict=True)) or [[]]
    except csv.Error as error:
        raise DataError(path, f"not CSV: {error}") from error
    finally:
        csv.field_size_limit(limit)
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}",
                f"expected {len(header)} columns {header}, found {len(row)}",
            )
        check_texts(f"{path}, row {number}", row)
        yield _row(path, number, dict(zip(header, row, strict=True)))


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(path, f"not a table in Parquet: {str(error).splitlines()[0]}") from error
    for number, row in enumerate(rows, 1):
        check_texts(f"{path}, row {number}", row)
        yield _row(path, number, row)
