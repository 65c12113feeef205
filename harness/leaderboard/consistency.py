"""What must hold within a leaderboard itself, whoever wrote it: no number stands outside its own interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .columns import ESTIMATES, METHOD, TARGET
from .labels import attack_label, method_label
from .verdict import VERDICTS

ROUNDING = 1e-6

Row = dict[str, Any]

HIGHEST = (("worst", "score"), ("recovered", "recovery"))
"""Columns that hold the highest number of a method, and those that hold the numbers."""

RANGED = ("forget_before", "score", "worst")
"""Columns that hold the forget metric, whose range stands in the row."""


def inconsistent(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Each row, as people call it, with what cannot be in it."""
    attacked = {(*_method(row), attack_label(row)): row for row in rows if row["attack"] != "none"}
    for row in rows:
        for name in ESTIMATES:
            ends = row.get(f"{name}_low"), row.get(f"{name}_high")
            yield from _outside(row, name, *ends, "its own interval")
        for name in RANGED:
            bounds = row["forget_low_bound"], row["forget_high_bound"]
            yield from _outside(row, name, *bounds, "the metric's range")
        for name, of_attack in HIGHEST if row["attack"] == "none" else ():
            attack = row.get(f"{name}_attack")
            if attack is not None and row[name] != attacked.get((*_method(row), attack), {}).get(of_attack):
                yield _label(row), f"{name} is not the {of_attack} under {attack}"
        if row.get("verdict") not in (None, *VERDICTS):
            yield _label(row), f"'{row['verdict']}' is no verdict"


def _label(row: Row) -> str:
    return " ".join(filter(None, (row["benchmark"], method_label(row), attack_label(row))))


def _method(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*TARGET, *METHOD))


def _outside(
    row: Row, name: str, low: float | None, high: float | None, what: str
) -> Iterator[tuple[str, str]]:
    value = row.get(name)
    if value is None:
        return
    if (low is not None and value < low - ROUNDING) or (high is not None and value > high + ROUNDING):
        yield _label(row), f"{name} {value:g} is outside {what}"
