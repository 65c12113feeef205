"""Instructions in Alpaca's schema, from a file or the hub, for attacks that train on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from harness import DataError, Fact

from .records import Record, parsed, read_text

INSTRUCT_HUB_ID = "tatsu-lab/alpaca"


def read_instructions(source: str | None, size: int, hub: Any) -> tuple[Fact, ...]:
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


def _alpaca(source: str | None, hub: Any) -> Iterator[Record]:
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
    rows = parsed(path, read_text(path))
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
