"""What a run found, on one screen: for each target a line for each method, and what follows in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ..core.names import CONTROLS
from ..leaderboard.columns import Estimate
from ..leaderboard.findings import findings, overall
from ..leaderboard.format import DASH, NOT_APPLICABLE, number, percent
from ..leaderboard.labels import by_method, by_target, method_label, settings, target_metric
from ..leaderboard.ranking import share
from .console import paragraph, printed
from .escape import plain

DIGITS = 2
FEW_FACTS = "*"

COLUMNS = ("method", "verdict", "forget", "worst", "under", "recovered", "kept")
NUMBERS = ("forget", "worst", "recovered", "kept")
LABELS = ("method", "under")
"""Columns of names that may be long: they wrap, and the others stay in one piece."""

CONTROLS_TITLE = "Controls: none is the original model, retrain never knew, refusal only declines."
GUIDE = (
    "forget: the score on what is to be forgotten, before any attack; worst: the highest under an attack, "
    "which is named. recovered: how much of what was forgotten an attack brings back at most (0% is erased, "
    "100% is only hidden), with its 95 % interval. kept: the least share of the original's other abilities."
)

Row = dict[str, Any]
Rows = Sequence[Row]
Piece = str | Text | Table


def pieces(rows: Rows) -> Iterator[Piece]:
    """What is printed, one after the other: the tables of each target, its findings, and a guide."""
    for own in by_target(rows).values():
        yield Text(title(own), style="bold")
        lines = by_method(own)
        methods, controls = (
            [row for row in lines.values() if (row["method"] in CONTROLS) == wanted]
            for wanted in (False, True)
        )
        if methods:
            yield _table(methods)
        if controls:
            yield Text(f"\n{CONTROLS_TITLE}")
            yield _table(controls)
        if any(row["few_facts"] for row in lines.values()):
            yield f"{FEW_FACTS} Few facts decided this score."
        yield ""
        for sentence in findings(own):
            yield paragraph(sentence)
        yield ""
    for sentence in overall(rows):
        yield paragraph(sentence)
        yield ""
    yield paragraph(GUIDE)


def text(rows: Rows) -> str:
    """The same as plain text, in eighty columns."""
    return printed(pieces(rows))


def title(rows: Rows) -> str:
    """The target of these rows, and what a score measures."""
    first = rows[0]
    config = settings(first["benchmark_config"])
    target = f"{first['benchmark']}, {first['model']}" + (f" ({config})" if config else "")
    return plain(f"{target}: {target_metric(rows) or 'score'} on the facts to forget", lines=False)


def _table(rows: Rows) -> Table:
    """A line for each row. Only names wrap where eighty columns are not enough."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    for name in COLUMNS:
        align = "right" if name in NUMBERS else "left"
        table.add_column(name, justify=align, overflow="fold", no_wrap=name not in LABELS)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(Text(plain(cell, lines=False)) for cell in _line(row)))
    return table


def _line(row: Row) -> tuple[str, ...]:
    verdict = NOT_APPLICABLE if row["method"] in CONTROLS else row["verdict"] or DASH
    return (
        method_label(row),
        verdict,
        number(row["forget_before"], DIGITS),
        number(row["worst"], DIGITS) + FEW_FACTS * bool(row["few_facts"]),
        row["worst_attack"] or DASH,
        percent(Estimate.of(row, "recovered"), "%"),
        DASH if row["kept"] is None else f"{share(row['kept'], 1)}%",
    )
