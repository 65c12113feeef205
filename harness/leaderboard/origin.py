"""Which cells each row of a leaderboard was made from, so that no row is held against itself.

Cells that were measured again have the same keys and, with another clock, another content. So the mark of a
row is a digest over both. The marks of all rows, in their order, stand in the metadata of the table: they are
no number, and the pages do not show them.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from ..core.keys import key
from ..core.names import EVALUATION, UTILITY
from . import board
from .groups import Groups
from .reading import Cell

METADATA, DIGITS = b"cells", 8
"""Where the marks stand, and how many hexadecimal digits each has."""


def cells_of_rows(groups: Groups) -> dict[str, list[Cell]]:
    """By signature of each row, the cells that its numbers are from."""
    rows = {}
    for which, seeds in groups.items():
        cells = list(seeds.values())
        if which.stage == EVALUATION:  # lm-eval's score stands in this row, too
            scored = groups.of_stage(which.target, which.method, UTILITY)
            cells += [cell for found in scored.values() for cell in found.values()]
        if which.stage != UTILITY:
            rows[board.signature(which, seeds)] = cells
    return rows


def marked(table: pa.Table, groups: Groups) -> pa.Table:
    """A leaderboard with the marks of the cells that it was built from."""
    marks = {
        signature: key(sorted((cell.row["key"], cell.row["content"]) for cell in cells))[:DIGITS]
        for signature, cells in cells_of_rows(groups).items()
    }
    return with_marks(table, marks)


def with_marks(table: pa.Table, marks: Mapping[str, str]) -> pa.Table:
    """A leaderboard with these marks, by signature."""
    text = "".join(marks[signature] for signature in table["signature"].to_pylist())
    return table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA: text})


def marks(table: pa.Table) -> dict[str, str]:
    """By signature of each row, its mark; none where the table has not one for each."""
    text = (table.schema.metadata or {}).get(METADATA, b"").decode(errors="replace")
    signatures = table["signature"].to_pylist()
    if len(text) != DIGITS * len(signatures):
        return {}
    return {name: text[DIGITS * i :][:DIGITS] for i, name in enumerate(signatures)}


def same_cells(one: pa.Table, other: pa.Table) -> set[str]:
    """Signatures of the rows that both tables made from the very same cells."""
    return {name for name, _ in marks(one).items() & marks(other).items()}
