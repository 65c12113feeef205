"""The stages of one unlearned model: evaluation, lm-eval and attacks, each from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ..core.base import Attack, Method
from ..core.reports import clustered, with_definitions
from ..core.types import Outcome
from ..model import models
from .attacking import run_attack
from .evaluation import evaluate
from .integrity import Intact, Tampered, check_finite
from .surroundings import Surroundings
from .under_test import ModelUnderTest
from .unlearning import UnlearningJob, unlearn


@dataclass
class UnlearnedModel:
    """An unlearned model in memory. A stage may change its weights: they are restored after each."""

    subject: ModelUnderTest
    job: UnlearningJob
    weights: models.Weights
    intact: Intact

    @classmethod
    def unlearn(
        cls, subject: ModelUnderTest, method: Method, seed: int, process: Surroundings
    ) -> UnlearnedModel:
        """Let ``method`` change the model of ``subject`` in place, and look at what it leaves.

        ``process`` is as it was before any plugin's code was imported. Raises Tampered where anything but the
        weights is different afterwards, or a weight is not finite.
        """
        who = f"The method '{method.name}'"
        intact = Intact.of(subject, process)
        job = unlearn(subject, method, seed)
        intact.check(who)
        check_finite(subject.model, who)
        return cls(subject, job, models.snapshot(subject.model), intact)

    def evaluate(self) -> Outcome:
        """Everything the benchmark measures, beside the twin where it compares, and what unlearning said.

        The outcome bears the cost of unlearning.
        """
        with self._restored():
            outcome = evaluate(self.subject)
        self.intact.check(f"The benchmark '{self.subject.benchmark.name}'")
        metrics, notes = [*outcome.metrics, *self.job.metrics], {**outcome.notes, **self.job.notes}
        return self._defined(Outcome(metrics, outcome.samples, notes, replace(self.job.cost)))

    def utility(self, measure: Callable[[ModelUnderTest], Outcome]) -> Outcome:
        """What ``measure`` finds, which must leave the random states as they were."""
        with self._restored():
            outcome = measure(self.subject)
        self.intact.check("A task of lm-eval")
        return outcome

    def attack(self, attack: Attack, seed: int) -> Outcome:
        """The score of an attack on this model, and whether the model had forgotten before.

        Raises Tampered where it changes anything but the weights, which are restored.
        """
        with self._restored():
            outcome = run_attack(self.subject, attack, seed, self.weights)
        self.intact.check(f"The attack '{attack.name}'")
        outcome.notes["forgotten"] = self.job.notes.get("forgotten")
        return self._defined(outcome)

    def is_intact(self) -> bool:
        """Whether the next stage finds things as this one did, after one that raised."""
        try:
            self.intact.check("")
        except Tampered:
            return False
        return True

    @contextmanager
    def _restored(self) -> Iterator[None]:
        try:
            yield
        finally:
            models.restore(self.subject.model, self.weights)

    def _defined(self, outcome: Outcome) -> Outcome:
        metrics = with_definitions(outcome.metrics, self.subject.benchmark.reports)
        return replace(outcome, metrics=metrics, samples=clustered(outcome.samples, self.subject.splits))
