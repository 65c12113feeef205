"""Sample answers from a model, reproducibly for a seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.keys import derive
from ..core.types import Prompt
from ..model.models import generation_ends
from ..model.tokens import PromptTokenizer
from .forward import Prefill, forward
from .requests import PromptRequests, batches


@torch.inference_mode()
def sample(
    model: nn.Module,
    tokens: PromptTokenizer,
    prompts: Sequence[Prompt],
    n: int,
    max_new_tokens: int,
    seed: int,
    temperature: float = 1.0,
    max_tokens: int = 4096,
) -> list[list[tuple[int, ...]]]:
    """``n`` sampled answers to each prompt as token ids without the end token; the same for a seed.

    Each prompt has its own stream of random numbers, so no answer depends on the other prompts, nor on
    ``max_tokens``, which bounds the tokens of a batch.
    """
    ends = frozenset(generation_ends(model, tokens.tokenizer))
    groups = [PromptRequests(ids) for ids, _ in tokens.encode([(prompt, "") for prompt in prompts])]
    order = sorted(range(len(groups)), key=lambda row: len(groups[row].prompt))
    answers: list[list[tuple[int, ...]]] = [[] for _ in prompts]
    done = 0
    prefill = Prefill(model)
    for batch in batches([groups[row] for row in order], max(1, max_tokens // n), prefill.call):
        rows = order[done : done + len(batch)]
        done += len(batch)
        uniform = torch.cat([uniforms(seed, prompts[row], n, max_new_tokens) for row in rows])
        logits, cache = prefill([group.prompt for group in batch])
        cache.batch_repeat_interleave(n)
        written = decode(model, logits.repeat_interleave(n, dim=0), cache, uniform, temperature, ends)
        for i, row in enumerate(rows):
            answers[row] = written[i * n : (i + 1) * n]
    return answers


def uniforms(seed: int, prompt: Prompt, n: int, steps: int) -> Tensor:
    """Random numbers (n, steps) in [0, 1) for the samples of one prompt."""
    generator = torch.Generator().manual_seed(derive(seed, "attack", prompt.text))
    return torch.rand(n, steps, generator=generator, dtype=torch.float64)


def decode(
    model: nn.Module, logits: Tensor, cache: Any, uniform: Tensor, temperature: float, ends: Collection[int]
) -> list[tuple[int, ...]]:
    """An answer for each row of logits (R, V), inverting the distribution at ``uniform`` (R, steps)."""
    written: list[list[int]] = [[] for _ in range(len(logits))]
    going = set(range(len(logits)))
    for step in range(uniform.shape[1]):
        cumulative = (logits.double().cpu() / temperature).softmax(dim=-1).cumsum(dim=-1)
        chosen = torch.searchsorted(cumulative, uniform[:, step : step + 1] * cumulative[:, -1:])[:, 0]
        for row, token in enumerate(chosen.tolist()):
            if token in ends:
                going.discard(row)
            elif row in going:
                written[row].append(token)
        if not going:
            break
        logits = forward(model, chosen[:, None], cache).logits[:, -1].float()
    return [tuple(ids) for ids in written]
