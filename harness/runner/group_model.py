"""The unlearned model of one group: its original is loaded and unlearned, or a kept one is taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..core.base import Attack, Method
from ..core.events import Event, Tell
from ..core.names import ANALYSIS, ATTACK
from ..engine.cell import UnlearnedModel
from ..engine.surroundings import Surroundings
from ..engine.under_test import ModelUnderTest
from ..errors import ModelError
from ..plugins.registry import Registry
from . import keeping
from .context import WorkerContext
from .plan import Cell, Group, task_name


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


@dataclass
class GroupModel:
    """Loads the original of one group, and gives its unlearned model."""

    group: Group
    context: WorkerContext
    registry: Registry
    tell: Tell
    process: Surroundings
    """The state of the process before any plugin's code was imported."""
    spared: float = field(default=0.0, init=False)
    """Seconds of unlearning that a kept model spared; the evaluation bears them, as what the method costs."""

    def unlearned(self, subject: ModelUnderTest, clock: Clock) -> UnlearnedModel:
        """The unlearned model: the one that is kept, or made and kept where the run is told to."""
        group, context = self.group, self.context
        method: Method = group.method.make(self.registry)
        compared = any(cell.stage == ANALYSIS or self._has_original(cell) for cell in group.cells)
        if context.meet("kept", keeping.is_kept(context.cache, group.key)) == {True}:
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

    def load(self, task: str) -> tuple[ModelUnderTest, str]:
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
