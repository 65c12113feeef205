"""What must hold within a leaderboard itself, whoever wrote it: no number stands outside its own interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .columns import METHOD, TARGET
from .labels import attack_label, method_label

ROUNDING = 1e-6

Row = dict[str, Any]

ESTIMATES = ("forget_before", "score", "exact_match", "recovery", "worst")
"""Columns that have an interval."""

RANGED = ("forget_before", "score", "worst")
"""Columns that hold the forget metric, whose range stands in the row."""


def inconsistent(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Each row, as people call it, with what cannot be in it."""
    scores = {(*_method(row), attack_label(row)): row["score"] for row in rows if row["score"] is not None}
    for row in rows:
        for name in ESTIMATES:
            yield from _outside(row, name, row[f"{name}_low"], row[f"{name}_high"], "its own interval")
        for name in RANGED:
            bounds = row["forget_low_bound"], row["forget_high_bound"]
            yield from _outside(row, name, *bounds, "the metric's range")
        worst = row["worst_attack"]
        if (
            row["attack"] == "none"
            and worst is not None
            and row["worst"] != scores.get((*_method(row), worst))
        ):
            yield _label(row), f"worst is not the score under {worst}"


def _label(row: Row) -> str:
    return " ".join(filter(None, (row["benchmark"], method_label(row), attack_label(row))))


def _method(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*TARGET, *METHOD))


def _outside(
    row: Row, name: str, low: float | None, high: float | None, what: str
) -> Iterator[tuple[str, str]]:
    value = row[name]
    if value is None:
        return
    if (low is not None and value < low - ROUNDING) or (high is not None and value > high + ROUNDING):
        yield _label(row), f"{name} {value:g} is outside {what}"
