"""The logit lens: what each decoder layer's hidden state says when it is read as if it were the last."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import TokenBatch
from .losses import answer_logits, nll_of
from .models import blocks


@torch.no_grad()
def layer_nll(model: nn.Module, texts: TokenBatch) -> Tensor:
    """NLL_sum (L, B) in nats of each answer, read at each of the L layers; at the last it is the model's own.

    h_l goes through all that the model has behind its layers: final norm, output matrix, scaling of logits.
    They see the states of all layers as one batch of L * B texts, in the one pass that made them. In float32
    or better.
    """
    layers = blocks(model)
    states: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> Any:
        states.append(output[0] if isinstance(output, tuple) else output)
        if len(states) < len(layers):
            return None
        every = torch.cat(states)
        return (every, *output[1:]) if isinstance(output, tuple) else every

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        logits, labels = answer_logits(model, texts)
    finally:
        for handle in handles:
            handle.remove()
    return nll_of(logits, labels.repeat(len(layers), 1)).view(len(layers), len(texts))
