"""What a command prints: the plan of a run, the result of a run, the comparison of two leaderboards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..leaderboard.compare import Comparison, Difference
from ..leaderboard.format import number, share
from . import details as breakdown
from . import summary
from .console import note, say, table
from .escape import plain

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
    results: str
    to_train: Sequence[str]
    """Roles of the models that must be trained first."""
    left_out: Sequence[str]
    """A sentence for each thing that cannot be run."""
    time: str = ""
    """What the rest takes, in words; nothing where there is no rest."""
    analyses: Sequence[str] = ()
    to_convert: str = ""
    """How long it takes to make the model of its GGUF file first; nothing where that is not to be done."""
    to_keep: str = ""
    """How many unlearned models the run keeps, and what they take; nothing where it keeps none."""
    memory: str = ""
    """What a cell takes at the most, in words."""
    kept: int = 0
    """How many unlearned models are kept already, and started from."""

    def lines(self) -> Iterable[str]:
        """The summary as text."""
        yield f"benchmarks: {', '.join(self.benchmarks)}   model: {self.model}   seeds: {self.seeds}"
        yield f"methods: {', '.join(self.methods)}"
        yield f"attacks: {', '.join(self.attacks) or 'none'}"
        if self.analyses:
            yield f"analyses: {', '.join(self.analyses)}"
        yield from (f"utility: {', '.join(tasks)} ({engine})" for engine, tasks in self.utility.items())
        yield f"cells: {self.cells}, of which {self.done} are in {self.results} already"
        if self.to_convert:
            yield f"model to convert first: {self.model}, once (some {self.to_convert})"
        if self.to_train:
            yield f"models to train first: {', '.join(self.to_train)}"
        if self.kept:
            yield f"unlearned already: {self.kept}, of which the models are kept"
        if self.to_keep:
            yield f"to keep: {self.to_keep}"
        if self.time:
            yield f"time: {self.time}"
        if self.memory:
            yield f"memory: {self.memory}"
        yield from (f"left out: {sentence}" for sentence in self.left_out)


def show_plan(plan: PlanSummary, requested: bool) -> None:
    """Print the plan; at any verbosity where nothing but the plan was ``requested``."""
    for line in plan.lines():
        (say if requested else note)(plain(line, lines=False))


def show_results(rows: Sequence[dict[str, Any]], details: bool = False, requested: bool = False) -> None:
    """Print what the rows of a run say: for each target a line for each method, and sentences below it.

    ``details`` adds every attack, the ranks and the guards. At any verbosity where nothing but this was
    ``requested``.
    """
    for piece in (*summary.pieces(rows), *(["", *breakdown.pieces(rows)] if details else [])):
        (say if requested else note)(piece)


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
