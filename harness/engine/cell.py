"""The stages of one unlearned model: evaluation, lm-eval, attacks, analyses, each from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

from ..core.base import Analysis, Attack, Method
from ..core.jobs import Which
from ..core.reports import clustered, with_definitions
from ..core.types import Outcome, Splits
from ..errors import HarnessError
from ..model import models
from . import keeping
from .analysing import Kept, run_analysis
from .attacking import attacked
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
    after_attack: Kept | None = None
    """The model at the best checkpoint of the last attack, where it was kept."""

    @classmethod
    def unlearn(
        cls,
        subject: ModelUnderTest,
        method: Method,
        seed: int,
        process: Surroundings,
        keep_original: bool = False,
        keep_adapter: bool = False,
    ) -> UnlearnedModel:
        """Let ``method`` change the model of ``subject`` in place, and look at what it leaves.

        ``process`` is as it was before any plugin's code was imported. Analyses and some attacks need the
        original's weights: without them nothing is kept that is as large as the model. Raises Tampered where
        anything but the weights is different afterwards, or a weight is not finite.
        """
        who = f"The method '{method.name}'"
        intact = Intact.of(subject, process)
        job = unlearn(subject, method, seed, keep_original, keep_adapter)
        intact.check(who)
        check_finite(subject.model, who)
        return cls(subject, job, models.snapshot(subject.model, subject.savings.offload), intact)

    @classmethod
    def restore(
        cls,
        subject: ModelUnderTest,
        method: Method,
        seed: int,
        process: Surroundings,
        path: Path,
        keep_original: bool = False,
    ) -> tuple[UnlearnedModel, keeping.KeptModel]:
        """The same without unlearning: the model that was kept in ``path`` after it, and what it is.

        Raises ModelError where it is not what was kept; ``subject`` is then as it was.
        """
        intact = Intact.of(subject, process)
        job = UnlearningJob(subject, method.config, seed)
        account = keeping.restore(job, path)
        intact.check("The kept model")
        if not keep_original:
            job.original = {}
        return cls(subject, job, models.snapshot(subject.model, subject.savings.offload), intact), account

    def retained(self) -> float | None:
        """The mean of the benchmark's retain metric; None where it measures none."""
        split, metric = self.subject.benchmark.retain_metric
        facts = Splits({split: self.subject.splits.get(split, ())})
        values = [sample.value for sample in self.subject.score(facts, [metric])]
        return fmean(values) if values else None

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

    def attack(self, attack: Attack, seed: int, keep_best: bool = False) -> Outcome:
        """The score of an attack on this model, and whether the model had forgotten before.

        The weights of its best checkpoint may be kept, for analyses, until the next attack. Raises Tampered
        where it changes anything but the weights, which are restored.
        """
        self.after_attack = None
        with self._restored():
            outcome, best = attacked(self.subject, attack, seed, self.weights, keep_best, self.job.original)
        self.intact.check(f"The attack '{attack.name}'")
        if best:
            at = {name: outcome.notes.get(name) for name in ("best_step", "learning_rate")}
            self.after_attack = Kept.of(best, **at)
        outcome.notes["forgotten"] = self.job.notes.get("forgotten")
        return self._defined(outcome)

    def analyse(self, analysis: Analysis, seed: int, after_attack: bool = False) -> Outcome:
        """What an analysis finds in the original and this model, and in this model after the last attack.

        Raises Tampered where it changes anything, weights included.
        """
        compared: dict[Which, Kept] = {"original": self._original, "unlearned": self._unlearned}
        if after_attack:
            if self.after_attack is None:
                raise HarnessError("The attack recorded no forget metric: no checkpoint of it is the best.")
            compared["attacked"] = self.after_attack
        outcome = run_analysis(self.subject, analysis, seed, compared)
        self.intact.check(f"The analysis '{analysis.name}'")
        outcome.notes["forgotten"] = self.job.notes.get("forgotten")
        return outcome

    @cached_property
    def _original(self) -> Kept:
        return Kept.of(self.job.original)

    @cached_property
    def _unlearned(self) -> Kept:
        return Kept.of(self.weights)

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
