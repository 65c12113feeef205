"""The order of training: optimisation steps as micro-batches, by a seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from ..core.batch import Batch, Encoded, Stage, TokenBatch, answer_tokens
from .tokens import PromptTokenizer


def endless(n: int, rng: random.Random) -> Iterator[int]:
    """Indices 0..n-1, shuffled anew each time round."""
    while True:
        yield from rng.sample(range(n), n)


def forget_steps(
    tokens: PromptTokenizer,
    forget: Sequence[Encoded],
    retain: Sequence[Encoded],
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
    retain_order = endless(len(retain), random.Random(rng.getrandbits(63)))
    batch_size = min(batch_size, len(forget))
    for _ in range(steps):
        parts = split(tokens, forget, take(forget_order, batch_size), micro)
        kept = split(tokens, retain, take(retain_order, batch_size), micro)
        yield [Batch(f, r) for f, r in zip(parts, kept, strict=True)]


def staged(
    tokens: PromptTokenizer,
    forget: Sequence[Encoded],
    retain: Sequence[Encoded],
    batch_size: int,
    stage: Stage,
    seed: int,
    micro: int | None = None,
) -> Iterator[list[Batch]]:
    """The steps of a stage, as :func:`forget_steps` makes them; forget facts keep their ``index``.

    Forget facts that are not of the stage are among those to retain, behind them.
    """
    if stage.forget is None:
        yield from forget_steps(tokens, forget, retain, batch_size, stage.steps, seed, micro)
        return
    chosen, index = [forget[i] for i in stage.forget], torch.tensor(stage.forget)
    kept = [*retain, *(forget[i] for i in range(len(forget)) if i not in stage.forget)]
    for batches in forget_steps(tokens, chosen, kept, batch_size, stage.steps, seed, micro):
        yield [
            replace(batch, forget=replace(batch.forget, index=index[batch.forget.index])) for batch in batches
        ]


def plain_steps(
    tokens: PromptTokenizer,
    data: Sequence[Encoded],
    batch_size: int,
    steps: int,
    seed: int,
    micro: int | None = None,
) -> Iterator[list[TokenBatch]]:
    """Steps of ``batch_size`` items of one set, as :func:`forget_steps` makes them of two."""
    order = endless(len(data), random.Random(seed))
    for _ in range(steps):
        yield split(tokens, data, take(order, min(batch_size, len(data))), micro)


def take(order: Iterator[int], count: int) -> list[int]:
    """The next ``count`` of an order."""
    return [next(order) for _ in range(count)]


def split(
    tokens: PromptTokenizer, data: Sequence[Encoded], chosen: list[int], micro: int | None
) -> list[TokenBatch]:
    """The chosen examples as micro-batches that know the size of the whole."""
    step = micro or len(chosen)
    items, answers = len(chosen), answer_tokens(data, chosen)
    return [tokens.collate(data, chosen[i : i + step], items, answers) for i in range(0, items, step)]


def corpus_steps(
    tokens: PromptTokenizer, data: Sequence[Encoded], batch_size: int, epochs: int, seed: int
) -> Iterator[list[TokenBatch]]:
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
            yield [tokens.collate(data, chosen, len(chosen), answer_tokens(data, chosen))]
