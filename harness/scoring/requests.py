"""Group requests by prompt, drop duplicates, and cut batches of equal prompt length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..core.types import Generate, LogLikelihood, Request
from ..model.tokens import PromptTokenizer
from .forward import common_prefix

Continuations = dict[tuple[int, ...], list[tuple[LogLikelihood, int]]]
"""By token ids of a continuation, the requests it answers, each with how many of the tokens it is about."""


@dataclass(slots=True)
class PromptRequests:
    """All requests about one prompt.

    A continuation that another one begins with is not kept: its requests are answered by the first tokens of
    the longer one. ``generations`` are by the most new tokens they allow.
    """

    prompt: tuple[int, ...]
    continuations: Continuations = field(default_factory=lambda: defaultdict(list))
    generations: dict[int, list[Request]] = field(default_factory=lambda: defaultdict(list))


def group_by_prompt(
    tokens: PromptTokenizer, requests: Iterable[LogLikelihood | Generate]
) -> list[PromptRequests]:
    """Requests by prompt, each distinct continuation once, sorted so that batches are alike in length."""
    distinct = list(dict.fromkeys(requests))
    pairs = [(r.prompt, r.continuation if isinstance(r, LogLikelihood) else "") for r in distinct]
    groups: dict[tuple[int, ...], PromptRequests] = {}
    for request, (prompt, continuation) in zip(distinct, tokens.encode(pairs), strict=True):
        group = groups.setdefault(prompt, PromptRequests(prompt))
        if isinstance(request, Generate):
            group.generations[request.max_new_tokens].append(request)
        else:
            ids = (*continuation, *tokens.tail) if request.end else continuation
            group.continuations[ids].append((request, len(ids)))
    for group in groups.values():
        merge_prefixes(group.continuations)
    return sorted(groups.values(), key=lambda group: (len(group.prompt), group.prompt))


def merge_prefixes(continuations: Continuations) -> None:
    """Move the requests of each continuation that is a prefix of another to the longer one."""
    for short in sorted(continuations, key=len):
        for longer in continuations:
            if len(longer) > len(short) and longer[: len(short)] == short:
                continuations[longer] += continuations.pop(short)
                break


def batches(groups: Sequence[PromptRequests], max_tokens: int, call: int) -> Iterator[list[PromptRequests]]:
    """Runs of prompts of equal length, up to ``max_tokens`` prompt tokens each.

    What the prompts of a run begin with alike is run once. A run also ends where another prompt would have
    more tokens run again than a ``call`` is worth.
    """
    batch: list[PromptRequests] = []
    shared = 0
    for group in groups:
        same = common_prefix(batch[0].prompt, group.prompt) if batch else 0
        full = batch and (len(batch) + 1) * len(group.prompt) > max_tokens
        lost = (len(batch) - 1) * shared - len(batch) * same
        if batch and (full or len(group.prompt) != len(batch[0].prompt) or lost > call):
            yield batch
            batch = []
        shared = min(shared, same) if batch else len(group.prompt)
        batch.append(group)
    if batch:
        yield batch
