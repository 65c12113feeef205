"""What a command prints: the plan of a run, the result of a run, the comparison of two leaderboards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from ..leaderboard import labels
from ..leaderboard.compare import Comparison, Difference
from ..leaderboard.format import number, share
from .console import note, say, table
from .escape import plain

WIDTH = 80
DIGITS = 2
FURTHEST = 5
"""Numbers of a comparison that are shown although they agree: the furthest apart."""


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a run consists of, and what of it is there already."""

    benchmarks: Sequence[str]
    model: str
    seeds: int
    methods: Sequence[str]
    attacks: Sequence[str]
    utility: Mapping[str, Sequence[str]]
    """Tasks, by the engine that measures them."""
    cells: int
    done: int
    results: Path
    to_train: Sequence[str]
    """Roles of the models that must be trained first."""
    left_out: Sequence[str]
    """A sentence for each thing that cannot be run."""
    time: str = ""
    """What the rest takes, in words; nothing where there is no rest."""

    def lines(self) -> Iterable[str]:
        """The summary as text."""
        yield f"benchmarks: {', '.join(self.benchmarks)}   model: {self.model}   seeds: {self.seeds}"
        yield f"methods: {', '.join(self.methods)}"
        yield f"attacks: {', '.join(self.attacks) or 'none'}"
        yield from (f"utility: {', '.join(tasks)} ({engine})" for engine, tasks in self.utility.items())
        yield f"cells: {self.cells}, of which {self.done} are in {self.results} already"
        if self.to_train:
            yield f"models to train first: {', '.join(self.to_train)}"
        if self.time:
            yield f"time: {self.time}"
        yield from (f"left out: {sentence}" for sentence in self.left_out)


def show_plan(plan: PlanSummary, requested: bool) -> None:
    """Print the plan; at any verbosity where nothing but the plan was ``requested``."""
    for line in plan.lines():
        (say if requested else note)(plain(line, lines=False))


def show_results(rows: Sequence[dict[str, Any]]) -> None:
    """The rows of a run as tables, one for each benchmark: a line for each method and for each attack.

    Below it stands which methods can be told apart.
    """
    for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
        own = [row for row in rows if row["benchmark"] == benchmark]
        lines = [
            line(row)
            for method in dict.fromkeys(row["method"] for row in own)
            for row in sorted((row for row in own if row["method"] == method), key=attack_order)
        ]
        title = f"{benchmark}: forget {own[0]['forget_metric']} before, and highest under each attack"
        columns = ("method", "forget", "95 %", "recovery", "retain", "utility", "lm-eval")
        width = len(columns) if any(row["lm_eval_tasks"] for row in own) else -1
        note(table(title, columns[:width], [line[:width] for line in lines]))
        for sentence in labels.compared(own) + labels.guarded(own):
            note(fill(sentence, WIDTH, subsequent_indent="  "))


def attack_order(row: dict[str, Any]) -> tuple[bool, str, str]:
    """What was measured before any attack comes first."""
    return row["attack"] != "none", row["attack"], row["variant"]


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the leaderboard, narrow enough for eighty columns."""

    def text(name: str) -> str:
        return number(row[name], DIGITS)

    if row["attack"] == "none":
        name, column = row["method"], "forget_before"
        rest = ("", *(text(name) for name in ("retain_before", "utility_before", "lm_eval")))
    else:
        name, column = "  " + " ".join(filter(None, (row["attack"], row["variant"]))), "score"
        rest = (text("recovery"), "", "", "")
    if row[column] is None:
        return name, "failed" if row["failed"] else text(column), "", "", "", "", ""
    return name, text(column), f"{text(f'{column}_low')} to {text(f'{column}_high')}", *rest


def show_comparison(findings: Comparison, committed: Path, rows: int) -> None:
    """Say how much was compared, what came close, and what differs. ``rows`` must be there to compare."""
    say(
        f"\n{committed}: {findings.rows} rows and {len(findings.numbers)} numbers of {findings.models} "
        f"unlearned models compared; each pair may be {findings.limit:.2f} joint margins of its intervals "
        "apart."
    )
    apart = [pair for pair in findings.numbers if pair.share][:FURTHEST]
    lines = [(n.where, n.name, number(n.committed), number(n.rebuilt), share(n.share)) for n in apart]
    if lines:
        say(table("furthest apart", ("row", "number", "committed", "rebuilt", "of what is allowed"), lines))
    elif findings.numbers:
        say("All numbers are equal.")
    for sentence in findings.notes:
        say(f"note: {sentence}")
    if findings.differences:
        say(table("differences", ("where", "what", "what to do"), by_difference(findings.differences)))
    if findings.rows < rows:
        say(
            f"Too little to compare: the results hold {findings.rows} of its rows, needed: {rows}.",
            stderr=True,
        )
    elif findings.differences:
        count = len(findings.differences)
        say(f"{count} {'difference' if count == 1 else 'differences'}.", stderr=True)
    else:
        say("They agree.")


def by_difference(differences: Sequence[Difference]) -> list[tuple[str, str, str]]:
    """A line for each difference, with the first row that has it and the number of others."""
    rows: dict[tuple[str, str], list[str]] = {}
    for difference in differences:
        rows.setdefault((difference.what, difference.todo), []).append(difference.where)
    return [
        (first if not others else f"{first} and {len(others)} more", *what)
        for what, (first, *others) in rows.items()
    ]
