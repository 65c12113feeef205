"""Forward passes with a key-value cache: run the prompts of a batch, their common prefix once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

SHARED_PREFIX = 8
"""Fewest tokens in common for which running a shared prefix once is worth another call."""


def forward(model: nn.Module, ids: Tensor, cache: Any = None, keep: int = 1) -> Any:
    """The model's output on token ids behind a cache, with logits (B, keep, V) of the last positions."""
    device = next(model.parameters()).device
    return model(input_ids=ids.to(device), past_key_values=cache, use_cache=True, logits_to_keep=keep)


def prefill(model: nn.Module, prompts: Sequence[tuple[int, ...]]) -> tuple[Tensor, Any]:
    """Logits (B, V) behind each prompt, and the cache of the prompts; they all have the same length."""
    ids = torch.tensor(prompts)
    same = (ids == ids[0]).all(dim=0).int()
    shared = min(int(same.cumprod(dim=0).sum()), ids.shape[1] - 1)
    if len(prompts) == 1 or shared < SHARED_PREFIX:
        output = forward(model, ids)
    else:
        cache = forward(model, ids[:1, :shared]).past_key_values
        cache.batch_repeat_interleave(len(prompts))
        output = forward(model, ids[:, shared:], cache)
    return output.logits[:, -1].float(), output.past_key_values


def share_structure(cache: Any) -> Any:
    """A second handle on a key-value cache: growing it, or picking rows, leaves the first as it is.

    transformers' dynamic layers never write in place (they concatenate), so copying the handles is enough.
    """
    twin = copy.copy(cache)
    twin.layers = [copy.copy(layer) for layer in cache.layers]
    return twin


def pick_rows(cache: Any, rows: Tensor) -> Any:
    """A cache of the chosen rows; the one given stays as it is."""
    picked = share_structure(cache)
    picked.batch_select_indices(rows)
    return picked
