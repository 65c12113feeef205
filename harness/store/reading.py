"""A result file as a table: its versions, columns and values are looked at before anybody sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import StoreError
from . import shape
from .schema import CELLS, READ_AS_WELL, as_of_now, of_version


def read(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """The table in the file of a cell, or some of its columns; one of before analyses as if made now.

    Raises StoreError where it is damaged, or of a version that is not read.
    """
    try:
        with pq.ParquetFile(path) as file:
            theirs = file.schema_arrow
            version = check_versions(path, theirs.metadata or {}, schema.metadata)
            written = of_version(schema, version)
            shape.columns(theirs, written)
            if schema is CELLS:
                shape.one_row(file.metadata.num_rows)
            there = None if columns is None else [name for name in columns if name in written.names]
            wanted = schema if columns is None else pa.schema(map(schema.field, columns), schema.metadata)
            table = as_of_now(file.read(columns=there, use_threads=False), wanted)
            return shape.values(table)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as e:
        raise StoreError(
            f"{path} is damaged or cannot be read ({str(e).splitlines()[0]}); move "
            f"{path.parent.parent / 'cells' / path.name} away to have that cell run again, or use another "
            "--results directory."
        ) from e


VERSIONS = {
    b"protocol": "were measured under protocol {} and this version measures under {}",
    b"schema_version": "are tables of schema version {} and this version has {}",
}
"""What is said of results of another version, by what tells it; what says most comes first."""


def check_versions(path: Path, written: Mapping[bytes, bytes], ours: Mapping[bytes, bytes]) -> str:
    """The schema version of a file. Raises StoreError for one that is not read, or for something else."""
    for name, says in VERSIONS.items():
        if name not in written:
            raise StoreError(f"{path} is no result: it does not name its {name.decode()}; move it away.")
        as_well = name == b"schema_version" and written[name].decode(errors="replace") in READ_AS_WELL
        if written[name] != ours[name] and not as_well:
            versions = says.format(written[name].decode(errors="replace"), ours[name].decode())
            raise StoreError(
                f"The results in {path.parent.parent} {versions}; use another --results directory, or move "
                "this one away to have all measured again."
            )
    return written[b"schema_version"].decode()
