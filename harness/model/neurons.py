"""Neurons: where they are in a model of any family, what they do to an answer, and training only some.

A neuron is a unit between the two linear maps of a decoder layer's feed-forward part: the input of its last
linear module (``down_proj`` in Llama), indexed by (layer, unit).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Encoded, TokenBatch
from ..errors import ModelError
from .losses import full_precision, nll
from .models import blocks, linear_modules
from .sharding import is_sharded, spread_like, up_to


@dataclass(frozen=True, slots=True)
class FeedForward:
    """The feed-forward part of a decoder layer: linear modules into its units, and the one out of them."""

    into: tuple[nn.Module, ...]
    out: nn.Module

    @property
    def units(self) -> int:
        """Number of neurons."""
        return sizes(self.out)[0]


def sizes(linear: Any) -> tuple[int, int]:
    """(in, out) of an nn.Linear, or of GPT-2's Conv1D, whose weight lies the other way round."""
    rows, columns = linear.weight.shape
    return (columns, rows) if isinstance(linear, nn.Linear) else (rows, columns)


def feed_forward(block: nn.Module) -> FeedForward:
    """Find the feed-forward part: its last linear module, and the siblings that are as wide as its input.

    One that is twice as wide holds gate and up map, one behind the other (Phi-3's ``gate_up_proj``).
    Attention comes first in every family, so what belongs to the first linear module's parent is not it.
    Raises ModelError where a layer has no such pair (a mixture of experts).
    """
    found = linear_modules(block)
    if not found:
        raise ModelError(f"{type(block).__name__} has no linear modules.")
    paths = list(found)
    out, parent = found[paths[-1]], paths[-1].rpartition(".")[0]
    if parent == paths[0].rpartition(".")[0]:
        raise ModelError(f"{type(block).__name__} has no feed-forward part of two linear maps.")
    siblings = [m for p, m in found.items() if p.rpartition(".")[0] == parent and m is not out]
    into = [m for m in siblings if sizes(m)[1] in (sizes(out)[0], 2 * sizes(out)[0])]
    if not into:
        raise ModelError(f"{type(block).__name__} has no feed-forward part of two linear maps.")
    return FeedForward(tuple(into), out)


def feed_forwards(model: nn.Module) -> list[FeedForward]:
    """The feed-forward part of every decoder layer."""
    return [feed_forward(block) for block in blocks(model)]


class Stop(Exception):
    """Carries the output of a layer out of a forward pass that need not go on."""


def hidden(model: nn.Module, texts: TokenBatch, layer: int) -> Tensor:
    """h_l (B, T, d), the output of decoder layer ``layer``; nothing above that layer runs."""

    def stop(module: nn.Module, args: Any, output: Any) -> None:
        raise Stop(output[0] if isinstance(output, tuple) else output)

    layers = blocks(model)
    if is_sharded(model):
        with up_to(layers, layer), _output(layers[layer]) as found:
            _run(model, texts)
        return found[0]
    handle = layers[layer].register_forward_hook(stop)
    try:
        _run(model, texts)
    except Stop as reached:
        return reached.args[0]
    finally:
        handle.remove()
    raise ModelError(f"Decoder layer {layer} of {type(model).__name__} did not run.")


def _run(model: nn.Module, texts: TokenBatch) -> None:
    model(
        input_ids=texts.input_ids,
        attention_mask=texts.attention_mask,
        position_ids=texts.position_ids,
        use_cache=False,
    )


