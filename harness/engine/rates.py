"""The shared protocol of unlearning: the lowest learning rate of the grid at which a method forgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..core.base import Method
from ..core.batch import Batch, Stage
from ..core.keys import derive
from ..core.types import Fact, Metric, Splits
from ..errors import HarnessError
from ..model.lora import Adapter, adapters
from ..model.train import warmup
from .damage import Limit
from .job import Training
from .threshold import Threshold
from .under_test import ModelUnderTest


@dataclass
class RateSearch:
    """Trains a method at one rate after the other, each from the original, until one forgets."""

    job: Any
    """An ``engine.unlearning.UnlearningJob``, which knows this class."""
    method: Method
    forget: Sequence[Fact]
    original: Mapping[str, Tensor]
    score: Callable[[str], float]
    """The forget score of the job's model by a metric."""
    batches: Callable[[int, Sequence[Stage]], Callable[[], Iterator[list[Batch]]]]
    """Optimisation steps, anew for each rate, by batch size and stages."""
    points: list[Metric] = field(default_factory=list)
    """Of the unlearning curve."""

    def run(self) -> list[Metric]:
        """Leave the model that forgot, and say in the job's notes how; the points of the curve."""
        job, method, config = self.job, self.method, self.job.config
        self.metric, self.threshold = stopping(method, job.subject)
        job.notes.update(
            stop_metric=self.metric,
            stop_at=self.threshold.value,
            forgotten=False,
            learning_rate=None,
            steps=0,
            check_every=job.subject.protocol.check_every,
        )
        self.limit = self._limit()
        if self._look() <= self.threshold.value:
            job.notes["forgotten"] = True
            return self.points
        method.prepare(job)
        self.per_epoch = -(-len(self.forget) // min(config.batch_size, len(self.forget)))
        self.steps = config.epochs * self.per_epoch
        training = Training(
            "unlearn",
            self.steps,
            self.batches(config.batch_size, method.stages(job, self.steps)),
            method.loss,
            self._begun,
            method.optimizer,
            self._checked,
            warmup(round(config.warmup_epochs * self.per_epoch)),
            method.after_backward,
            None if getattr(method.combine, "__func__", None) is Method.combine else method.combine,
            method.step_gradients,
        )
        for rate, cost in training.at_each(job, config.learning_rates, self.original):
            job.notes.update(learning_rate=rate, steps=cost.steps)
            if self.limit:
                self.limit.keep(job.notes)
            if job.notes["forgotten"]:
                break
        if self.limit:
            job.notes.update(self.limit.restore_best())
        if method.finish(job):
            job.notes["forgotten"] = self._look() <= self.threshold.high
        return self.points

    def _checked(self, step: int, rate: float) -> bool:
        """Look at the forget score if it is time, and say whether this rate ends here."""
        if step % self.per_epoch == 0 and step < self.steps:
            self.method.new_epoch(self.job, step // self.per_epoch)
        if step % (self.job.subject.protocol.check_every or self.per_epoch) and step < self.steps:
            return False
        score = self._look()
        self.points.append(
            Metric("forget", self.metric, score, n=len(self.forget), step=step, learning_rate=rate)
        )
        beyond = False
        if self.limit and (beyond := self.limit.exceeded(step, score)):
            score = self.limit.score
        # Where a rate ends within the noise of what never knew, a higher one is not tried.
        ended = beyond or step == self.steps
        self.job.notes["forgotten"] = score <= (self.threshold.high if ended else self.threshold.value)
        return beyond or score <= self.threshold.value

    def _look(self) -> float:
        """The forget score, which the progress tells of from now on."""
        own = self.method.stop_score(self.job) if self.threshold.rule == "method" else None
        self.job.forget_score_now = self.score(self.metric) if own is None else own
        return float(self.job.forget_score_now)

    def _limit(self) -> Limit | None:
        """The limit of damage, if there is one. A method with a rule of its own keeps to that."""
        most = self.job.subject.most_damage
        return None if most is None or self.method.stop is not None else Limit(self.job.subject, most)

    @contextmanager
    def _begun(self) -> Iterator[list[nn.Parameter]]:
        """Begin a rate: what trains is known, and the limit of damage with it."""
        with self._trainable() as chosen:
            if self.limit:
                self.limit.begin()
            yield chosen

    @contextmanager
    def _trainable(self) -> Iterator[list[nn.Parameter]]:
        """Begin a rate; train LoRA adapters, merged afterwards, or the parameters the method chooses."""
        self.method.start(self.job.model)
        if self.job.config.lora_r is not None:
            if not self.method.lora:
                raise HarnessError(
                    f"The definition of '{self.method.name}' leaves no room for LoRA: unset lora_r."
                )
            rank, alpha = self.job.config.lora_r, self.job.config.lora_alpha or 2 * self.job.config.lora_r
            trained = self._keep_adapter if self.job.keeps_adapter else None
            with adapters(self.job.model, rank, alpha, derive(self.job.seed, "init"), trained) as chosen:
                self.method.new_epoch(self.job, 0)
                yield chosen
            return
        own = {id(p) for p in self.method.trainable(self.job.model)}
        try:
            for parameter in self.job.model.parameters():
                parameter.requires_grad_(id(parameter) in own)
            self.method.new_epoch(self.job, 0)
            yield [p for p in self.job.model.parameters() if p.requires_grad]
        finally:
            self.job.model.requires_grad_(True)

    def _keep_adapter(self, adapter: Adapter) -> None:
        self.job.adapter = adapter


def stopping(method: Method, subject: ModelUnderTest) -> tuple[str, Threshold]:
    """The metric and value at which unlearning stops.

    The method's own rule counts where the benchmark measures its metric on the forget set, and otherwise the
    benchmark's forgetting threshold.
    """
    if method.stop is not None:
        part = Splits({"forget": subject.splits["forget"]})
        if any(measure.metric == method.stop[0] for measure in subject.benchmark.measures(part)):
            metric, value = method.stop
            return metric, Threshold(value, value, "method")
    return subject.benchmark.forget_metric, subject.threshold
