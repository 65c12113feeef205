"""A planted world: a small model that keeps facts in feed-forward units that are known, for analyses to find.

First the model learns facts with all of its weights. Then it learns others with gradients masked to a set S
of feed-forward units: what it knows of these, units of S know. It is unlearned with all of its weights again,
so that what changes does not give S away.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch, TokenBatch
from ..core.keys import derive
from ..core.types import Example, Fact, Prompt
from ..model import losses
from ..model.attribution import Attribution, attribute, positive_decrease
from ..model.embedded import Tiny, tiny_model
from ..model.models import blocks
from ..model.neurons import Masks, feed_forwards, mask_steps, masks
from ..model.outputs import FEED_FORWARD, LinearOutput, linear_outputs
from ..model.tokens import PromptTokenizer
from ..model.train import train
from . import sandbox
from .facts import SPLITS

SHARE = 0.05
"""|S| among all feed-forward units."""

KNOWN, FORGOTTEN = 0.7, 1e-3
"""Mean probability of the answers at which learning facts ends, and at which unlearning them does.

Influence is of P, and vanishes where P is near 1: surer models show less of where their facts are.
"""

STEPS = 300
"""Most steps that each of the three may take."""


@dataclass(frozen=True)
class PlantedWorld:
    """The models, the facts, and where they are."""

    tokens: PromptTokenizer
    original: nn.Module
    """Knows the facts that are kept, and those of ``forget`` by the units of S alone."""
    unlearned: nn.Module
    """The original after gradient difference on all of its weights."""
    planted: Tensor
    """S, bool (L, units) over the feed-forward units."""
    forget: tuple[Fact, ...] = SPLITS["forget"]
    """The planted facts."""
    retain: tuple[Fact, ...] = SPLITS["retain"]

    def texts(self) -> TokenBatch:
        """The planted facts as one batch."""
        return batched(self.tokens, self.forget)


def plant(seed: int = 0) -> PlantedWorld:
    """Make the world of a seed, which decides S and the initial weights. Takes some seconds on a CPU.

    Raises RuntimeError where the facts are not learnt, or not unlearnt, in ``STEPS`` steps.
    """
    tokenizer = sandbox.tokenizer_of(SPLITS)
    tokens = PromptTokenizer(tokenizer)
    forget, retain = batched(tokens, SPLITS["forget"]), batched(tokens, SPLITS["retain"])
    every = batched(tokens, (*SPLITS["forget"], *SPLITS["retain"]))
    model = tiny_model(Tiny(), len(tokenizer), tokenizer.eos_token_id, seed)
    fit(model, retain, losses.cross_entropy, lambda: known(model, retain) > KNOWN, 3e-3)
    planted = chosen_units(model, seed)
    fit(
        model,
        every,
        losses.cross_entropy,
        lambda: min(known(model, forget), known(model, retain)) > KNOWN,
        1e-2,
        masks(model, planted),
    )
    unlearned = copy.deepcopy(model)
    both = Batch(forget, retain)
    fit(unlearned, both, gradient_difference, lambda: known(unlearned, forget) < FORGOTTEN, 3e-4)
    return PlantedWorld(tokens, model, unlearned, planted)


def chosen_units(model: nn.Module, seed: int) -> Tensor:
    """S, bool (L, units), drawn from all layers alike."""
    shape = len(blocks(model)), feed_forwards(model)[0].units
    count = shape[0] * shape[1]
    planted = torch.zeros(count, dtype=torch.bool)
    planted[random.Random(derive(seed, "data", "planted")).sample(range(count), round(SHARE * count))] = True
    return planted.view(shape)


def batched(tokens: PromptTokenizer, facts: Iterable[Fact]) -> TokenBatch:
    """Facts as one batch of texts, which is a whole step."""
    data = tokens.examples([Example(Prompt(fact.question), fact.answer) for fact in facts])
    return tokens.collate(data, range(len(data)), len(data), sum(len(answer) for _, answer in data))


def gradient_difference(model: nn.Module, batch: Batch) -> Tensor:
    """-CE(D_f) + CE(D_r)."""
    return losses.cross_entropy(model, batch.retain) - losses.cross_entropy(model, batch.forget)


def fit(
    model: nn.Module,
    batch: Any,
    loss: Callable[..., Tensor],
    done: Callable[[], bool],
    rate: float,
    only: Masks | None = None,
) -> None:
    """Train with AdamW on one batch until ``done``, asked every fourth step; with masks, ``only`` there."""
    model.requires_grad_(only is None)
    for parameter in only or ():
        parameter.requires_grad_(True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    if only is not None:
        mask_steps(optimizer, only)
    ended = False

    def check(step: int) -> bool:
        nonlocal ended
        ended = step % 4 == 0 and done()
        return ended

    train(model, ([batch] for _ in range(STEPS)), loss, [optimizer], check=check)
    model.requires_grad_(True)
    if not ended:
        raise RuntimeError(f"The planted world was not made in {STEPS} steps of rate {rate:g}.")


@torch.no_grad()
def known(model: nn.Module, texts: TokenBatch) -> float:
    """Mean probability of the answers, end token included."""
    return torch.exp(-losses.nll(model, texts)).mean().item()


# What is to find S.


def unit_scores(outputs: Iterable[LinearOutput], values: Iterable[Tensor]) -> Tensor:
    """Scores (L, units) of the feed-forward units from ``values`` of each map: those of up, unit by unit."""
    return torch.stack(
        [value for output, value in zip(outputs, values, strict=True) if output.module == "up"]
    )


def weight_change(before: nn.Module, after: nn.Module) -> Tensor:
    """Length (L, units) of the change of the weights into and out of each feed-forward unit."""
    old, new = before.state_dict(), after.state_dict()
    squares: dict[int, list[Tensor]] = {}
    for output in linear_outputs(before):
        change = (output.matrix(new).double() - output.matrix(old).double()).square()
        if output.module in FEED_FORWARD:
            squares.setdefault(output.layer, []).append(change.sum(dim=0 if output.module == "down" else 1))
    return torch.stack([torch.stack(parts).sum(dim=0).sqrt() for _, parts in sorted(squares.items())])


def scores(world: PlantedWorld, seed: int = 0) -> dict[str, Tensor]:
    """What may find S, each (L, units): the original's ``A``, ``D+``, ``weights`` changed, and ``random``."""
    texts = world.texts()
    before, after = (attribute(model, [texts]) for model in (world.original, world.unlearned))
    generator = torch.Generator().manual_seed(derive(seed, "data", "random"))

    def of_units(attribution: Attribution, values: Tensor) -> Tensor:
        return unit_scores(attribution.outputs, [values[part] for _, part in attribution.parts()])

    return {
        "A": of_units(before, before.highest),
        "D+": of_units(before, positive_decrease(before, after)),
        "weights": weight_change(world.original, world.unlearned),
        "random": torch.rand(world.planted.shape, generator=generator),
    }


def precision_at(scores: Tensor, planted: Tensor) -> float:
    """Share of the |S| highest ``scores`` (L, units) that belong to S, bool of that shape: 1 finds all."""
    highest = scores.flatten().topk(int(planted.sum())).indices
    return planted.flatten()[highest].double().mean().item()


def precisions(world: PlantedWorld) -> dict[str, float]:
    """Precision at |S| of each of the :func:`scores`; that of random units is |S| over all on average."""
    return {name: precision_at(values, world.planted) for name, values in scores(world).items()}
