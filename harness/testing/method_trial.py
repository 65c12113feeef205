"""A method on trial: unlearning of the toy facts with two-layer models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.base import Method
from ..core.memory import NO_SAVINGS, MemorySavings
from ..core.types import Fact, Measure
from ..engine.integrity import not_finite
from ..engine.protocol import with_protocol
from ..engine.unlearning import UnlearningJob, unlearn
from ..model import models
from . import sandbox
from .facts import Toy, splits_with
from .observe import Guarded, Watch
from .trial import Run, Trial

RATES = sandbox.PROTOCOL.learning_rates


class Scripted(Toy):
    """The toy benchmark, with forget scores of 1 until so many optimiser steps were taken, then 0."""

    def __init__(self, watch: Watch, forgotten_after: float, stop: tuple[str, float] | None) -> None:
        super().__init__()
        self.watch, self.forgotten_after = watch, forgotten_after
        self.curve_metrics = tuple(dict.fromkeys((*Toy.curve_metrics, *((stop[0],) if stop else ()))))

    def ask(self, split: str, fact: Fact) -> Iterator[Measure]:
        for measure in super().ask(split, fact):

            def value(*answers: Any, measure: Measure = measure) -> float:
                computed = float(measure.value(*answers))
                if split != "forget":
                    return computed
                forgotten = self.watch.steps >= self.forgotten_after
                self.watch.checked(forgotten)
                return 0.0 if forgotten else 1.0

            yield Measure(split, measure.metric, fact.id, measure.requests, value)


@dataclass
class MethodRun(Run):
    """What was observed of one unlearning."""

    job: UnlearningJob
    weights: models.Weights


@dataclass
class MethodTrial(Trial[MethodRun]):
    """A method on trial."""

    cls: type[Method]

    def first_runs(self) -> dict[str, MethodRun]:
        """A method has no variants: there is one run."""
        return {"": self.run()}

    def rerun(self, variant: str, family: str = "llama", dtype: str = "float32") -> MethodRun:
        """Unlearn at the first learning rate with another model."""
        return self.run(family, dtype, rates=RATES[:1])

    @property
    def base(self) -> MethodRun:
        """The run that most rules look at."""
        return self.runs[""]

    def method(self, rates: Sequence[float] = RATES) -> Method:
        """A fresh instance with quick settings."""
        config = sandbox.small(self.cls, self.settings, learning_rates=tuple(rates))
        return self.cls(with_protocol(self.cls, config, sandbox.PROTOCOL))

    def run(
        self,
        family: str = "llama",
        dtype: str = "float32",
        seed: int = 0,
        global_seed: int = 1,
        rates: Sequence[float] = RATES,
        forgotten_after: float = float("inf"),
    ) -> MethodRun:
        """Unlearn the toy facts with a fresh model and a fresh instance."""
        watch = Watch()
        benchmark = Scripted(watch, forgotten_after, self.cls.stop)
        subject = sandbox.subject(benchmark, Guarded(splits_with("test")), family, dtype)
        method = self.method(rates)
        finish = method.finish

        def after(job: Any) -> bool:
            watch.paused = True
            return finish(job)

        method.finish = after  # type: ignore[method-assign]
        with watch.watching_model(subject, global_seed):
            job = unlearn(subject, method, seed)
        names = not_finite(subject.model)
        bad = f"{len(names)} weights are not finite, {names[0]} among them" if names else ""
        return MethodRun(subject, watch, job.notes, bad, job, models.snapshot(subject.model))

    def first_gradient(
        self, micro_batch: int | None, savings: MemorySavings = NO_SAVINGS
    ) -> dict[str, Tensor] | None:
        """The gradient of the first optimisation step by parameter, near the original; None without a step.

        Not at the original itself: there the divergence from it has no gradient.
        """
        watch = Watch()
        benchmark = Scripted(watch, float("inf"), self.cls.stop)
        subject = sandbox.subject(benchmark, Guarded(splits_with("test")), micro_batch=micro_batch)
        subject.savings = savings
        method = self.method(RATES[:1])
        start, gradients = method.start, {}

        def start_nearby(model: nn.Module) -> None:
            start(model)
            move(model)

        def stop_with_gradient(model: nn.Module) -> None:
            gradients.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
            raise FirstStep

        method.start, method.after_backward = start_nearby, stop_with_gradient  # type: ignore[method-assign]
        try:
            with watch.watching(1):
                unlearn(subject, method, 0)
        except FirstStep:
            return gradients
        return None


class FirstStep(Exception):
    """Ends a run at its first gradient."""


@torch.no_grad()
def move(model: nn.Module) -> None:
    """Add the same small noise to a model's weights, each time."""
    for i, parameter in enumerate(model.parameters()):
        generator = torch.Generator().manual_seed(i)
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator).to(parameter))
