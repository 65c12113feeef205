"""The one training loop. Targets, unlearning and attacks differ in what they feed it."""

from __future__ import annotations

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..core import jobs
from ..core.jobs import Gradients
from ..core.types import Cost
from ..errors import HarnessError
from . import sharding
from .checkpointing import checkpointed
from .masters import Masters, check_trains

Loss = Callable[[nn.Module, Any], Any]
"""Of a model and a batch: a scalar, or its terms: scalars, (name, scalar) pairs, or scalars by name."""


class Diverged(HarnessError):
    """The loss stopped being a finite number."""


def train(
    model: nn.Module,
    steps: Iterable[Sequence[Any]],
    loss: Loss,
    optimizers: Sequence[torch.optim.Optimizer],
    rate: Callable[[int], float] = lambda step: 1.0,
    after_backward: Callable[[nn.Module], None] = lambda model: None,
    check: Callable[[int], bool] = lambda step: False,
    clip: float | None = None,
    combine: Callable[[nn.Module, Gradients], None] | None = None,
    gradients: Callable[[jobs.Step, bool], Gradients] = lambda step, by_name: step.gradients(by_name),
    checkpointing: bool = False,
) -> Cost:
    """Run optimisation steps until they end or ``check(step)`` returns True (it is called after each step).

    A step is a sequence of micro-batches whose losses add up to the step's loss; a loss may come in terms,
    each differentiated, and its graph freed, before the next is computed. ``rate(step)``, from 0,
    multiplies the learning rate. ``gradients(step, by_name)`` makes those of a step, which are added up. With
    ``combine`` they are kept apart by the names of the terms, and it sets those of the step. Dropout is off.
    With ``checkpointing`` the gradients are the same, and decoder layers run twice for less memory.
    Parameters below float32 are clipped and stepped as float32 masters. Raises Diverged where a loss is not
    finite, and HarnessError for a loss that returns something else or a model in float16.
    """
    check_trains(model)
    masters = Masters()
    accelerator = Accelerator()
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, rate) for optimizer in optimizers]
    model, *optimizers = accelerator.prepare(model, *optimizers)
    device = accelerator.device if accelerator.num_processes > 1 else next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    cost = Cost()
    begun = time.perf_counter()
    model.eval()
    model.zero_grad(set_to_none=True)
    for step, batches in enumerate(steps, start=1):
        taken = Step(model, batches, loss, accelerator, device, step, cost)
        with checkpointed(model) if checkpointing else nullcontext():
            made = gradients(taken, combine is not None)
        if combine is None:
            add_up(made)
        else:
            combine(model, made)
        del made
        after_backward(model)
        with masters.stepping(model, optimizers):
            if clip is not None:
                accelerator.clip_grad_norm_(model.parameters(), clip)
            for optimizer in optimizers:
                optimizer.step()
        for schedule in schedules:
            schedule.step()
        model.zero_grad(set_to_none=True)
        cost.steps = step
        if check(step):
            break
    cost.seconds = time.perf_counter() - begun
    cost.peak_memory_mib = peak_memory_mib(device)
    return cost


class Step(jobs.Step):
    """One optimisation step: its micro-batches, and what their loss is differentiated with."""

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Any],
        loss: Loss,
        accelerator: Accelerator,
        device: torch.device,
        number: int,
        cost: Cost,
    ) -> None:
        self._model, self.batches, self.loss, self.accelerator = model, batches, loss, accelerator
        self.device, self.number, self.cost = device, number, cost

    @property
    def model(self) -> nn.Module:
        return self._model

    def gradients(self, by_name: bool = False) -> Gradients:
        total = torch.zeros((), device=self.device)
        gradients: Gradients = defaultdict(dict)
        for batch in self.batches:
            part, counted = sharding.share(self.model, batch)
            for name, term in terms(self.loss, self.loss(self.model, part.to(self.device))):
                self._backward(term)
                total += counted * term.detach()
                if by_name:
                    take_gradients(self.model, gradients[name])
            self.cost.tokens += batch.token_count
        self._check(sharding.added_up(self.model, total))
        if not by_name:  # added up where they are, by torch
            take_gradients(self.model, gradients[""])
        return dict(gradients)

    def gradient(self, term: Tensor) -> dict[nn.Parameter, Tensor]:
        gradient: dict[nn.Parameter, Tensor] = {}
        self._backward(term)
        self._check(term.detach())
        take_gradients(self.model, gradient)
        return gradient

    def _backward(self, term: Tensor) -> None:
        if not term.requires_grad:
            raise HarnessError(
                f"{where(self.loss)} gave a term without a gradient: compute it from the model's output, "
                "outside torch.no_grad()."
            )
        self.accelerator.backward(term)

    def _check(self, total: Tensor) -> None:
        if not total.isfinite():
            raise Diverged(f"The loss became {total.item()} at step {self.number}. Lower the learning rate.")


def add_up(gradients: Gradients) -> None:
    """Make the sum of the gradients of all terms that of each parameter."""
    for terms in gradients.values():
        for parameter, gradient in terms.items():
            gradient = gradient.to(parameter)
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def terms(loss: Loss, value: Any) -> Iterator[tuple[str, Tensor]]:
    """The terms of a loss with their names, "" for one without."""
    if isinstance(value, Mapping):
        value = value.items()
    elif isinstance(value, Tensor) or not isinstance(value, Iterable):
        value = (value,)
    for part in value:
        name, term = part if isinstance(part, tuple) and len(part) == 2 else ("", part)
        if not isinstance(name, str) or not isinstance(term, Tensor) or term.ndim:
            shape = f"a tensor of shape {tuple(term.shape)}" if isinstance(term, Tensor) else repr(term)
            raise HarnessError(
                f"{where(loss)} gave {shape} for a loss: return a scalar tensor, or yield its terms, each a "
                "scalar or a pair of a name and a scalar."
            )
        yield name, term


def where(function: Any) -> str:
    """A function with its file and line, for messages."""
    code = getattr(function, "__code__", None)
    place = f" ({Path(code.co_filename).name}, line {code.co_firstlineno})" if code else ""
    return f"{getattr(function, '__qualname__', function)}{place}"


def take_gradients(model: nn.Module, into: dict[nn.Parameter, Tensor]) -> None:
    """Add the gradients to ``into``, and leave the model without any."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            into[parameter] = into[parameter] + parameter.grad if parameter in into else parameter.grad
            parameter.grad = None


def peak_memory_mib(device: torch.device) -> float:
    """Most memory held so far: on the GPU since the last reset, on a CPU by the process since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def warmup(steps: int) -> Callable[[int], float]:
    """The rate rises linearly over ``steps`` steps and stays."""
    return lambda step: min(1.0, (step + 1) / max(1, steps))


def warmup_then_linear(warm: int, total: int) -> Callable[[int], float]:
    """The rate rises linearly over ``warm`` steps and falls linearly to 0 at ``total``."""
    return lambda step: min((step + 1) / max(1, warm), max(0.0, (total - step) / max(1, total - warm)))
