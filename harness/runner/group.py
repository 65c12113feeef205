"""The cells of one unlearned model: unlearn once, then evaluate, measure lm-eval, attack or analyse for each.

What decides a number is in ``engine.cell``; here are the plugins and files a stage needs, failures and costs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from ..core.base import Analysis, Attack, Method
from ..core.events import Event, Tell
from ..core.names import ANALYSIS, ATTACK, EVALUATION, UTILITY
from ..core.types import Cost, Outcome
from ..engine.cell import UnlearnedModel
from ..engine.integrity import Tampered
from ..engine.surroundings import Surroundings
from ..engine.under_test import ModelUnderTest
from ..errors import HarnessError, ModelError, StoreError
from ..plugins.registry import Registry
from ..store.store import Store
from . import keeping, pair, utility
from . import tasks as lm_eval_tasks
from .context import WorkerContext
from .plan import Cell, Group, Spec, task_name
from .record import Recorder, explain


@dataclass
class GroupRun:
    """Runs the cells of one group, and commits each as it is done."""

    group: Group
    context: WorkerContext
    registry: Registry
    tell: Tell
    process: Surroundings
    """The state of the process before any plugin's code was imported."""
    attacked: tuple[Spec | None, str, int] | None = None
    """Attack, variant and seed of the last attack that was made."""
    failure: str = ""
    """Why it failed, if it did."""
    spared: float = 0.0
    """Seconds of unlearning that a kept model spared; the evaluation bears them, as what the method costs."""

    def run(self) -> None:
        """Run all cells. A failure before the first fails them all, a later one its cell alone.

        Where a stage has left process, data or model other than it found them, the cells after it are not
        run: they belong to another process. Raises StoreError where the results directory cannot be used.
        """
        name = task_name(self.group)
        recorder = Recorder(self.context.source, Store(self.context.results, opened=True), self.tell)
        clock = Clock()
        self.tell(Event(name, "load", 0, 1))
        try:
            subject, weights = self._load(name)
            model = self._unlearned(subject, clock)
        except StoreError:
            raise
        except BaseException as error:
            for cell in self.group.cells:
                recorder.failed(replace(recorder.row(self.group, cell), seconds=clock.lap()), error)
        else:
            self._run_cells(model, recorder, weights, clock)
        self.tell(Event(name, status="done"))

    def _unlearned(self, subject: ModelUnderTest, clock: Clock) -> UnlearnedModel:
        """The unlearned model: the one that is kept, or made and kept where the run is told to."""
        group, context = self.group, self.context
        method: Method = group.method.make(self.registry)
        compared = any(cell.stage == ANALYSIS or self._has_original(cell) for cell in group.cells)
        if keeping.is_kept(context.cache, group.key):
            path = keeping.kept_path(context.cache, group.key)
            try:
                model, account = UnlearnedModel.restore(
                    subject, method, group.seed, self.process, path, compared
                )
            except ModelError as error:
                name = task_name(group)
                self.tell(Event(name, status="warning", message=f"{name} is unlearned again: {error}"))
            else:
                self.spared = account.seconds
                return model
        keeps = context.keep != "none"
        model = UnlearnedModel.unlearn(subject, method, group.seed, self.process, compared, keeps)
        self._check_twin(subject)
        with clock.stopped() as seconds:
            keeping.keep_of(model, group, context, seconds, self.tell)
        return model

    def _load(self, task: str) -> tuple[ModelUnderTest, str]:
        """The original model, and the fingerprint of its weights."""
        group, context = self.group, self.context
        path = context.path("original", group.target, group.trained)
        twin = context.path("retrain", group.twin, group.trained) if group.twin else None
        subject = context.load(group.benchmark, self.registry, path, self.tell, task, twin)
        context.screen(subject, group.screening)
        scored = {each.role: context.samples(each) for each in group.references if not each.screens}
        subject.twin = scored.get("retrain")
        return subject, context.check("original", path, group.trained, subject.model)

    def _has_original(self, cell: Cell) -> bool:
        """Whether the attacker of a cell has the model before unlearning, too."""
        if cell.stage != ATTACK or cell.attack is None:
            return False
        try:
            attack: type[Attack] = self.registry.attacks[cell.attack.name].load()  # type: ignore[assignment]
        except Exception:
            return False  # its own cell will say why
        return attack.needs_original

    def _check_twin(self, subject: ModelUnderTest) -> None:
        """Raise ModelError where a twin that was taken as it is was changed before the method read it."""
        if subject.retrain and self.context.pair and self.context.pair.retrain:
            self.context.pair.retrain.check(subject.retrain)

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
            except BaseException as error:
                recorder.failed(replace(row, seconds=clock.lap()), error)
                if isinstance(error, Tampered) or not model.is_intact():
                    return
            else:
                recorder.done(row, outcome)

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


@dataclass
class Clock:
    """Seconds since it was made, or since the last lap, on a clock that only goes forward."""

    begun: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stopped(self) -> Iterator[float]:
        """Have what is done meanwhile belong to no lap; the seconds of this one so far."""
        at = time.perf_counter()
        yield at - self.begun
        self.begun += time.perf_counter() - at

    def lap(self) -> float:
        """The seconds of this lap; the next begins."""
        now = time.perf_counter()
        seconds, self.begun = now - self.begun, now
        return seconds
