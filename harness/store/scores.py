"""Samples that belong to no cell: the scores of a twin, whole in a file or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from ..core.types import Sample, as_row
from ..errors import StoreError
from .atomic import parquet_bytes, write_atomically
from .reading import read
from .schema import SAMPLES


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Keep samples that belong to no cell, whole or not at all. Raises StoreError."""
    rows = [{"key": path.stem, **as_row(sample)} for sample in samples]
    table = pa.Table.from_pylist(rows, schema=SAMPLES)
    marked = table.replace_schema_metadata({**SAMPLES.metadata, CONTENT: _content(path, table)})
    write_atomically(path, parquet_bytes(marked))


def read_samples(path: Path) -> list[Sample] | None:
    """What :func:`write_samples` wrote there; None where it is absent, damaged or changed."""
    try:
        table = read(path, SAMPLES)
    except StoreError:
        return None
    if not table.schema.equals(SAMPLES) or table.schema.metadata.get(CONTENT) != _content(path, table):
        return None
    return [Sample(**row) for row in table.drop("key").to_pylist()]


CONTENT = b"content"
"""The digest of the samples that belong to no cell, in their file: nobody recomputes them."""


def _content(path: Path, table: pa.Table) -> bytes:
    """SHA-256 over the samples and the name of their file: none passes for another."""
    text = json.dumps([path.stem, *map(list, map(dict.values, table.to_pylist()))])
    return hashlib.sha256(text.encode()).hexdigest().encode()
