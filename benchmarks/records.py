"""Records of data files: JSON lines whose fields are checked as they are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness import DataError


class Record(NamedTuple):
    """One record and where it stands, for messages."""

    source: str
    line: int
    fields: dict[str, Any]

    def text(self, field: str) -> str:
        return self._checked(field, self.fields.get(field))

    def texts(self, field: str, count: int) -> tuple[str, ...]:
        value = self.fields.get(field)
        if not isinstance(value, list) or len(value) != count:
            found = f"a list of {len(value)}" if isinstance(value, list) else _kind(value)
            raise self.error(f"expected {count} texts in '{field}', found {found}")
        return tuple(self._checked(f"{field}[{index}]", item) for index, item in enumerate(value))

    def _checked(self, field: str, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"expected a non-empty text in '{field}', found {_kind(value)}")
        return value

    def error(self, problem: str) -> DataError:
        return DataError(self.source, f"{problem}; the record's fields are {sorted(self.fields)}", self.line)


def _kind(value: Any) -> str:
    return {"NoneType": "none", "str": "an empty one"}.get(type(value).__name__, type(value).__name__)


def read_records(directory: Path, name: str) -> list[Record]:
    """The records of ``name``.json (JSON lines) in a directory: the authors' repository, or part of it."""
    path = directory / f"{name}.json"
    records = list(_lines(path))
    if not records:
        raise DataError(path, "the file holds no record")
    return records


def _lines(path: Path) -> Iterator[Record]:
    if not path.is_file():
        raise DataError(path, "this file is missing; it holds one JSON object a line")
    # Not splitlines(): JSON strings may hold other line separators of Unicode as they are.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(path, f"not a JSON object: {error.msg}", number) from error
        if not isinstance(fields, dict):
            raise DataError(path, f"expected a JSON object, found {type(fields).__name__}", number)
        yield Record(str(path), number, fields)


def read_text(path: Path) -> str:
    """The text of a file. Raises DataError where it cannot be read or is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(path, f"not a text in UTF-8: {error}") from error
    except OSError as error:
        raise DataError(path, f"it cannot be read: {error.strerror or error}") from error
