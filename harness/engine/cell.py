"""The stages of one unlearned model: evaluation, lm-eval and attacks, each from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ..core.base import Attack, Method
from ..core.reports import with_definitions
from ..core.types import Outcome, Sample
from ..model import models
from .attacking import run_attack
from .evaluation import evaluate
from .under_test import ModelUnderTest
from .unlearning import UnlearningJob, unlearn


@dataclass
class UnlearnedModel:
    """An unlearned model in memory. A stage may change its weights: they are restored after each."""

    subject: ModelUnderTest
    job: UnlearningJob
    weights: models.Weights

    @classmethod
    def unlearn(cls, subject: ModelUnderTest, method: Method, seed: int) -> UnlearnedModel:
        """Let ``method`` change the model of ``subject`` in place."""
        job = unlearn(subject, method, seed)
        return cls(subject, job, models.snapshot(subject.model))

    def evaluate(self, twin: Sequence[Sample] | None = None) -> Outcome:
        """Everything the benchmark measures, beside ``twin`` where it compares, and what unlearning said.

        The outcome bears the cost of unlearning.
        """
        with self._restored():
            self.subject.twin = twin
            outcome = evaluate(self.subject)
        metrics, notes = [*outcome.metrics, *self.job.metrics], {**outcome.notes, **self.job.notes}
        return self._defined(Outcome(metrics, outcome.samples, notes, replace(self.job.cost)))

    def utility(self, measure: Callable[[ModelUnderTest], Outcome]) -> Outcome:
        """What ``measure`` finds, which must leave the random states as they were."""
        with self._restored():
            return measure(self.subject)

    def attack(self, attack: Attack, seed: int) -> Outcome:
        """The score of an attack on this model, and whether the model had forgotten before."""
        with self._restored():
            outcome = run_attack(self.subject, attack, seed, self.weights)
        outcome.notes["forgotten"] = self.job.notes.get("forgotten")
        return self._defined(outcome)

    @contextmanager
    def _restored(self) -> Iterator[None]:
        try:
            yield
        finally:
            models.restore(self.subject.model, self.weights)

    def _defined(self, outcome: Outcome) -> Outcome:
        return replace(outcome, metrics=with_definitions(outcome.metrics, self.subject.benchmark.reports))
