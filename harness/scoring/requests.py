"""What is asked of a model, by prompt: duplicates dropped, answers that contain others found, batches cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..core.types import Generate, LogLikelihood, Request
from ..model.tokens import PromptTokenizer


@dataclass(slots=True)
class Asked:
    """Everything that is asked about one prompt.

    Of each continuation, the requests with how many of its tokens they are about: one that another begins
    with is answered by the beginning of that one's answer.
    """

    prompt: tuple[int, ...]
    continuations: dict[tuple[int, ...], list[tuple[LogLikelihood, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    generations: dict[int, list[Request]] = field(default_factory=lambda: defaultdict(list))


def collect(tokens: PromptTokenizer, requests: Iterable[Request]) -> list[Asked]:
    """Requests by prompt, each distinct continuation once, sorted so that batches are alike in length."""
    distinct = list(dict.fromkeys(requests))
    pairs = [(r.prompt, r.continuation if isinstance(r, LogLikelihood) else "") for r in distinct]
    asked: dict[tuple[int, ...], Asked] = {}
    for request, (prompt, continuation) in zip(distinct, tokens.encode(pairs), strict=True):
        entry = asked.setdefault(prompt, Asked(prompt))
        if isinstance(request, Generate):
            entry.generations[request.max_new_tokens].append(request)
        else:
            ids = (*continuation, tokens.end) if request.end else continuation
            entry.continuations[ids].append((request, len(ids)))
    for entry in asked.values():
        merge_beginnings(entry.continuations)
    return sorted(asked.values(), key=lambda entry: (len(entry.prompt), entry.prompt))


def merge_beginnings(continuations: dict[tuple[int, ...], list[tuple[LogLikelihood, int]]]) -> None:
    """Ask the longer one for what a shorter one asks, wherever it begins with that."""
    for short in sorted(continuations, key=len):
        for longer in continuations:
            if len(longer) > len(short) and longer[: len(short)] == short:
                continuations[longer] += continuations.pop(short)
                break


def batches(asked: Sequence[Asked], max_tokens: int) -> Iterator[list[Asked]]:
    """Runs of prompts of equal length, up to ``max_tokens`` prompt tokens each."""
    batch: list[Asked] = []
    for entry in asked:
        full = batch and (len(batch) + 1) * len(entry.prompt) > max_tokens
        if batch and (full or len(entry.prompt) != len(batch[0].prompt)):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch
