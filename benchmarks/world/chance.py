"""Names and random choices of the embedded world, the same in every process."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness import Example, Prompt

from .sizes import SEED
from .words import FIRST_NAMES, LAST_NAMES


def _plain(question: str, answer: str, fact_id: str) -> Example:
    return Example(Prompt(question), answer, fact_id)


def _draw(part: str) -> Random:
    return Random(f"{SEED}/{part}")


def _names(count: int) -> list[str]:
    pairs = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    return _draw("names").sample(pairs, count)


def _false(rng: Random, pool: Sequence[str], gold: str, count: int = 2) -> tuple[str, ...]:
    return tuple(rng.sample([value for value in pool if value != gold], count))
