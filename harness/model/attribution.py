"""Attribution: what the output units of the decoder layers' linear maps do to the answers of many texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core.batch import TokenBatch
from ..errors import ModelError
from .losses import double, full_precision, nll
from .outputs import LinearOutput, linear_outputs


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Influence of N output units on the answers, each a mean over texts, float64 (N,) on the CPU.

    Units are those of ``outputs``, one map after the other; :meth:`parts` says which are whose.
    """

    outputs: tuple[LinearOutput, ...]
    highest: Tensor
    """Mean of max_k A_{i,k}: positive influence."""
    positive: Tensor
    """Mean of max_k max(A_{i,k}, 0): the same, where a text in which there is none counts as 0."""
    lowest: Tensor
    """Mean of min_k A_{i,k}: negative influence."""

    def parts(self) -> Iterator[tuple[LinearOutput, slice]]:
        """Each map with the place of its units among the N."""
        begin = 0
        for output in self.outputs:
            yield output, slice(begin, begin + len(output))
            begin += len(output)


def attribute(model: nn.Module, batches: Iterable[TokenBatch]) -> Attribution:
    """Influence of the output units of the seven linear maps of each layer on the probability of each answer.

    A_{i,k} = h_{i,k} dP(y|x)/dh_{i,k},   P the product over answer tokens

    Ssiuu (2509.22263), as its analyses use it; k runs over the input tokens, so not over the last, which
    precedes nothing. The gradient is taken of log P, in float32 or better, and multiplied by P; products and
    sums are of float64, where P may be as small as 1e-300. Of each text only maximum and minimum over tokens
    are added up, so memory is that of one batch. Raises ValueError for no text, ModelError for a family
    without the maps and where a number is not finite.
    """
    outputs = tuple(linear_outputs(model))
    linears = list(dict.fromkeys(output.linear for output in outputs))
    sums: list[Tensor] = []
    count = 0
    for texts in batches:
        of_batch = [_summed(*extremes) for extremes in _extremes(model, linears, texts)]
        sums = [total + more for total, more in zip(sums, of_batch, strict=True)] if sums else of_batch
        count += len(texts)
    if not count:
        raise ValueError("attribute() needs at least one text")
    by_linear = dict(zip(linears, sums, strict=True))
    means = torch.cat([by_linear[output.linear].cpu()[:, output.units] for output in outputs], dim=1) / count
    if not means.isfinite().all():
        raise ModelError(
            f"Influence in {type(model).__name__} is no finite number: its weights or activations are NaN or "
            "infinite."
        )
    return Attribution(outputs, *means)


def positive_decrease(before: Attribution, after: Attribution) -> Tensor:
    """D+ (N,), by how much each unit's positive influence decreased: erasing, where ``after`` is unlearned.

    D+_i = max(0, 1/n sum_texts( max_k A_{theta,i,k} - max_k max(A_{theta',i,k}, 0) )), Ssiuu (2509.22263).
    """
    return (before.highest - after.positive).clamp(min=0)


def negative_growth(before: Attribution, after: Attribution) -> Tensor:
    """D- (N,), by how much each unit's negative influence grew: hiding, where ``after`` is unlearned.

    D-_i = max(0, 1/n sum_texts( min_k A_{theta,i,k} - min_k A_{theta',i,k} )), Ssiuu (2509.22263).
    """
    return (before.lowest - after.lowest).clamp(min=0)


def _extremes(
    model: nn.Module, linears: list[nn.Module], texts: TokenBatch
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each linear module, max_k A and min_k A (B, units) of each text, in float64."""
    with torch.enable_grad(), _outputs(linears) as found:
        losses = nll(model, texts)
        if missing := [linear for linear in linears if linear not in found]:
            raise ModelError(f"{len(missing)} linear maps of {type(model).__name__}'s layers did not run.")
        gradients = torch.autograd.grad(-losses.sum(), [found[linear] for linear in linears])
    probability = torch.exp(-double(losses.detach()))[:, None]
    outside = ~texts.attention_mask[..., None].bool()
    outside[:, -1] = True
    for linear, gradient in zip(linears, gradients, strict=True):
        product = full_precision(found.pop(linear).detach()) * full_precision(gradient)
        # P is positive, so the extremes of A are those of the product, times P.
        highest = product.masked_fill(outside, -torch.inf).amax(dim=1)
        lowest = product.masked_fill(outside, torch.inf).amin(dim=1)
        yield double(highest) * probability, double(lowest) * probability


def _summed(highest: Tensor, lowest: Tensor) -> Tensor:
    """Sums over texts (3, units): of the maximum, of its positive part, of the minimum."""
    return torch.stack([highest.sum(dim=0), highest.clamp(min=0).sum(dim=0), lowest.sum(dim=0)])


@contextmanager
def _outputs(linears: list[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """Collect what linear modules give (B, T, units), in the graph, as a forward pass runs."""
    found: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, args: object, output: Tensor) -> None:
        if not output.requires_grad:  # the first of a model whose weights are frozen
            output.requires_grad_()
        found[module] = output

    handles = [linear.register_forward_hook(keep) for linear in linears]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
