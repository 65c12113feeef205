"""Shape of a result file: its columns, one row in the file of a cell, and JSON objects where they belong.

Whoever reads a table may rely on it. Other columns or rows are an ArrowInvalid, as of pyarrow's reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

MAYBE = frozenset({"error_type", "error_message", "low", "high", "n", "step", "learning_rate"}) | frozenset(
    {"low_bound", "high_bound", "definition", "at_most", "layer", "module", "x", "answer"}
)
"""Columns in which null has a meaning."""

OBJECTS = ("notes", "provenance", "benchmark_config", "method_config", "attack_config", "analysis_config")
"""Columns that hold a JSON object as text."""

STATUSES = ("ok", "failed")

LARGEST = 2**53
"""Of the numbers in notes: the whole ones below it are exact as floats."""


def _is_number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and abs(value) < LARGEST  # neither infinite nor nan


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


KNOWN: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "forget_metric": (lambda value: isinstance(value, str), "a text"),
    "retain_metric": (_is_pair, "a list of a split and a metric"),
    "chance": (_is_number, "a number"),
    "threshold": (_is_number, "a number"),
    "threshold_high": (_is_number, "a number"),
    "threshold_rule": (lambda value: isinstance(value, str), "a text"),
    "n_scored": (_is_number, "a number"),
    "learning_rate": (_is_number, "a number"),
    "forgotten": (lambda value: isinstance(value, bool), "true or false"),
    "started_at": (lambda value: isinstance(value, str), "a text"),
}
"""What the leaderboard reads of notes and provenance, and what each is where it is not null."""

READ = ("notes", "provenance")


def columns(actual: pa.Schema, schema: pa.Schema) -> None:
    """Raise ArrowInvalid for a file whose columns are not the schema's."""
    ours = dict(zip(schema.names, schema.types, strict=True))
    theirs = dict(zip(actual.names, actual.types, strict=True))
    for name, kind in ours.items():
        if name not in theirs:
            raise pa.ArrowInvalid(f"it lacks the column '{name}'")
        if theirs[name] != kind:
            raise pa.ArrowInvalid(f"its column '{name}' is {theirs[name]} and not {kind}")
    if actual.names != schema.names:
        more = [name for name in actual.names if name not in ours]
        raise pa.ArrowInvalid(
            f"it has a column '{more[0]}' too many" if more else "its columns are in another order"
        )


def one_row(rows: int) -> None:
    """Raise ArrowInvalid for the file of a cell that has not one row."""
    if rows != 1:
        raise pa.ArrowInvalid(f"it holds {rows} rows, and a cell is one")


def values(table: pa.Table) -> pa.Table:
    """The table. Raises ArrowInvalid for a value that its column cannot have."""
    table.validate(full=True)  # text that is no UTF-8 would be noticed by whoever reads it
    for name in table.column_names:
        if name not in MAYBE and table[name].null_count:
            raise pa.ArrowInvalid(f"its column '{name}' has no value")
        if name == "status" and (odd := {*table[name].to_pylist()} - {*STATUSES}):
            raise pa.ArrowInvalid(f"its status is {odd.pop()!r:.40} and not {' or '.join(STATUSES)}")
    return table


def objects(row: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the JSON in the row of a cell, a sentence each."""
    for column in OBJECTS:
        try:
            json_object(column, row[column])
        except pa.ArrowInvalid as error:
            yield str(error)


def json_object(column: str, text: str) -> None:
    """Raise ArrowInvalid for text that is no JSON object, or in which the leaderboard cannot read."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise pa.ArrowInvalid(f"its column '{column}' is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise pa.ArrowInvalid(f"its column '{column}' is not a JSON object")
    # A plugin's own settings may have any of these names.
    for name in KNOWN.keys() & value.keys() if column in READ else ():
        fits, says = KNOWN[name]
        if value[name] is not None and not fits(value[name]):
            raise pa.ArrowInvalid(f"'{name}' in its column '{column}' is not {says}")
