"""Everything that a run measured, as tables for the terminal: a line for each method and each attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from ..core.names import NO_ATTACK
from ..leaderboard.findings import explained
from ..leaderboard.format import number
from ..leaderboard.labels import attack_label, by_target, compared, guarded, method_label
from .console import paragraph, table
from .summary import title

DIGITS = 2
COLUMNS = ("method", "forget", "95 %", "recovery", "retain", "utility", "lm-eval")

Row = dict[str, Any]


def pieces(rows: Sequence[Row]) -> Iterator[str | Table]:
    """For each target the scores before and under each attack, and why each method stands where it does."""
    for own in by_target(rows).values():
        lines = [
            _line(row)
            for method in dict.fromkeys(map(method_label, own))
            for row in sorted((row for row in own if method_label(row) == method), key=_attack_order)
        ]
        width = len(COLUMNS) if any(row["lm_eval_tasks"] for row in own) else -1
        yield table(
            f"{title(own)}, before and highest under each attack",
            COLUMNS[:width],
            [line[:width] for line in lines],
        )
        for sentence in (*explained(own), *compared(own), *guarded(own)):
            yield paragraph(sentence, "  ")
        yield ""


def _attack_order(row: Row) -> tuple[bool, str]:
    """What was measured before any attack comes first."""
    return row["attack"] != NO_ATTACK, attack_label(row)


def _line(row: Row) -> tuple[str, ...]:
    """A row of the leaderboard, narrow enough for eighty columns."""

    def text(name: str) -> str:
        return number(row[name], DIGITS)

    if row["attack"] == NO_ATTACK:
        name, column = method_label(row), "forget_before"
        rest = ("", *(text(name) for name in ("retain_before", "utility_before", "lm_eval")))
    else:
        name, column = f"  {attack_label(row)}", "score"
        rest = (text("recovery"), "", "", "")
    if row[column] is None:
        return name, "failed" if row["failed"] else text(column), "", "", "", "", ""
    return name, text(column), f"{text(f'{column}_low')} to {text(f'{column}_high')}", *rest
