"""An attack job: what an attack is handed, and how its checkpoints become a result."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from ..core.base import Attack
from ..core.keys import derive
from ..core.types import Cost, Fact, Metric, Outcome, Sample, Splits
from ..errors import HarnessError
from ..model import models, train
from ..model.lora import adapters
from ..scoring.metrics import summarise
from .evaluation import Ask, ModelUnderTest, facts_about


@dataclass
class AttackJob:
    """What an attack gets: the unlearned model, the splits it declared, and a way to be scored."""

    subject: ModelUnderTest
    config: Any
    seed: int
    data: Splits
    """The splits the attack declared in ``reads``, and nothing else."""
    weights: models.Weights
    """The unlearned model's weights, to start from again."""
    scored: tuple[Fact, ...] = ()
    """The facts the attack is scored on."""
    curve: list[tuple[int, float | None, list[Sample]]] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scored = self.subject.splits["forget"]
        self.rng = random.Random(derive(self.seed, "attack"))

    @property
    def model(self) -> nn.Module:
        """The model under attack."""
        return self.subject.model

    def answered(self, facts: Sequence[Fact]) -> set[str]:
        """Ids of the facts the model still answers."""
        return self.subject.answered(facts)

    def score_only(self, facts: Sequence[Fact]) -> None:
        """Choose the facts the attack is scored on, before the first checkpoint.

        Raises HarnessError for fewer than two: no interval could be given.
        """
        if self.curve:
            raise HarnessError("An attack cannot change its scored facts after its first checkpoint.")
        if len(facts) < 2:
            raise HarnessError(
                f"Only {len(facts)} forget facts are left to be scored; at least 2 are needed."
            )
        self.scored = tuple(facts)

    def restart(self) -> None:
        """Go back to the unlearned model."""
        models.restore(self.model, self.weights)

    def score(self, facts: Sequence[Fact], ask: Ask | None = None) -> list[Sample]:
        """The benchmark's curve metrics of ``facts`` on the model as it is now."""
        wanted = self.subject.benchmark.curve_metrics
        return self.subject.score(Splits({"forget": tuple(facts)}), wanted, ask)

    def checkpoint(self, step: int = 0, learning_rate: float | None = None, ask: Ask | None = None) -> None:
        """Score the model as it is now; the cell's score is the maximum over all checkpoints.

        ``ask`` rewrites the evaluation's requests, for attacks that change the question and not the model.
        """
        self.record(self.score(self.scored, ask), step, learning_rate)

    def record(self, samples: list[Sample], step: int = 0, learning_rate: float | None = None) -> None:
        """Keep samples of the scored facts as a checkpoint, where an attack has its own way to score."""
        self.curve.append((step, learning_rate, samples))

    def finetune(self, facts: Sequence[Fact]) -> None:
        """Fine-tune on ``facts`` at each rate of the grid, from the unlearned model, scoring at checkpoints.

        The config says at which rates, how long, and whether adapters train in place of the weights; they
        are scored in place and merged when their rate is done. Raises HarnessError when a fact is both
        trained on and scored, and without peft where adapters are asked for.
        """
        both = {f.id for f in facts} & {f.id for f in self.scored}
        if both:
            raise HarnessError(f"{len(both)} facts are both trained on and scored, {min(both)} among them.")
        data = self.subject.encode(facts)
        stops = self.config.stops(len(data))
        self.restart()
        self.checkpoint()
        for rate in self.config.learning_rates:
            self.restart()

            def check(step: int, rate: float = rate) -> bool:
                self.subject.advance(f"fine-tune at {rate:g}", step, stops[-1])
                if step in stops:
                    self.checkpoint(step, rate)
                return False

            from torch.optim import AdamW

            order = train.forget_steps(
                self.subject.tokens,
                data,
                None,
                self.config.batch_size,
                stops[-1],
                derive(self.seed, "order", "attack"),
                self.subject.micro_batch,
            )
            with self._trainable() as chosen:
                optimizer = AdamW(chosen, lr=rate, weight_decay=self.config.weight_decay)
                self.cost += train.train(self.model, order, train.plain_loss, [optimizer], check=check)

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


def run_attack(subject: ModelUnderTest, attack: Attack, seed: int, weights: models.Weights) -> Outcome:
    """Attack the model and keep the maximum over checkpoints, the curve, and the samples of the maximum."""
    job = AttackJob(subject, attack.config, seed, subject.splits.only(attack.reads), weights)
    attack.attack(job)
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
