"""What a cell has to do and to hold: steps, looks and tokens by its settings and the benchmark's facts.

It is what seconds and memory are estimated from. Tokens are counted roughly, by words: a plan needs no
tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ..core.base import Attack
from ..core.config import MethodConfig, TrainingConfig, settled
from ..core.types import Fact, Splits
from ..engine.protocol import Protocol
from ..plugins.kinds import Kind
from ..plugins.registry import Registry
from .plan import Spec
from .planner import loaded

PER_WORD = 4 / 3
"""Tokens of a word or a sign in English text."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """The texts of a split, in tokens."""

    number: int = 0
    mean: float = 0.0
    longest: float = 0.0
    longest_answer: float = 0.0

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> Lengths:
        """How many facts there are, and how long their texts."""
        whole, answers = [], []
        for fact in facts:
            answers.append(tokens(fact.passage or fact.answer))
            whole.append(answers[-1] if fact.passage else tokens(f"{fact.question} {fact.answer}"))
        if not whole:
            return cls()
        return cls(len(whole), sum(whole) / len(whole), max(whole), max(answers))

    @property
    def tokens(self) -> float:
        """Of all of them."""
        return self.number * self.mean


NO_TEXTS = Lengths()


@dataclass(frozen=True, slots=True)
class Workload:
    """What a cell does at the most, and the batch that it holds."""

    steps: int = 0
    """Optimiser steps at all rates."""
    looks: int = 1
    """Times that the facts to forget are scored."""
    trained: float = 0.0
    """Tokens of training."""
    scored: float = 0.0
    """Tokens of scoring at all looks."""
    once: float = 0.0
    """Tokens of the evaluation of all facts."""
    batch: tuple[int, Lengths] = (0, NO_TEXTS)
    """Texts that are differentiated together, and of which; none where nothing trains."""

    def after(self, steps: float, trained: float | None = None) -> Workload:
        """The same where it took fewer steps than it may, and so many tokens of training if that is known."""
        share = steps / self.steps if self.steps else 1.0
        looks = max(1, round(self.looks * share))
        tokens = self.trained * share if trained is None else trained
        scored = self.scored * looks / self.looks
        return replace(self, steps=round(steps), looks=looks, trained=tokens, scored=scored)


NOTHING = Workload()
"""Of what only holds a model."""


def tokens(text: str) -> float:
    """About how many tokens a text has."""
    return PER_WORD * len(re.findall(r"\w+|[^\w\s]", text))


@lru_cache(maxsize=8)
def texts_of(benchmark: Spec, registry: Registry) -> Mapping[str, Lengths]:
    """The texts of each split of a benchmark."""
    return texts_in(loaded(benchmark, registry)[1])


def texts_in(splits: Splits) -> dict[str, Lengths]:
    """The texts of each split."""
    return {name: Lengths.of(facts) for name, facts in splits.items()}


def plugin_of(spec: Spec, registry: Registry) -> tuple[Any, Any]:
    """The class of a method or attack, and its settings."""
    cls = registry.get(Kind(spec.kind), spec.name).load()
    return cls, cls.Config.model_validate_json(spec.config)


def of_unlearning(
    config: Any, texts: Mapping[str, Lengths], protocol: Protocol, micro: int | None
) -> Workload:
    """The workload of unlearning and the evaluation after it, by a method's settings."""
    forget, retain = texts["forget"], texts.get("retain", NO_TEXTS)
    whole = sum(each.tokens for each in texts.values())
    if not isinstance(config, MethodConfig):
        return Workload(scored=forget.tokens, once=whole)
    size = min(settled(config.batch_size), forget.number)
    per_epoch = -(-forget.number // size)
    steps = settled(config.epochs) * per_epoch * len(config.learning_rates or ())
    looks = 1 + steps // (protocol.check_every or per_epoch)
    longer = max(forget, retain, key=lambda each: each.longest)
    return Workload(
        steps,
        looks,
        steps * size * (forget.mean + retain.mean),
        looks * forget.tokens,
        whole,
        (min(size, micro or size), longer),
    )


def of_attack(cls: type[Attack], config: Any, texts: Mapping[str, Lengths], micro: int | None) -> Workload:
    """The workload of an attack, by its settings. One that trains by itself counts as one look."""
    forget = texts["forget"]
    if not isinstance(config, TrainingConfig):
        return Workload(scored=forget.tokens)
    read = [texts[name] for name in sorted(cls(config).reads) if name in texts] or [forget]
    number = max(1, round(getattr(config, "p", 1.0) * sum(each.number for each in read)))
    stops, rates = config.stops(number), len(config.learning_rates or ())
    size = min(settled(config.batch_size), number)
    steps, looks = stops[-1] * rates, 1 + len(stops) * rates
    longest = max(read, key=lambda each: each.longest)
    mean = sum(each.tokens for each in read) / max(1, sum(each.number for each in read))
    trained = steps * size * mean
    batch = min(size, micro or size), longest
    return Workload(steps, looks, trained, looks * forget.tokens, 0.0, batch)
