"""What is wrong with one cell: the digest over it, its key, its file's name, and the rules of its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from . import rules, shape
from .decided import key_of
from .schema import LATER

CONTENT = "content"
"""The column that holds the digest."""

Columns = Mapping[str, list[Any]]


def digest(row: Mapping[str, Any], metrics: Columns, samples: Columns, findings: Columns) -> str:
    """SHA-256 over a cell: every other column of its row, and its numbers in order, exactly.

    Columns that came later count where they say something: cells of before keep their digest.
    """
    plain = {name for name, default in LATER.items() if row.get(name) == default}
    rest = {name: value for name, value in row.items() if name != CONTENT and name not in plain}
    samples = {
        name: values
        for name, values in samples.items()
        if name not in LATER or any(value != LATER[name] for value in values)
    }
    numbers = [metrics, samples, *([findings] if findings["key"] else [])]
    # Floats are written by repr, which tells any two of them apart; infinity is the bound of some metrics.
    text = json.dumps([rest, *numbers], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def wrong(
    key: str, row: Mapping[str, Any], metrics: pa.Table, samples: pa.Table, findings: pa.Table
) -> list[str]:
    """Sentences on what is wrong with the cell in the file of this key, what says most first; empty if sound.

    Whoever writes numbers, digest and all that follows from them anew is not found here: that takes making
    the cell again.
    """
    by_column = metrics.to_pydict(), samples.to_pydict(), findings.to_pydict()
    sentences = [
        f"the file of {what} is named {key[:12]}, and what it holds is of the cell {str(other)[:12]}"
        for what, keys in zip(
            ("its row", "its metrics", "its samples", "its findings"),
            ([row["key"]], *(columns["key"] for columns in by_column)),
            strict=True,
        )
        for other in sorted({*keys} - {key}, key=str)
    ]
    if not sentences and key_of(row) != key:
        sentences.append("its key does not follow from the columns of its row")
    odd = list(shape.objects(row))
    sentences += odd
    if row["status"] == "ok" and not odd:
        sentences += rules.violations(row, metrics.to_pylist(), *by_column[1:])
    if row[CONTENT] != digest(row, *by_column):
        sentences.append("its digest is not that of its rows: they were changed after it was written")
    return sentences
