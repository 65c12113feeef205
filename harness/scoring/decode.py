"""Greedy decoding of many prompts in step, of equal length or not.

A prompt is prefilled beside prompts of exactly its own length. Decoding costs a call for each new token,
however few rows are left, so prompts of many lengths wait for each other and are decoded together: shorter
ones get a cache that is padded on the left, which a mask hides. Models that take no mask or no positions, or
whose cache drops or folds in old tokens (sliding windows, recurrent states), decode each length by itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from .forward import share_structure
from .requests import PromptRequests


@dataclass(frozen=True, slots=True)
class Waiting:
    """Prompts of one length that wait to be decoded: the argmax (B,) behind each, and their cache."""

    requests: Sequence[PromptRequests]
    first: Tensor
    cache: Any

    @property
    def length(self) -> int:
        """Tokens of each prompt."""
        return len(self.requests[0].prompt)


def fits(model: nn.Module, waiting: Sequence[Waiting], max_tokens: int) -> bool:
    """Whether these can be decoded in step: lengths mix where the model can, up to the size of a batch."""
    rows, width = sum(len(part.requests) for part in waiting), max(part.length for part in waiting)
    return len(waiting) == 1 or (rows * width <= max_tokens and mixable(model, waiting[0].cache))


def mixable(model: Any, cache: Any) -> bool:
    """Whether a mask can hide padding in this cache, and the model takes positions beside it."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # under LoRA adapters
    parameters = inspect.signature(inner.forward).parameters
    return {"attention_mask", "position_ids"} <= set(parameters) and all(
        type(layer) is DynamicLayer for layer in cache.layers
    )


def greedy(model: nn.Module, waiting: Sequence[Waiting], ends: Collection[int]) -> list[list[int]]:
    """The tokens a model writes after each prompt, without the end token, up to the largest limit."""
    limits = [max(prompt.generations) for prompts in waiting for prompt in prompts.requests]
    written: list[list[int]] = [[] for _ in limits]
    rows = list(range(len(limits)))
    last = torch.cat([prompts.first for prompts in waiting])
    cache, mask = joined(waiting)
    while True:
        keep = []
        for i, (row, token) in enumerate(zip(rows, last.tolist(), strict=True)):
            if token in ends:
                continue
            written[row].append(token)
            if len(written[row]) < limits[row]:
                keep.append(i)
        if not keep:
            return written
        if len(keep) < len(rows):
            kept = torch.tensor(keep, device=last.device)
            cache.batch_select_indices(kept)
            rows, last, mask = [rows[i] for i in keep], last[kept], mask[kept]
        mask = nn.functional.pad(mask, (0, 1), value=True)
        hidden = (
            {} if mask.all() else {"attention_mask": mask, "position_ids": mask.sum(-1, keepdim=True) - 1}
        )
        logits = model(
            input_ids=last[:, None], past_key_values=cache, use_cache=True, logits_to_keep=1, **hidden
        ).logits
        last = logits[:, -1].argmax(dim=-1)


def joined(waiting: Sequence[Waiting]) -> tuple[Any, Tensor]:
    """One cache of all rows, padded on the left, and the mask (B, S) of what is no padding."""
    width = max(prompts.length for prompts in waiting)
    cache = share_structure(waiting[0].cache)
    for i, layer in enumerate(cache.layers if len(waiting) > 1 else ()):
        for name in ("keys", "values"):
            states = [
                nn.functional.pad(getattr(prompts.cache.layers[i], name), (0, 0, width - prompts.length, 0))
                for prompts in waiting
            ]
            setattr(layer, name, torch.cat(states))
    lengths = torch.tensor([prompts.length for prompts in waiting for _ in prompts.requests])
    mask = torch.arange(width) >= width - lengths[:, None]
    return cache, mask.to(waiting[0].first.device)
