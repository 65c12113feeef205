"""The cells of one unlearned model: unlearn once, then evaluate, measure lm-eval, attack or analyse for each.

What decides a number is in ``engine.cell``; here are the plugins and files a stage needs, failures and costs.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace

from ..core.base import Analysis, Attack
from ..core.events import Event
from ..core.names import ANALYSIS, ATTACK, EVALUATION, UTILITY
from ..core.types import Cost, Outcome
from ..engine.cell import UnlearnedModel
from ..engine.integrity import Tampered
from ..engine.under_test import ModelUnderTest
from ..errors import HarnessError, StoreError
from ..store.store import Store
from . import pair, utility
from . import tasks as lm_eval_tasks
from .group_model import Clock, GroupModel
from .plan import Cell, Spec, task_name
from .record import Recorder, explain


class OutOfStep(HarnessError):
    """Another of the processes that hold the model failed where this one did not, or never came."""

    def __init__(self, met: bool) -> None:
        super().__init__(
            "Another of the processes that hold the model failed here, and this one did not. Most often "
            "memory ran out there: use a smaller --micro-batch, or more processes."
        )
        self.met = met
        """Whether it came here, and so can go on."""


@dataclass
class GroupRun(GroupModel):
    """Runs the cells of one group, and commits each as it is done."""

    attacked: tuple[Spec | None, str, int] | None = None
    """Attack, variant and seed of the last attack that was made."""
    failure: str = ""
    """Why it failed, if it did."""

    def run(self) -> None:
        """Run all cells. A failure before the first fails them all, a later one its cell alone.

        Where a stage has left process, data or model other than it found them, the cells after it are not
        run: they belong to another process. Raises StoreError where the results directory cannot be used.
        """
        name = task_name(self.group)
        store = Store(self.context.results, opened=True)
        recorder = Recorder(self.context.source, store, self.tell, self.context.leads)
        clock = Clock()
        self.tell(Event(name, "load", 0, 1))
        try:
            subject, weights = self.load(name)
            model = self.unlearned(subject, clock)
            self._keep_step("unlearned")
        except StoreError:
            raise
        except BaseException as error:
            self._in_step("unlearned", error)
            for cell in self.group.cells:
                recorder.failed(replace(recorder.row(self.group, cell), seconds=clock.lap()), error)
        else:
            self._run_cells(model, recorder, weights, clock)
        self.tell(Event(name, status="done"))

    def _run_cells(self, model: UnlearnedModel, recorder: Recorder, weights: str, clock: Clock) -> None:
        """Do and commit each cell. The first bears the seconds of loading and unlearning.

        Seeds of a method without a seed share one unlearned model, and so what its evaluation and lm-eval
        find: the first of them bears the cost, and the others none.
        """
        stages = {
            EVALUATION: self._evaluate,
            UTILITY: self._measure_utility,
            ATTACK: self._attack,
            ANALYSIS: self._analyse,
        }
        shared: dict[str, Outcome] = {}
        for cell in self.group.cells:
            row = recorder.row(self.group, cell, weights)
            self.tell(Event(task_name(self.group), cell.stage, 0, 1, key=cell.key))
            try:
                if cell.stage in shared:
                    outcome = replace(shared[cell.stage], cost=Cost())
                    clock.lap()
                else:
                    outcome = stages[cell.stage](model, cell)
                    outcome.cost.seconds = clock.lap() + (self.spared if cell.stage == EVALUATION else 0)
                    if cell.stage in (EVALUATION, UTILITY):
                        shared[cell.stage] = outcome
                self._keep_step(cell.key)
            except BaseException as error:
                in_step = self._in_step(cell.key, error)
                recorder.failed(replace(row, seconds=clock.lap()), error)
                if isinstance(error, Tampered) or not in_step or not model.is_intact():
                    return
            else:
                recorder.done(row, outcome)

    def _keep_step(self, moment: str) -> None:
        """Raise OutOfStep where another process that holds the model has failed."""
        results = self.context.meet(moment, worked=True)
        if results != {True}:
            raise OutOfStep(bool(results))

    def _in_step(self, moment: str, error: BaseException) -> bool:
        """Whether all that hold the model are at this moment, after one in which this one failed."""
        return error.met if isinstance(error, OutOfStep) else bool(self.context.meet(moment, worked=False))

    def _evaluate(self, model: UnlearnedModel, cell: Cell) -> Outcome:
        """The benchmark's own metrics."""
        outcome = model.evaluate()
        if self.group.pair:
            outcome.notes |= pair.notes(self.group.pair, self.context)
        return outcome

    def _measure_utility(self, model: UnlearnedModel, cell: Cell) -> Outcome:
        """lm-eval's tasks."""
        tasks = cell.tasks
        assert tasks is not None
        settings = json.loads(tasks.config)

        def measure(subject: ModelUnderTest) -> Outcome:
            subject.advance("lm-eval", 0, 1)
            own = subject.benchmark.utility_tasks
            names = tuple(settings["asked"])
            found = lm_eval_tasks.load(names, tasks.directory, own, tasks.fingerprint, tasks.trusted)
            tokenizer, limit = subject.tokens.tokenizer, settings["limit"]
            return utility.measure(subject.model, tokenizer, found, limit, self.context.micro_batch)

        return model.utility(measure)

    def _attack(self, model: UnlearnedModel, cell: Cell) -> Outcome:
        """One setting of one attack. Where an analysis looks at what it makes of the model, that is kept."""
        assert cell.attack is not None
        setting = cell.attack, cell.variant, cell.seed
        kept = any(
            (other.attack, other.variant, other.seed) == setting
            for other in self.group.cells
            if other.stage == ANALYSIS
        )
        self.attacked, self.failure = setting, ""
        try:
            attack: Attack = cell.attack.make(self.registry)
            return model.attack(attack, cell.seed, kept)
        except BaseException as error:
            self.failure = explain(error)
            raise

    def _analyse(self, model: UnlearnedModel, cell: Cell) -> Outcome:
        """One analysis. An attack that comes before it is made again where its own cell is there already."""
        assert cell.analysis is not None
        if cell.attack and self.attacked != (cell.attack, cell.variant, cell.seed):
            with suppress(Exception):  # told below, as to the analyses after this one
                self._attack(model, cell)
        if cell.attack and self.failure:
            raise HarnessError(f"The attack before it failed: {self.failure}")
        analysis: Analysis = cell.analysis.make(self.registry)
        return model.analyse(analysis, cell.seed, after_attack=cell.attack is not None)
