"""The result of a run as terminal tables."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from ..leaderboard import labels
from .console import note, table

WIDTH = 80


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The rows of a run as tables, one for each benchmark: a line for each method and for each attack.

    Below it stands which methods can be told apart.
    """
    for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
        mine = [row for row in rows if row["benchmark"] == benchmark]
        lines = [
            line(row)
            for method in dict.fromkeys(row["method"] for row in mine)
            for row in sorted((row for row in mine if row["method"] == method), key=attack_order)
        ]
        title = f"{benchmark}: forget {mine[0]['forget_metric']} before, and highest under each attack"
        columns = ("method", "forget", "95 %", "recovery", "retain", "utility", "lm-eval")
        width = len(columns) if any(row["lm_eval_tasks"] for row in mine) else -1
        note(table(title, columns[:width], [line[:width] for line in lines]))
        for told in labels.compared(mine) + labels.guarded(mine):
            note(fill(told, WIDTH, subsequent_indent="  "))


def attack_order(row: dict[str, Any]) -> tuple[bool, str, str]:
    """What was measured before any attack comes first."""
    return row["attack"] != "none", row["attack"], row["variant"]


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the leaderboard, narrow enough for eighty columns."""
    if row["attack"] == "none":
        name, column = row["method"], "forget_before"
        rest = ("", *(number(row[name]) for name in ("retain_before", "utility_before", "lm_eval")))
    else:
        name, column = "  " + " ".join(filter(None, (row["attack"], row["variant"]))), "score"
        rest = (number(row["recovery"]), "", "", "")
    if row[column] is None:
        return name, "failed" if row["failed"] else number(None), "", "", "", "", ""
    interval = f"{number(row[f'{column}_low'])} to {number(row[f'{column}_high'])}"
    return name, number(row[column]), interval, *rest


def number(value: float | None) -> str:
    """Two digits, or a dash for what was not measured."""
    return "–" if value is None else f"{value:.2f}"
