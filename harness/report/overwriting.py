"""What building a leaderboard into a directory, or publishing it, would take from what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import StoreError
from ..leaderboard.columns import NAMES
from ..leaderboard.compare import Row, matched
from ..leaderboard.rows import Columns
from .files import README, TABLE, Published
from .page import NAME
from .time_left import many

NEEDED = (*NAMES, "signature")
"""Columns that say what a row measured, in every version of the table."""

METHODS_NAMED = 5
"""Methods that the sentence names."""


def refuse_loss(made: Published, out: Path, beside: Path) -> None:
    """Raise StoreError where ``out`` holds rows that the new leaderboard lacks, or a page of no leaderboard.

    ``beside`` is where it goes by default: what the sentence proposes, if it is free.
    """
    elsewhere = f"build elsewhere, such as --out {next(_free(out, beside))}, or replace it with --force."
    if not (out / TABLE).exists():
        if foreign := [name for name in (README, NAME) if (out / name).exists()]:
            raise StoreError(
                f"Not built: {out / foreign[0]} belongs to no leaderboard, and would be lost; {elsewhere}"
            )
        return
    if loss := lost(made, out / TABLE, str(out)):
        raise StoreError(f"Not built: {loss}; {elsewhere}")


def lost(made: Published, table: Path, holder: str) -> str:
    """What the ``holder`` of the ``table`` of a leaderboard would lose if a new one took its place, or ''."""
    rows = _rows(table)
    if rows is None:
        return f"{holder}/{TABLE} cannot be read, so what would be lost is not known"
    new = Columns(made.board).rows()
    same = {row["signature"] for row in rows} & {row["signature"] for row in new}
    _, gone, _ = matched(*([row for row in own if row["signature"] not in same] for own in (rows, new)))
    if not gone:
        return ""
    methods = list(dict.fromkeys(row["method"] for row in gone))
    named = ", ".join([*methods[:METHODS_NAMED], "..."] if len(methods) > METHODS_NAMED else methods)
    return (
        f"{holder} holds {many(len(gone), 'row')} of {many(len(methods), 'method')} ({named}) that the new "
        "leaderboard lacks, and they would be lost"
    )


def _rows(path: Path) -> Sequence[Row] | None:
    """What the rows of a leaderboard of any version measured; None where it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            rows = Columns(file.read(columns=[*NEEDED], use_threads=False)).rows()
    except (OSError, UnicodeDecodeError, pa.ArrowException):
        return None
    known = all(isinstance(row.get(name), str) for row in rows for name in NEEDED)
    return rows if known else None


def _free(out: Path, beside: Path) -> Iterator[Path]:
    """Directories in which there is nothing yet."""
    named = out if out.name.strip(".") else out.resolve()
    beyond = (named.with_name(f"{named.name}-{number}") for number in count(2))
    return (path for path in chain([beside], beyond) if not path.exists())
