"""An unlearning job: what a method is handed, and the shared protocol around its loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..core.base import Method
from ..core.keys import derive
from ..core.types import Cost, Fact, Metric, Splits
from ..errors import HarnessError
from ..model import loading, models, train
from ..model.lora import adapters
from ..model.tokens import PromptTokenizer
from .evaluation import ModelUnderTest


@dataclass
class UnlearningJob:
    """What a method gets: the original model to change, the forget and retain set, and the protocol."""

    subject: ModelUnderTest
    config: Any
    seed: int
    metrics: list[Metric] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    original: models.Weights = field(default_factory=dict)
    """The original's weights: where every rate starts, and the reference model of methods that need one."""

    @property
    def model(self) -> nn.Module:
        """The model to change in place."""
        return self.subject.model

    @property
    def tokens(self) -> PromptTokenizer:
        """The model's tokenizer with the harness's conventions."""
        return self.subject.tokens

    @property
    def forget(self) -> tuple[Fact, ...]:
        """The facts to forget."""
        return self.subject.splits["forget"]

    @property
    def retain(self) -> tuple[Fact, ...]:
        """The facts to keep."""
        return self.subject.splits["retain"]

    def forget_score(self, metric: str) -> float:
        """The mean of ``metric`` over the forget set, now."""
        samples = self.subject.score(Splits({"forget": self.forget}), [metric])
        if not samples:
            raise HarnessError(
                f"The benchmark '{self.subject.benchmark.name}' has no metric '{metric}' on its forget set."
            )
        return sum(s.value for s in samples) / len(samples)

    def load_retrained(self) -> None:
        """Take the weights of the twin that never saw the forget set. Raises HarnessError without one."""
        if self.subject.retrain is None:
            raise HarnessError(
                "This benchmark cannot train a model without its forget set: there is no twin."
            )
        twin, _ = loading.load(
            self.subject.retrain, self.subject.dtype, trust_remote_code=self.subject.trust_remote_code
        )
        models.restore(self.model, twin.state_dict())

    def run_protocol(self, method: Method) -> None:
        """Run the shared protocol: the lowest learning rate of the grid that reaches the threshold.

        Each rate starts from the original and stops at the first check at or below the threshold. Where no
        rate reaches it, the model of the highest is left, and ``notes['forgotten']`` says so.
        """
        metric, threshold = method.stop or (
            self.subject.benchmark.forget_metric,
            self.subject.benchmark.threshold(self.subject.splits),
        )
        self.notes.update(stop_metric=metric, stop_at=threshold, forgotten=False, learning_rate=None, steps=0)
        if self.forget_score(metric) <= threshold:
            self.notes["forgotten"] = True
            return
        self.original = models.snapshot(self.model)
        method.prepare(self)
        forget, retain = self.subject.encode(self.forget), self.subject.encode(self.retain)
        per_epoch = -(-len(forget) // min(self.config.batch_size, len(forget)))
        steps = self.config.epochs * per_epoch
        for rate in self.config.learning_rates:
            models.restore(self.model, self.original)
            method.start(self.model)
            with self._trainable(method) as chosen:
                optimizer = method.optimizer(chosen, rate)
                method.new_epoch(self, 0)

                def check(step: int, rate: float = rate) -> bool:
                    self.subject.advance(f"unlearn at {rate:g}", step, steps)
                    if step % per_epoch == 0 and step < steps:
                        method.new_epoch(self, step // per_epoch)
                    if step % (self.subject.protocol.check_every or per_epoch) and step < steps:
                        return False
                    score = self.forget_score(metric)
                    point = Metric("forget", metric, score, n=len(self.forget), step=step, learning_rate=rate)
                    self.metrics.append(point)
                    self.notes["forgotten"] = score <= threshold
                    return self.notes["forgotten"]

                order = train.forget_steps(
                    self.tokens,
                    forget,
                    retain,
                    self.config.batch_size,
                    steps,
                    derive(self.seed, "order"),
                    self.subject.micro_batch,
                )
                warm = train.warmup(round(self.config.warmup_epochs * per_epoch))
                cost = train.train(
                    self.model, order, method.loss, [optimizer], warm, method.after_backward, check
                )
            self.cost += cost
            self.notes.update(learning_rate=rate, steps=cost.steps, **method.log())
            if self.notes["forgotten"]:
                break

    @contextmanager
    def _trainable(self, method: Method) -> Iterator[list[nn.Parameter]]:
        """The parameters that train: LoRA adapters, merged afterwards, or those the method chooses."""
        if self.config.lora_r is not None:
            if not method.lora:
                raise HarnessError(
                    f"The definition of '{method.name}' leaves no room for LoRA: unset lora_r."
                )
            rank, alpha = self.config.lora_r, self.config.lora_alpha or 2 * self.config.lora_r
            with adapters(self.model, rank, alpha, derive(self.seed, "init")) as chosen:
                yield chosen
            return
        own = {id(p) for p in method.trainable(self.model)}
        try:
            for parameter in self.model.parameters():
                parameter.requires_grad_(id(parameter) in own)
            yield [p for p in self.model.parameters() if p.requires_grad]
        finally:
            self.model.requires_grad_(True)


def unlearn(subject: ModelUnderTest, method: Method, seed: int) -> UnlearningJob:
    """Let ``method`` change ``subject.model`` in place; settings left open take the protocol's value."""
    job = UnlearningJob(subject, method.config, seed)
    method.unlearn(job)
    return job
