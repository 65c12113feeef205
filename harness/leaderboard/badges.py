"""Badges: who vouches for the numbers of a row, on a board that holds submissions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from ..errors import StoreError, one_line
from .columns import OPTIONAL
from .groups import Groups
from .origin import cells_of_rows

SELF_REPORTED, REPRODUCED, MAINTAINER = BADGES = ("self-reported", "reproduced", "maintainer")
"""The numbers are a claim; maintainers made some of them again, or all of them. The weakest comes first."""

COLUMN = "badge"
FILE = "badges.json"
"""Beside the submissions, written by maintainers alone: ``{NAME: {"badge": ..., "content": ...}}``."""

Given = Mapping[str, tuple[str, str]]
"""By name of a submission, its badge, and the digest of the content that it was given for."""


def marked(table: pa.Table, groups: Groups, of_cell: Mapping[str, str]) -> pa.Table:
    """A leaderboard with a badge on each row: the weakest of its cells', by key. Others are maintainers'."""
    of_row = {
        signature: min((of_cell.get(cell.row["key"], MAINTAINER) for cell in cells), key=BADGES.index)
        for signature, cells in cells_of_rows(groups).items()
    }
    kind, says = OPTIONAL[COLUMN]
    badges = [of_row[signature] for signature in table["signature"].to_pylist()]
    field = pa.field(COLUMN, kind, metadata={"description": says})
    return table.append_column(field, pa.array(badges, kind))


def any_badge(rows: Iterable[Mapping[str, object]]) -> bool:
    """Whether a leaderboard of these rows has badges."""
    return any(row.get(COLUMN) for row in rows)


def read(folder: Path) -> Given:
    """The badges that were given to submissions in a folder. Raises StoreError for what is no such file."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        given = json.loads(path.read_bytes())
        badges = {name: (each["badge"], each["content"]) for name, each in given.items()}
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is no list of badges ({one_line(error)}).") from error
    for name, (badge, _) in badges.items():
        if badge not in BADGES[1:]:
            raise StoreError(f"{path}: the badge of {name} must be {' or '.join(BADGES[1:])}.")
    return badges
