"""The one training loop. Targets, unlearning and attacks differ in what they feed it."""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..core.batch import Batch, Encoded, TokenBatch
from ..core.types import Cost
from ..errors import HarnessError
from .losses import cross_entropy
from .tokens import PromptTokenizer, answer_tokens

Loss = Callable[[nn.Module, Batch], Tensor | Iterable[Tensor]]


class Diverged(HarnessError):
    """The loss stopped being a finite number."""


def plain_loss(model: nn.Module, batch: Batch) -> Tensor:
    """CE on the batch: ordinary fine-tuning."""
    return cross_entropy(model, batch.forget)


def train(
    model: nn.Module,
    steps: Iterable[Sequence[Batch]],
    loss: Loss,
    optimizers: Sequence[torch.optim.Optimizer],
    rate: Callable[[int], float] = lambda step: 1.0,
    after_backward: Callable[[nn.Module], None] = lambda model: None,
    check: Callable[[int], bool] = lambda step: False,
    clip: float | None = None,
) -> Cost:
    """Run optimisation steps until they end or ``check(step)`` returns True (it is called after each step).

    A step is a sequence of micro-batches whose losses add up to the step's loss; a loss may come in terms,
    each differentiated, and its graph freed, before the next is computed. ``rate(step)``, from 0,
    multiplies the learning rate. Dropout is off. Raises Diverged where a loss is not finite.
    """
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
        total = torch.zeros((), device=device)
        for batch in batches:
            for term in terms(loss(model, on_device(batch, device))):
                accelerator.backward(term)
                total += term.detach()
            cost.tokens += size(batch)
        if not total.isfinite():
            raise Diverged(f"The loss became {total.item()} at step {step}. Lower the learning rate.")
        after_backward(model)
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


def terms(loss: Tensor | Iterable[Tensor]) -> Iterable[Tensor]:
    """The terms of a loss: itself, or those it comes in."""
    return (loss,) if isinstance(loss, Tensor) else loss


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch where the model is."""
    return Batch(batch.forget.to(device), batch.retain.to(device) if batch.retain else None)


def size(batch: Batch) -> int:
    """Tokens of a batch, without padding."""
    texts = [batch.forget, *([batch.retain] if batch.retain else [])]
    return sum(int(t.attention_mask.sum()) for t in texts)


def peak_memory_mib(device: torch.device) -> float:
    """Most memory held so far: on the GPU since the last reset, on a CPU by the process since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def endless(n: int, rng: random.Random) -> Iterator[int]:
    """Indices 0..n-1, shuffled anew each time round."""
    while True:
        yield from rng.sample(range(n), n)


def forget_steps(
    tokens: PromptTokenizer,
    forget: Sequence[Encoded],
    retain: Sequence[Encoded] | None,
    batch_size: int,
    steps: int,
    seed: int,
    micro: int | None = None,
) -> Iterator[list[Batch]]:
    """Steps of ``batch_size`` forget items and as many retain items, each set reshuffled when used up.

    ``micro`` splits a step into micro-batches of at most that many items of each set; the losses of the
    parts add up to that of the whole. The order depends on ``seed`` alone.
    """
    rng = random.Random(seed)
    forget_order = endless(len(forget), rng)
    retain_order = endless(len(retain), random.Random(rng.getrandbits(63))) if retain else None
    batch_size = min(batch_size, len(forget))
    for _ in range(steps):
        chosen = [next(forget_order) for _ in range(batch_size)]
        parts = split(tokens, forget, chosen, micro)
        if retain and retain_order:
            kept = split(tokens, retain, [next(retain_order) for _ in range(batch_size)], micro)
            yield [Batch(f, r) for f, r in zip(parts, kept, strict=True)]
        else:
            yield [Batch(f) for f in parts]


def split(
    tokens: PromptTokenizer, data: Sequence[Encoded], chosen: list[int], micro: int | None
) -> list[TokenBatch]:
    """The chosen examples as micro-batches that know the size of the whole."""
    step = micro or len(chosen)
    items, answers = len(chosen), answer_tokens(data, chosen)
    return [tokens.collate(data, chosen[i : i + step], items, answers) for i in range(0, items, step)]


def corpus_steps(
    tokens: PromptTokenizer, data: Sequence[Encoded], batch_size: int, epochs: int, seed: int
) -> Iterator[list[Batch]]:
    """Passes over a corpus in batches of similar length, so that little is padding; order by ``seed``."""
    rng = random.Random(seed)
    window = 16 * batch_size
    for _ in range(epochs):
        order = rng.sample(range(len(data)), len(data))
        batches = []
        for i in range(0, len(order), window):
            near = sorted(order[i : i + window], key=lambda j: len(data[j][0]) + len(data[j][1]))
            batches += [near[j : j + batch_size] for j in range(0, len(near), batch_size)]
        rng.shuffle(batches)
        for chosen in batches:
            yield [Batch(tokens.collate(data, chosen, len(chosen), answer_tokens(data, chosen)))]


def warmup(steps: int) -> Callable[[int], float]:
    """The rate rises linearly over ``steps`` steps and stays."""
    return lambda step: min(1.0, (step + 1) / max(1, steps))


def warmup_then_linear(warm: int, total: int) -> Callable[[int], float]:
    """The rate rises linearly over ``warm`` steps and falls linearly to 0 at ``total``."""
    return lambda step: min((step + 1) / max(1, warm), max(0.0, (total - step) / max(1, total - warm)))
