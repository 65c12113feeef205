"""Facts that are text: how they are trained on, and what answers to other texts are worth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from statistics import fmean

from harness import Example, Fact, LogLikelihood, Prompt, Training

from .records import Record
from .settings import TrainedConfig
from .tables import TEXT

MISMATCHED = 3
"""Answers to other questions that each answer is held against."""


def to_continue(begin: str, end: str) -> tuple[str, str, str]:
    """The two parts of a text without the white space around them, and the text of both."""
    begin, end = begin.strip(), end.strip()
    return begin, end, f"{begin} {end}"


def cut(text: str, most: int) -> list[str]:
    """A text in passages of at most ``most`` words and about the same length, as they stand in it."""
    words = [(word.start(), word.end()) for word in re.finditer(r"\S+", text)]
    count = max(1, -(-len(words) // most))
    edges = [len(words) * part // count for part in range(count + 1)]
    return [text[words[first][0] : words[last - 1][1]] for first, last in pairwise(edges) if last > first]


def passage_fact(key: str, text: str, begin: int, follow: int, subject: str = "") -> Fact:
    """A passage of two words or more: ``begin`` words of it, or half, and up to ``follow`` that come next."""
    ends = [word.end() for word in re.finditer(r"\S+", text)]
    begin = min(begin, len(ends) // 2)
    rest = text[ends[begin - 1] : ends[min(begin + follow, len(ends)) - 1]].strip()
    return Fact(key, text[: ends[begin - 1]], rest, subject=subject, passage=text)


def passages(
    records: Iterable[Record], key: str, longest: int, begin: int, follow: int, field: str = TEXT
) -> tuple[Fact, ...]:
    """The texts of a table in passages; those of a text share their ``subject``.

    Raises DataError for a text of less than two words.
    """
    facts: list[Fact] = []
    for number, record in enumerate(records, 1):
        text = record.text(field).strip()
        parts = [part for part in cut(text, longest) if len(part.split()) > 1]
        if not parts:
            raise record.error(f"expected at least two words in '{field}', found {text[:60]!r}")
        name = f"{key} {number}"
        facts += [
            passage_fact(f"{name}.{place}", part, begin, follow, name) for place, part in enumerate(parts, 1)
        ]
    return tuple(facts)


def dealt(facts: Sequence[Fact], texts: Sequence[str]) -> tuple[Fact, ...]:
    """Questions that are trained on as texts: each gets one, spread evenly or, where too few, in turn."""
    step = max(1, len(texts) // len(facts)) if facts else 1
    return tuple(replace(fact, passage=texts[place * step % len(texts)]) for place, fact in enumerate(facts))


def taught(facts: Iterable[Fact]) -> tuple[Example, ...]:
    """Facts as what a model reads: the whole passage, or question and answer."""
    return tuple(
        Example(Prompt("", literal=True), fact.passage, fact.id)
        if fact.passage
        else Example(fact.prompt, fact.answer, fact.id)
        for fact in facts
    )


def targets(config: TrainedConfig, retain: Iterable[Fact], forget: Iterable[Fact], *more: Fact) -> Training:
    """What is retained and what is to be forgotten for the original; what is retained for its twin.

    ``more`` are facts that a model is asked about and not taught.
    """
    kept, forgotten = tuple(retain), tuple(forget)
    texts = [f"{fact.question} {fact.answer} {fact.passage}" for fact in (*kept, *forgotten, *more)]
    return Training(
        original=taught(kept) + taught(forgotten),
        retrain=taught(kept),
        vocabulary=("Question: Answer:", *texts),
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
    )


def running(text: str) -> LogLikelihood:
    """Ask for the likelihood of a text from its beginning; the first token is given, none ends it."""
    return LogLikelihood(Prompt("", literal=True), text, end=False)


def mismatched(value: Callable[[str, str], float], golds: Sequence[str], others: Sequence[str]) -> float:
    """The mean ``value`` of what is said of others, in the right format with another content."""
    return _mismatched(value, tuple(golds), tuple(others))


@lru_cache(maxsize=32)
def _mismatched(value: Callable[[str, str], float], golds: tuple[str, ...], others: tuple[str, ...]) -> float:
    return fmean(
        value(others[(place * MISMATCHED + step) % len(others)], gold)
        for place, gold in enumerate(golds)
        for step in range(min(MISMATCHED, len(others)))
    )
