"""Teacher forcing: log-probabilities of all continuations of a batch of prefilled prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.types import Request, TokenScores
from .forward import forward, pick_rows
from .requests import PromptRequests

LOGITS_LIMIT = 2**27
"""Most numbers in one tensor of logits: half a gigabyte in float32."""

Row = tuple[int, tuple[int, ...]]
"""A prompt's place in the batch, and the token ids of one of its continuations."""


def score_continuations(
    model: nn.Module,
    batch: Sequence[PromptRequests],
    logits: Tensor,
    cache: Any,
    max_tokens: int,
    pad: int,
    call: int,
) -> dict[Request, TokenScores]:
    """The scores of every request; ``logits`` (B, V) are those behind the prompts, ``cache`` is theirs.

    Padding in one call of the model is at most as many tokens as another ``call`` is worth.
    """
    todo = [(row, ids) for row, group in enumerate(batch) for ids in group.continuations]
    todo.sort(key=lambda item: len(item[1]))
    first = log_softmax(logits) if todo else logits
    best = logits.argmax(dim=-1).tolist()
    answers: dict[Request, TokenScores] = {}
    for chunk in chunks(todo, len(batch[0].prompt), logits.shape[-1], max_tokens, call):
        rows = torch.tensor([row for row, _ in chunk])
        heads = torch.tensor([ids[0] if ids else 0 for _, ids in chunk])
        logprobs = [[value] for value in first[rows, heads].tolist()]
        hits = [[ids[:1] == (best[row],)] for row, ids in chunk]
        wide = [i for i, (row, ids) in enumerate(chunk) if wants_spread(batch[row], ids)]
        spreads = {i: [pair] for i, pair in zip(wide, spread(first[rows[wide]]).tolist(), strict=True)}
        if len(chunk[-1][1]) > 1:
            _rest(model, chunk, pick_rows(cache, rows.to(logits.device)), pad, logprobs, hits, spreads)
        for i, (row, ids) in enumerate(chunk):
            for request, n in batch[row].continuations[ids]:
                scores = TokenScores(np.array(logprobs[i][:n]), np.array(hits[i][:n], dtype=bool))
                if request.spread:
                    means, deviations = np.array(spreads[i][:n]).reshape(n, 2).T
                    scores = scores._replace(means=means, deviations=deviations)
                answers[request] = scores
    return answers


def _rest(
    model: nn.Module,
    chunk: Sequence[Row],
    cache: Any,
    pad: int,
    logprobs: list[list[float]],
    hits: list[list[bool]],
    spreads: dict[int, list[list[float]]],
) -> None:
    """Append the tokens behind the first, padded on the right, where a causal model does not look."""
    width = len(chunk[-1][1])
    ids = torch.tensor([[*ids, *[pad] * (width - len(ids))] for _, ids in chunk])
    logits = forward(model, ids[:, :-1], cache, keep=width - 1).logits.float()
    targets = ids[:, 1:].to(logits.device)
    # Not log_softmax(): that would write a second tensor as large as the logits.
    values = (logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(dim=-1)).tolist()
    right = (logits.argmax(dim=-1) == targets).tolist()
    for i in range(len(chunk)):
        logprobs[i] += values[i]
        hits[i] += right[i]
    for i in spreads:  # one at a time: these are as large as the logits
        spreads[i] += spread(log_softmax(logits[i])).tolist()


def chunks(
    todo: Sequence[Row], prompt: int, vocabulary: int, max_tokens: int, most_padding: int
) -> Iterator[list[Row]]:
    """Cut continuations, sorted by length, where caches, logits or padding would grow too large."""
    chunk: list[Row] = []
    tokens = 0
    for item in todo:
        width, size = len(item[1]), len(chunk) + 1
        if chunk and (
            size * (prompt + width) > 4 * max_tokens
            or size * width * vocabulary > LOGITS_LIMIT
            or size * width - (tokens + width) > most_padding
        ):
            yield chunk
            chunk, tokens = [], 0
        chunk.append(item)
        tokens += width
    if chunk:
        yield chunk


def wants_spread(group: PromptRequests, ids: tuple[int, ...]) -> bool:
    """True when a request about this continuation asks for the spread over the vocabulary."""
    return any(request.spread for request, _ in group.continuations[ids])


def log_softmax(logits: Tensor) -> Tensor:
    """Over the vocabulary, in float32."""
    return nn.functional.log_softmax(logits, dim=-1)


def spread(logprobs: Tensor) -> Tensor:
    """Mean and standard deviation (..., 2) of log-probabilities (..., V) under the distribution they are of.

    What is impossible counts for nothing: p log p goes to 0 with p.
    """
    p = logprobs.exp()
    finite = logprobs.clamp(min=-1e4)
    mean = (p * finite).sum(dim=-1)
    variance = (p * (finite - mean[..., None]).square()).sum(dim=-1)
    return torch.stack([mean, variance.sqrt()], dim=-1)
