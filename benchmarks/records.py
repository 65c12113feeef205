"""Records of data files: JSON lines whose fields are checked as they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from harness import DataError

LONGEST_LINE = 1_000_000
"""Characters of a record."""

NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""The null character, and halves of a character: no tokenizer takes them, and no file holds them."""

Pairs = Callable[[list[tuple[str, Any]]], dict[str, Any]]


class Record(NamedTuple):
    """One record and where it stands, for messages."""

    source: str
    line: int | None
    fields: dict[str, Any]

    @property
    def table(self) -> str:
        """The file, for what is about all of it."""
        return self.source.rpartition(", ")[0] or self.source

    def text(self, field: str) -> str:
        return self._checked(field, self.fields.get(field))

    def texts(self, field: str, count: int) -> tuple[str, ...]:
        value = self.fields.get(field)
        if isinstance(value, str) and value.startswith("["):  # a list within CSV
            value = parsed(self.source, value, self.line)
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
        if len(line) > LONGEST_LINE:
            raise DataError(path, f"the line has {len(line):,} characters; at most {LONGEST_LINE:,}", number)
        fields = parsed(path, line, number)
        if not isinstance(fields, dict):
            raise DataError(path, f"expected a JSON object, found {type(fields).__name__}", number)
        yield Record(str(path), number, fields)


def read_text(path: Path) -> str:
    """The text of a file, without the mark some editors begin it with. Raises DataError where it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(path, f"not a text in UTF-8: {error}") from error
    except OSError as error:
        raise DataError(path, f"it cannot be read: {error.strerror or error}") from error


def parsed(path: Path | str, text: str, line: int | None = None, whole: Pairs = dict) -> Any:
    """The value of JSON text, from a ``line`` or from a whole file; ``whole`` makes an object of its pairs.

    Raises DataError for what is no JSON, and for what JSON can say and nothing here can work with: numbers
    beyond those of a computer, values too deep in one another, characters that no text can have.
    """
    try:
        value = json.loads(text, object_pairs_hook=whole, parse_constant=_number, parse_float=_number)
    except json.JSONDecodeError as error:
        raise DataError(path, f"not JSON: {error.msg}", line or error.lineno) from error
    except RecursionError as error:
        raise DataError(path, "not usable: lists and objects lie too deep in one another", line) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise DataError(path, f"not usable: {error}", line) from error
    if "\\" in text:  # only an escape can bring them in
        check_texts(path, value, line)
    return value


def _number(text: str) -> float:
    if not isfinite(value := float(text)):
        raise ValueError(f"{text[:40]} is no number that a computer has")
    return value


def check_texts(path: Path | str, value: Any, line: int | None = None) -> None:
    """Raise DataError where a text within lists and objects holds a character that no text can have."""
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            todo += [*part, *part.values()]
        elif isinstance(part, list):
            todo += part
        elif isinstance(part, str) and (odd := NO_TEXT.search(part)):
            where = f"'{part[max(0, odd.start() - 30) : odd.start()]}'"
            raise DataError(
                path, f"not usable: after {where} stands \\u{ord(odd[0]):04x}, which no text can hold", line
            )
