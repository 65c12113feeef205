"""An unlearning job: what a method is handed, and the shared protocol around its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from ..core import jobs
from ..core.base import Method
from ..core.batch import Batch
from ..core.keys import derive
from ..core.types import Fact, Metric, Splits
from ..errors import HarnessError
from ..model import loading, models
from ..model.lora import adapters
from ..model.steps import forget_steps
from ..model.train import warmup
from .damage import Limit
from .job import Job, Training
from .note import check
from .threshold import Threshold
from .under_test import ModelUnderTest


@dataclass
class UnlearningJob(Job, jobs.UnlearningJob):
    """The original model with the facts to forget and to keep, and how far a method has come."""

    axis = "init"

    metrics: list[Metric] = field(default_factory=list)
    """The points of the unlearning curve."""
    original: models.Weights = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.original = models.snapshot(self.model)

    @property
    def forget(self) -> tuple[Fact, ...]:
        return self.subject.splits["forget"]

    @property
    def retain(self) -> tuple[Fact, ...]:
        return self.subject.splits["retain"]

    @property
    def threshold(self) -> float:
        return self.subject.threshold.value

    def forget_score(self, metric: str | None = None) -> float:
        metric = metric or self.benchmark.forget_metric
        samples = self.subject.score(Splits({"forget": self.forget}), [metric])
        if not samples:
            raise HarnessError(
                f"The benchmark '{self.benchmark.name}' has no metric '{metric}' on its forget set."
            )
        return sum(s.value for s in samples) / len(samples)

    def look(self, metric: str | None = None) -> float:
        """The forget score, which the progress tells of from now on."""
        self.seen = self.forget_score(metric)
        return self.seen

    def remembered(self, facts: Sequence[Fact]) -> set[str]:
        return self.subject.remembered(facts)

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        models.restore(self.model, weights)

    def load_retrained(self) -> None:
        if self.subject.retrain is None:
            raise HarnessError(
                "This benchmark cannot train a model without its forget set: there is no twin."
            )
        twin, _ = loading.load(
            self.subject.retrain, self.subject.dtype, trust_remote_code=self.subject.trust_remote_code
        )
        if self.subject.noted:
            check(self.subject.retrain, twin)
        models.restore(self.model, twin.state_dict())

    def train(
        self,
        loss: Callable[[nn.Module, Batch], Tensor | Iterable[Tensor]],
        learning_rate: float,
        steps: int,
        batch_size: int = 32,
        check: Callable[[int], bool] = lambda step: False,
    ) -> None:
        def optimizer(parameters: Sequence[nn.Parameter], rate: float) -> torch.optim.Optimizer:
            return AdamW(parameters, lr=rate, weight_decay=0.01)

        run = Training(
            "train",
            steps,
            self._batches(batch_size, steps),
            loss,
            lambda: nullcontext(list(self.model.parameters())),
            optimizer,
            lambda step, rate: check(step),
        )
        run.at(self, learning_rate)

    def run_protocol(self, method: Method) -> None:
        metric, threshold = stopping(method, self.subject)
        self.notes.update(
            stop_metric=metric, stop_at=threshold.value, forgotten=False, learning_rate=None, steps=0
        )
        limit = self._limit(method)
        if self.look(metric) <= threshold.value:
            self.notes["forgotten"] = True
            return
        method.prepare(self)
        config = self.config
        per_epoch = -(-len(self.forget) // min(config.batch_size, len(self.forget)))
        steps = config.epochs * per_epoch
        check_every = self.subject.protocol.check_every or per_epoch

        def checked(step: int, rate: float) -> bool:
            if step % per_epoch == 0 and step < steps:
                method.new_epoch(self, step // per_epoch)
            if step % check_every and step < steps:
                return False
            score = self.look(metric)
            self.metrics.append(
                Metric("forget", metric, score, n=len(self.forget), step=step, learning_rate=rate)
            )
            beyond = limit is not None and limit.exceeded(step, score)
            if limit and beyond:
                score = limit.score
            # Where a rate ends within the noise of what never knew, a higher one is not tried.
            self.notes["forgotten"] = score <= (
                threshold.high if beyond or step == steps else threshold.value
            )
            return beyond or score <= threshold.value

        @contextmanager
        def trainable() -> Iterator[list[nn.Parameter]]:
            with self._trainable(method) as chosen:
                if limit:
                    limit.begin()
                yield chosen

        training = Training(
            "unlearn",
            steps,
            self._batches(config.batch_size, steps),
            method.loss,
            trainable,
            method.optimizer,
            checked,
            warmup(round(config.warmup_epochs * per_epoch)),
            method.after_backward,
            None if type(method).combine is Method.combine else method.combine,
        )
        for rate, cost in training.at_each(self, config.learning_rates, self.original):
            self.notes.update(learning_rate=rate, steps=cost.steps)
            if limit:
                limit.keep(self.notes)
            if self.notes["forgotten"]:
                break
        if limit:
            self.notes.update(limit.restore_best())

    def _limit(self, method: Method) -> Limit | None:
        """The limit of damage, if there is one. A method with a rule of its own keeps to that."""
        most = self.subject.most_damage
        return None if most is None or method.stop is not None else Limit(self.subject, most)

    def _batches(self, batch_size: int, steps: int) -> Callable[[], Iterator[list[Batch]]]:
        forget, retain = self.encode(self.forget), self.encode(self.retain)
        seed, micro = derive(self.seed, "order"), self.subject.micro_batch
        return lambda: forget_steps(self.tokens, forget, retain, batch_size, steps, seed, micro)

    @contextmanager
    def _trainable(self, method: Method) -> Iterator[list[nn.Parameter]]:
        """Begin a rate; train LoRA adapters, merged afterwards, or the parameters the method chooses."""
        method.start(self.model)
        if self.config.lora_r is not None:
            if not method.lora:
                raise HarnessError(
                    f"The definition of '{method.name}' leaves no room for LoRA: unset lora_r."
                )
            rank, alpha = self.config.lora_r, self.config.lora_alpha or 2 * self.config.lora_r
            with adapters(self.model, rank, alpha, derive(self.seed, "init")) as chosen:
                method.new_epoch(self, 0)
                yield chosen
            return
        own = {id(p) for p in method.trainable(self.model)}
        try:
            for parameter in self.model.parameters():
                parameter.requires_grad_(id(parameter) in own)
            method.new_epoch(self, 0)
            yield [p for p in self.model.parameters() if p.requires_grad]
        finally:
            self.model.requires_grad_(True)


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


def unlearn(subject: ModelUnderTest, method: Method, seed: int) -> UnlearningJob:
    """Let ``method`` change ``subject.model`` in place; settings left open take the protocol's value."""
    job = UnlearningJob(subject, method.config, seed)
    method.unlearn(job)
    job.original = {}  # nobody needs it any more, and it is as large as the model
    return job