@contextmanager
def _output(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a decoder layer gives."""
    found: list[Tensor] = []
    handle = layer.register_forward_hook(
        lambda module, args, output: found.append(output[0] if isinstance(output, tuple) else output)
    )
    try:
        yield found
    finally:
        handle.remove()


@contextmanager
def activations(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the neurons' activations (B, T, units) of each layer, in the graph, as a forward pass runs."""
    found: list[Tensor] = []
    handles = [
        part.out.register_forward_pre_hook(lambda module, args: found.append(args[0]))
        for part in feed_forwards(model)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def influence(model: nn.Module, texts: TokenBatch) -> Tensor:
    """A (B, L, units): each neuron's influence on the probability of each answer.

    A_{i,k} = h_{i,k} dP(y|x)/dh_{i,k}, P the product over answer tokens, maximum over input tokens k:
    positive influence as in Ssiuu (2509.22263). The gradient is taken of log P and multiplied by P. The last
    token of a text precedes nothing, so it has no influence and no part in the maximum.
    """
    with torch.enable_grad(), activations(model) as found:
        losses = nll(model, texts)
        gradients = torch.autograd.grad(-losses.sum(), found)
    probability = torch.exp(-losses.detach())
    inside = texts.attention_mask[..., None].bool()
    inside[:, -1] = False
    each = []
    for h, g in zip(found, gradients, strict=True):
        a = full_precision(h.detach()) * full_precision(g) * probability[:, None, None]
        each.append(a.masked_fill(~inside, -torch.inf).amax(dim=1))
    return torch.stack(each, dim=1)


def integrated_influence(model: nn.Module, texts: TokenBatch, steps: int) -> Tensor:
    """Att (L, units), summed over the batch: activations are scaled from 0 to their value in ``steps`` steps.

    Att(l,k) = (1/m) sum_{j=1..m} sum_i beta^k_{l,i} dP_i(a_j)/da_j,   a_j = (j/m) beta

    SIMU (2510.07822). P_i is the probability of the one answer token of text i, scaled is its last input
    position, one layer at a time. Raises ValueError for texts with more than one answer token.
    """
    if texts.answer_width != 1:
        raise ValueError("integrated_influence() takes texts with one answer token each")
    shares = [j / steps for j in range(1, steps + 1)]
    parts = feed_forwards(model)
    scores = [[_scaled(model, part, texts, share) for share in shares] for part in parts]
    return torch.stack([torch.stack(of_layer).mean(dim=0) for of_layer in scores])


def _scaled(model: nn.Module, part: FeedForward, texts: TokenBatch, share: float) -> Tensor:
    """beta dP/da at a = share * beta, summed over the batch: (units,)."""
    kept: dict[str, Tensor] = {}

    def scale(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0].detach()
        kept["beta"] = x[:, -2]  # the position that predicts the answer in the last column
        kept["a"] = (share * kept["beta"]).requires_grad_()
        return (torch.cat([x[:, :-2], kept["a"][:, None], x[:, -1:]], dim=1), *args[1:])

    handle = part.out.register_forward_pre_hook(scale)
    try:
        with torch.enable_grad():
            probability = torch.exp(-nll(model, texts)).sum()
            (gradient,) = torch.autograd.grad(probability, [kept["a"]])
    finally:
        handle.remove()
    return full_precision(kept["beta"] * gradient).sum(dim=0)


Masks = dict[nn.Parameter, Tensor]
"""Of each parameter that trains in part, which entries do: a bool tensor that broadcasts to its shape."""


def masks(model: nn.Module, chosen: Tensor, into: bool = True) -> Masks:
    """Masks of the weights around the ``chosen`` neurons, bool (L, units): out of them, and ``into`` them."""
    found: Masks = {}
    for part, units in zip(feed_forwards(model), chosen, strict=True):
        found[part.out.weight] = _along(part.out, units, 0)  # type: ignore[index]
        for module in part.into if into else ():
            found[module.weight] = _along(module, units, 1)  # type: ignore[index]
            if module.bias is not None:
                found[module.bias] = units.repeat(len(module.bias) // len(units))  # type: ignore[arg-type,index]
    return {parameter: spread_like(mask, parameter) for parameter, mask in found.items()}


def _along(linear: nn.Module, units: Tensor, side: int) -> Tensor:
    """A mask over a weight matrix that chooses units on its input (0) or output (1) side."""
    units = units.repeat(sizes(linear)[side] // len(units))
    rows = (side == 1) == isinstance(linear, nn.Linear)
    return units[:, None] if rows else units[None, :]


def mask_steps(optimizer: torch.optim.Optimizer, chosen: Masks) -> None:
    """Make an optimiser leave unchosen entries exactly as they are: gradient, moments and weight decay."""
    frozen = {parameter: parameter.detach().clone() for parameter in chosen}

    def before(*args: Any) -> None:
        for parameter, mask in chosen.items():
            if parameter.grad is not None:
                parameter.grad.mul_(mask)

    @torch.no_grad()
    def after(*args: Any) -> None:
        for parameter, mask in chosen.items():
            parameter.copy_(torch.where(mask, parameter, frozen[parameter]))

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


def top_share(scores: Tensor, share: float) -> Tensor:
    """Bool mask of the highest ``share`` of all scores (at least one)."""
    count = max(1, round(share * scores.numel()))
    chosen = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    chosen[scores.flatten().topk(count).indices] = True
    return chosen.view(scores.shape)


def one_token_each(data: Sequence[Encoded]) -> list[Encoded]:
    """Each answer token of each example as an example of its own, with what precedes it as the prompt."""
    return [((*prompt, *answer[:i]), (answer[i],)) for prompt, answer in data for i in range(len(answer))]
