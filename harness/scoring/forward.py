"""Forward passes with a key-value cache: run the prompts of a batch, their common prefix once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from ..model import models

CALL = 256
"""Most tokens that take as long as a call of the model takes beside its tokens."""

CALL_ON_CPU = 2**32
"""The same on a CPU, times the model's parameters, of which every call reads all."""

PREFIXES = 16
"""Most prefixes that are kept, each with the states of one row."""


def worth_a_call(model: nn.Module) -> int:
    """How many tokens take as long as another call of the model does; it decides speed, not results."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    return min(CALL, CALL_ON_CPU // models.size(model)) if on_cpu else CALL


def forward(model: nn.Module, ids: Tensor, cache: Any = None, keep: int = 1) -> Any:
    """The model's output on token ids behind a cache, with logits (B, keep, V) of the last positions."""
    device = next(model.parameters()).device
    return model(input_ids=ids.to(device), past_key_values=cache, use_cache=True, logits_to_keep=keep)


class Prefill:
    """Runs prompts. A prefix that a batch has in common is run once, also for the batches after it."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.call = model, worth_a_call(model)
        self._caches: dict[tuple[int, ...], Any] = {}

    def __call__(self, prompts: Sequence[tuple[int, ...]]) -> tuple[Tensor, Any]:
        """Logits (B, V) behind each prompt, and the cache of the prompts; they all have the same length."""
        ids = torch.tensor(prompts)
        prefix = prompts[0][: min(common_prefix(prompts[0], other) for other in prompts)]
        prefix = prefix[: len(prompts[0]) - 1]
        if prefix not in self._caches and (len(prompts) - 1) * len(prefix) < self.call:
            output = forward(self.model, ids)
        else:
            cache = self._run(prefix)
            cache.batch_repeat_interleave(len(prompts))
            output = forward(self.model, ids[:, len(prefix) :], cache)
        return output.logits[:, -1].float(), output.past_key_values

    def _run(self, prefix: tuple[int, ...]) -> Any:
        """The cache of one row that a prefix leaves, for whoever lets it grow."""
        cache = self._caches.get(prefix)
        if cache is None:
            cache = forward(self.model, torch.tensor([prefix])).past_key_values
            if all(type(layer) is DynamicLayer for layer in cache.layers):  # others may write in place
                if len(self._caches) == PREFIXES:
                    del self._caches[next(iter(self._caches))]
                self._caches[prefix] = cache
        return share_structure(cache)


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts begin with alike."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


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
