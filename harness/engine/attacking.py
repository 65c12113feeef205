"""An attack job: what an attack is handed, and how its checkpoints become a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from ..core import jobs
from ..core.base import Attack
from ..core.config import settled
from ..core.jobs import Ask, Look, MakeOptimizer
from ..core.keys import derive
from ..core.optimizers import adamw
from ..core.types import Fact, Metric, Outcome, Sample, Splits
from ..errors import HarnessError
from ..model import models
from ..model.lora import adapters, merged
from ..model.losses import cross_entropy
from ..model.steps import plain_steps
from ..scoring.metrics import summarise
from .evaluation import facts_about
from .job import Job, Training
from .under_test import ModelUnderTest


@dataclass
class AttackJob(Job, jobs.AttackJob):
    """The unlearned model with what the attacker may read, and the checkpoints so far."""

    axis = "attack"

    data: Splits
    weights: models.Weights
    original: models.Weights = field(default_factory=dict)
    scored: tuple[Fact, ...] = ()
    curve: list[tuple[int, float | None, list[Sample]]] = field(default_factory=list)
    """Step, learning rate and samples of each checkpoint."""
    keep_best: bool = False
    """Whether the weights of the best checkpoint are kept."""
    best: models.Weights | None = None
    """Those weights: of the first checkpoint with the highest forget metric."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scored = self.subject.splits["forget"]
        self._at: tuple[int, float | None] = (0, None)
        self._highest = 0.0

    def answered(self, facts: Sequence[Fact]) -> set[str]:
        return self.subject.answered(facts)

    def score_only(self, facts: Sequence[Fact]) -> None:
        if self.curve:
            raise HarnessError("An attack cannot change its scored facts after its first checkpoint.")
        if len(facts) < 2:
            raise HarnessError(
                f"Only {len(facts)} forget facts are left to be scored; at least 2 are needed."
            )
        self.scored = tuple(facts)

    def restore(self, weights: Mapping[str, Tensor] | None = None) -> None:
        models.restore(self.model, self.weights if weights is None else weights)
        self._at = (0, None)

    def score(self, facts: Sequence[Fact], ask: Ask | None = None) -> list[Sample]:
        return self.subject.score(Splits({"forget": tuple(facts)}), self.benchmark.curve_metrics, ask)

    def checkpoint(
        self, step: int | None = None, learning_rate: float | None = None, ask: Ask | None = None
    ) -> None:
        self.record(self.score(self.scored, ask), step, learning_rate)

    def record(
        self, samples: list[Sample], step: int | None = None, learning_rate: float | None = None
    ) -> None:
        if step is None:
            step, rate = self._at
            learning_rate = rate if learning_rate is None else learning_rate
        self.curve.append((step, learning_rate, samples))
        if self.keep_best:
            self._keep_if_best(samples)

    def _keep_if_best(self, samples: list[Sample]) -> None:
        """Keep the weights as they are now, where no checkpoint before had as high a forget metric."""
        for metric in summarise(samples):
            is_score = metric.metric == self.benchmark.forget_metric
            if is_score and (self.best is None or metric.value > self._highest):
                self._highest, self.best = metric.value, merged(self.model)

    def finetune(
        self, facts: Sequence[Fact], optimizer: MakeOptimizer | None = None, look: Look | None = None
    ) -> None:
        both = {f.id for f in facts} & {f.id for f in self.scored}
        if both:
            raise HarnessError(f"{len(both)} facts are both trained on and scored, {min(both)} among them.")
        data = self.encode(facts)
        stops, size = self.config.stops(len(data)), settled(self.config.batch_size)
        seed, micro = derive(self.seed, "order", "attack"), self.subject.micro_batch

        def checked(step: int, rate: float) -> bool:
            self._at = (step, rate)
            if step in stops:
                look(step, rate) if look else self.checkpoint()
            return False

        training = Training(
            "fine-tune",
            stops[-1],
            lambda: plain_steps(self.tokens, data, size, stops[-1], seed, micro),
            cross_entropy,
            self._trainable,
            optimizer or (lambda chosen, rate: adamw(chosen, rate, self.config.weight_decay)),
            checked,
        )
        self.restore()
        self.checkpoint()
        for _ in training.at_each(self, self.config.learning_rates, self.weights):
            pass

    @contextmanager
    def _trainable(self) -> Iterator[list[nn.Parameter]]:
        """All weights, or adapters of at most full rank whose scale, alpha over rank, stays as configured."""
        if self.config.lora_r is None:
            yield list(self.model.parameters())
            return
        scale = (self.config.lora_alpha or 2 * self.config.lora_r) / self.config.lora_r
        rank = min(self.config.lora_r, models.width(self.model))
        self.notes["lora_r"] = rank
        with adapters(self.model, rank, scale * rank, derive(self.seed, "init", "attack")) as chosen:
            yield chosen


def run_attack(
    subject: ModelUnderTest,
    attack: Attack,
    seed: int,
    weights: models.Weights,
    original: models.Weights | None = None,
) -> Outcome:
    """Attack the model and keep the maximum over checkpoints, the curve, and the samples of the maximum."""
    outcome, _ = attacked(subject, attack, seed, weights, keep_best=False, original=original)
    return outcome


def attacked(
    subject: ModelUnderTest,
    attack: Attack,
    seed: int,
    weights: models.Weights,
    keep_best: bool = True,
    original: models.Weights | None = None,
) -> tuple[Outcome, models.Weights]:
    """The same with the weights of the best checkpoint, adapters merged; none unless they are kept.

    Only an attack that ``needs_original`` is handed those of the original.
    """
    data = subject.splits.only(attack.reads)
    before = original if attack.needs_original and original else {}
    if attack.needs_original and not before:
        raise HarnessError(f"The attack '{attack.name}' needs the original model, which was not kept.")
    job = AttackJob(subject, attack.config, seed, data, weights, before, keep_best=keep_best)
    attack.attack(job)
    return _outcome(subject, attack, job), job.best or {}


def _outcome(subject: ModelUnderTest, attack: Attack, job: AttackJob) -> Outcome:
    if not job.curve:
        raise HarnessError(
            f"The attack '{attack.name}' ended without a checkpoint: there is nothing to report."
        )
    metrics: list[Metric] = []
    samples: list[Sample] = []
    notes = {**facts_about(subject), **job.notes, "n_scored": len(job.scored)}
    best: dict[str, tuple[Metric, list[Sample]]] = {}
    for step, rate, points in job.curve:
        for metric in summarise(points):
            metrics.append(replace(metric, step=step, learning_rate=rate))
            if metric.metric not in best or metric.value > best[metric.metric][0].value:
                best[metric.metric] = (metrics[-1], [s for s in points if s.metric == metric.metric])
    for name, (metric, points) in best.items():
        metrics.append(replace(metric, step=None, learning_rate=None))
        samples += points
        if name == notes["forget_metric"]:
            notes.update(best_step=metric.step, learning_rate=metric.learning_rate)
    return Outcome(metrics, samples, notes, job.cost)
