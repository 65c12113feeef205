"""Reads TOFU's records and Alpaca's instructions, from files or from the hub, and checks every record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from harness.core.hub import Hub
from harness.core.types import Fact, Question
from harness.errors import DataError

HUB_ID = "locuslab/TOFU"
INSTRUCT_HUB_ID = "tatsu-lab/alpaca"


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


def to_facts(
    records: Sequence[Record],
    count: int | None = None,
    perturbed: int = 0,
    paraphrased: bool = False,
    unlike: Sequence[Fact] = (),
    among: Sequence[Fact] | None = None,
) -> tuple[Fact, ...]:
    """Records as facts, keyed on the (question, answer) pair, which must be unique.

    ``count`` is how many there are in the whole file, ``perturbed`` the number of perturbed answers asked
    for; ``paraphrased`` asks for both paraphrases. No fact may be one of ``unlike``, and each must be one of
    ``among``. Raises DataError for the first record that is not what was asked for.
    """
    taken, allowed = ({fact.id for fact in given or ()} for given in (unlike, among))
    facts: dict[str, Fact] = {}
    for record in records:
        question, answer = record.text("question"), record.text("answer")
        key = "tofu-" + hashlib.sha256(json.dumps([question, answer]).encode()).hexdigest()[:16]
        if key in facts:
            raise record.error(f"this question and answer were there before: {question!r}")
        if key in taken:
            raise record.error(f"expected no fact of another split, found one: {question!r}")
        if among is not None and key not in allowed:
            raise record.error(f"expected a fact of the retain split, found another: {question!r}")
        again = record.text("paraphrased_answer") if paraphrased else None
        facts[key] = Fact(
            id=key,
            question=question,
            answer=answer,
            paraphrases=(Question(record.text("paraphrased_question"), again),) if again is not None else (),
            paraphrased_answer=again,
            perturbed_answers=record.texts("perturbed_answer", perturbed) if perturbed else (),
        )
    if count is not None and len(facts) != count:
        raise DataError(records[0].source, f"expected {count} records, found {len(facts)}: some are missing")
    return tuple(facts.values())


def read_instructions(source: str | None, size: int, hub: Hub) -> tuple[Fact, ...]:
    """A sample of instructions in Alpaca's schema, the same for the same source and size.

    An item without output cannot be learned from and is passed over; Alpaca holds some.
    """
    facts = []
    for record in _alpaca(source, hub):
        if not isinstance(output := record.fields.get("output"), str):
            raise record.error("expected a text in 'output'")
        instruction, extra = record.text("instruction"), record.fields.get("input") or ""
        if output.strip():
            question = f"{instruction}\n{extra}" if extra else instruction
            facts.append(Fact(f"instruct-{record.line}", question, output))
    return tuple(Random("instructions").sample(facts, min(size, len(facts))))


def _alpaca(source: str | None, hub: Hub) -> Iterator[Record]:
    if source is not None and Path(source).suffix:
        path = Path(source)
    else:
        folder = hub.dataset(source or INSTRUCT_HUB_ID, ["*.parquet", "*.json"])
        tables = sorted(
            path for path in folder.rglob("*.parquet") if "train" in str(path.relative_to(folder))
        )
        if tables:
            yield from _tables(tables)
            return
        path = next(iter(sorted(folder.rglob("*.json"))), folder / "*.json")
    if not path.is_file():
        raise DataError(path, "this file is missing; it holds a JSON list in Alpaca's schema")
    try:
        rows = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(path, f"not JSON: {error.msg}", error.lineno) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(path, "expected a JSON list of objects with instruction, input and output")
    for number, row in enumerate(rows, 1):
        yield Record(f"{path} (item, not line)", number, row)


def _tables(paths: Iterable[Path]) -> Iterator[Record]:
    import pyarrow.parquet

    number = 0
    for path in paths:
        for row in pyarrow.parquet.read_table(path).to_pylist():
            number += 1
            yield Record(f"{path} (row, not line)", number, row)
