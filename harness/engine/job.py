"""What the jobs of methods and attacks share, and the training of a model at one learning rate."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..core import jobs
from ..core.batch import Encoded, TokenBatch
from ..core.benchmark import Benchmark
from ..core.jobs import Gradients
from ..core.keys import derive
from ..core.optimizers import of_kind
from ..core.types import Cost, Fact, Prompt
from ..model import models
from ..model.tokens import PromptTokenizer
from ..model.train import Loss, train
from ..scoring import sampling
from .under_test import ModelUnderTest

Trainable = Callable[[], AbstractContextManager[list[nn.Parameter]]]
"""Has some parameters train for a while, and says which."""


@dataclass
class Job(jobs.Job):
    """A model under test with a plugin's settings and the cell's seed."""

    axis: ClassVar[str]
    """The axis of ``harness.core.keys.AXES`` on which its random numbers lie."""

    subject: ModelUnderTest
    config: Any
    seed: int
    notes: dict[str, Any] = field(default_factory=dict, kw_only=True)
    cost: Cost = field(default_factory=Cost, kw_only=True)
    forget_score_now: float | None = field(default=None, init=False)
    """What the forget score was when it was last looked at, for the progress."""

    def __post_init__(self) -> None:
        self._rng = self.random()

    @property
    def model(self) -> nn.Module:
        return self.subject.model

    @property
    def tokens(self) -> PromptTokenizer:
        return self.subject.tokens

    @property
    def benchmark(self) -> Benchmark:
        return self.subject.benchmark

    @property
    def rng(self) -> random.Random:
        return self._rng

    def random(self, *names: str) -> random.Random:
        return random.Random(derive(self.seed, self.axis, *names))

    def generator(self, *names: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self.seed, self.axis, *names))

    def encode(self, facts: Sequence[Fact], answer: str | None = None) -> list[Encoded]:
        return self.subject.encode(facts, answer)

    def runs(self, data: Sequence[Encoded], size: int = 32) -> Iterator[TokenBatch]:
        size = min(size, self.subject.micro_batch or size)
        return self.tokens.runs(data, size, next(self.model.parameters()).device)

    def sample(
        self, prompts: Sequence[Prompt], n: int, max_new_tokens: int, *names: str, temperature: float = 1.0
    ) -> list[list[tuple[int, ...]]]:
        seed = derive(self.seed, self.axis, *names) if names else self.seed
        limit = self.subject.max_tokens
        return sampling.sample(self.model, self.tokens, prompts, n, max_new_tokens, seed, temperature, limit)

    def progress(self, what: str, done: int, total: int) -> None:
        self.subject.advance(what, done, total, self.forget_score_now)


class FactsJob(Job):
    """One that sees all facts to forget and to keep; an attack is handed the splits that it reads."""

    @property
    def forget(self) -> tuple[Fact, ...]:
        return self.subject.splits["forget"]

    @property
    def retain(self) -> tuple[Fact, ...]:
        return self.subject.splits["retain"]


@dataclass(frozen=True)
class Training:
    """How a job trains at a learning rate: on which steps, which parameters, by which loss and optimiser.

    ``batches`` gives the optimisation steps anew for each rate; ``checked(step, rate)`` is called after each
    and ends the rate where it returns True.
    """

    what: str
    steps: int
    batches: Callable[[], Iterable[Sequence[Any]]]
    loss: Loss
    trainable: Trainable
    optimizer: Callable[[list[nn.Parameter], float], torch.optim.Optimizer]
    checked: Callable[[int, float], bool]
    schedule: Callable[[int], float] = lambda step: 1.0
    after_backward: Callable[[nn.Module], None] = lambda model: None
    combine: Callable[[nn.Module, Gradients], None] | None = None
    gradients: Callable[[jobs.Step, bool], Gradients] = lambda step, by_name: step.gradients(by_name)

    def at(self, job: Job, rate: float) -> Cost:
        """Train the job's model from the weights it has."""

        def check(step: int) -> bool:
            job.progress(f"{self.what} at {rate:g}", step, self.steps)
            return self.checked(step, rate)

        with self.trainable() as parameters:
            with of_kind(job.subject.savings.optimizer):
                optimizers = [self.optimizer(parameters, rate)]
            cost = train(
                job.model,
                self.batches(),
                self.loss,
                optimizers,
                self.schedule,
                self.after_backward,
                check,
                combine=self.combine,
                gradients=self.gradients,
                checkpointing=job.subject.savings.checkpointing,
            )
        job.cost += cost
        return cost

    def at_each(
        self, job: Job, rates: Iterable[float], weights: Mapping[str, Tensor]
    ) -> Iterator[tuple[float, Cost]]:
        """Train at one rate after the other, each from the same weights, while the caller goes on."""
        for rate in rates:
            models.restore(job.model, weights)
            yield rate, self.at(job, rate)
