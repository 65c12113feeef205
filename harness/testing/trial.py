"""What trials of methods, attacks and analyses have in common: their runs, and the rules for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from ..core.benchmark import Plugin
from ..core.keys import canonical
from .observe import Observed, Watch, repeating_kernels
from .rules import Skipped, Violation, rule


@dataclass
class Run:
    """What was observed of one run of a plugin."""

    subject: Observed
    watch: Watch
    notes: dict[str, Any]
    not_finite: str
    """The first number of its result that is NaN or infinite, as a clause; empty where there is none."""


R = TypeVar("R", bound=Run)


@dataclass
class Trial(ABC, Generic[R]):
    """A method, an attack or an analysis on trial: its runs, by variant, each made once."""

    cls: type[Plugin]
    settings: dict[str, Any]

    @abstractmethod
    def first_runs(self) -> dict[str, R]:
        """Run each variant that can run on the toy facts."""

    @abstractmethod
    def rerun(self, variant: str, family: str = "llama", dtype: str = "float32") -> R:
        """Run a variant once more, on another model."""

    @cached_property
    def attempt(self) -> dict[str, R] | Exception:
        """The first runs, or what was raised."""
        try:
            return self.first_runs()
        except Exception as error:
            return error

    @property
    def runs(self) -> dict[str, R]:
        """The runs that most rules look at, by variant; rules other than the first are skipped without."""
        if isinstance(self.attempt, Exception):
            raise Skipped("it does not run")
        if not self.attempt:
            raise Skipped("no variant can run on the toy facts")
        return self.attempt

    def require(self, problem: Callable[[R], object]) -> None:
        """Raise Violation with the ``problem`` of the first variant that has one."""
        for variant, run in self.runs.items():
            if message := problem(run):
                raise Violation(f"{variant}: {message}" if variant else str(message))

    def works_on(self, **model: str) -> str:
        """Run every variant on another model. Raises Violation for what the first model did not show."""
        for variant, first in self.runs.items():
            run = self.rerun(variant, **model)
            leftovers = "" if first.watch.leftovers else "; ".join(run.watch.leftovers)
            if message := leftovers or ("" if first.not_finite else run.not_finite):
                raise Violation(f"{variant}: {message}" if variant else message)
        return "it runs"


def check_repeats(first: R, run: Callable[[int], R], differ: Callable[[R, R], str]) -> None:
    """Raise Violation where a run under another global seed is another one; ``differ`` says in what.

    Where they differ it is tried again with kernels that repeat themselves. Raises Skipped where one of those
    that it needs has no such version: the difference may then be none of the plugin's.
    """
    if not differ(first, run(2)):
        return
    with repeating_kernels() as lacking:
        what = differ(run(1), run(2))
    if what and lacking:
        raise Skipped(f"{lacking[0]} does not repeat itself on this device, and so nobody can tell: {what}")
    if what:
        raise Violation(what)


@rule(
    "leaves global state alone",
    "Use generators of your own instead of seeding or drawing globally, and context managers for settings.",
)
def global_state(trial: Trial[Run]) -> str:
    trial.require(lambda run: run.watch.touched and f"it changed {', '.join(run.watch.touched)}")
    return "untouched"


@rule("leaves the data alone", "Copy facts with dataclasses.replace instead of changing them.")
def data(trial: Trial[Run]) -> str:
    trial.require(lambda run: run.watch.changed_data and "the facts have changed")
    return "every fact is as it was"


@rule(
    "works in bfloat16",
    "Take dtype and device from the weights (`.to(weight)`); compute in float32 where bfloat16 is coarse.",
)
def bfloat16(trial: Trial[Run]) -> str:
    return trial.works_on(dtype="bfloat16")


@rule(
    "works with another family (GPT-NeoX)",
    "Find layers by harness.models.blocks, matrices and linear_modules, not by the names of one family.",
)
def family(trial: Trial[Run]) -> str:
    return trial.works_on(family="gpt_neox")


@rule(
    "its notes are JSON",
    "Put numbers, text, lists and dicts into job.notes; of a tensor .item() or .tolist(), of NaN nothing.",
)
def notes(trial: Trial[Run]) -> str:
    for run in trial.runs.values():
        try:
            canonical(run.notes)
        except (TypeError, ValueError) as error:
            raise Violation(f"{error}") from error
    return f"{len(run.notes)} notes" if run.notes else "none"
