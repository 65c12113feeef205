"""Random damage to files: bits, cuts, repetitions, zeros, odd words; values of tables; files swapped."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = [
    *("\ufeff", "\0", "\\ud800", "1e999", "NaN", "9" * 5_000, "null", '"', ", ", "\n\n", "\r", "\u2028"),
    *("[" * 5_000, '{"a":' * 5_000, "- " * 2_000),
    *("*m", "&m ", "!function a.b ", "!!python/name:os.system ", "<<: ", "? "),
]
"""What readers of text, numbers, JSON and YAML stumble over."""


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A file with one to three things done to it."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        how = chance.randrange(8)
        if how == 0 and data:
            for _ in range(chance.choice([1, 2, 16])):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif how == 1:
            del data[at:]
        elif how == 2:
            del data[at : min(end, at + chance.choice([1, 8, 500]))]
        elif how == 3:
            data[at:at] = chance.randbytes(chance.choice([1, 4, 100]))
        elif how == 4:
            data[at:at] = data[at : min(end, at + 2_000)]
        elif how == 5:
            data[at:end] = bytes(end - at)
        elif how == 6:
            data[at:at] = chance.choice(WORDS).encode()
        elif how == 7 and chance.random() < 0.2:
            data.clear()
    return bytes(data)


def edit(path: Path, chance: random.Random) -> None:
    """Change a table as somebody does who can write one: a row or a value, and the file is whole."""
    table = pq.ParquetFile(path).read()
    rows = table.to_pylist()
    if not rows:
        return
    at, other = (chance.randrange(len(rows)) for _ in range(2))
    how = chance.randrange(8)
    if how == 0:
        del rows[at]
    elif how == 1:
        rows.insert(other, rows[at])
    elif how == 2:
        rows[at], rows[other] = rows[other], rows[at]
    else:
        name = chance.choice(table.column_names)
        value = another(rows[at][name], table.schema.field(name).type, chance)
        rows[at] = {**rows[at], name: chance.choice([value, value, value, rows[other][name], None])}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def another(value: Any, kind: pa.DataType, chance: random.Random) -> Any:
    """A value of the same type."""
    if pa.types.is_floating(kind):
        return chance.choice([0.0, 1.0, 0.5, (value or 0) + 1e-9, -1.0, 1e300, float("nan"), float("inf")])
    if pa.types.is_integer(kind):
        return chance.choice([0, 1, (value or 0) + 1, -1, 2**31 - 1])
    return damaged((value or "").encode(), chance).decode(errors="replace")


def spoil(place: Path, chance: random.Random, edits: float = 0.0) -> list[Path]:
    """Damage a file below a directory, or swap it with, or copy it over, another one of its kind.

    ``edits`` is the share of tables that stay tables, with other rows.
    """
    paths = sorted(path for path in place.rglob("*") if path.is_file())
    path = chance.choice(paths)
    alike = [other for other in paths if other.parent == path.parent and other != path]
    how = chance.random()
    if alike and how < 0.1:
        other = chance.choice(alike)
        one, two = path.read_bytes(), other.read_bytes()
        path.write_bytes(two)
        if how < 0.05:
            other.write_bytes(one)
        return [path, other]
    if path.suffix == ".parquet" and chance.random() < edits:
        edit(path, chance)
    else:
        path.write_bytes(damaged(path.read_bytes(), chance))
    return [path]
