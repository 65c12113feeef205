"""The model under test: everything that is asked of it, the same for methods and attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol as Interface

from torch import nn

from ..core.batch import Encoded
from ..core.benchmark import Benchmark
from ..core.jobs import Ask
from ..core.memory import NO_SAVINGS, MemorySavings
from ..core.types import Example, Fact, Prompt, Sample, Splits
from ..model.tokens import PromptTokenizer
from ..scoring.scorer import Scorer
from .protocol import Protocol
from .threshold import Threshold, threshold


class Advance(Interface):
    """Progress: what is being done, how much of it, out of how much, and the forget metric if it is known."""

    def __call__(self, what: str, done: int, total: int, value: float | None = None) -> None: ...


def silent(what: str, done: int, total: int, value: float | None = None) -> None:
    """No progress shown."""


@dataclass
class ModelUnderTest:
    """A model with its tokenizer, a benchmark's facts, and the protocol of its size."""

    model: nn.Module
    tokens: PromptTokenizer
    benchmark: Benchmark
    splits: Splits
    protocol: Protocol
    retrain: Path | None = None
    dtype: str = "float32"
    trust_remote_code: bool = False
    micro_batch: int | None = None
    """Largest micro-batch; changes memory, not results."""
    max_tokens: int = 4096
    """Tokens scored at once; changes memory, not results."""
    advance: Advance = silent
    screened: Mapping[str, int] = field(default_factory=dict)
    """How many facts the original was asked, and how many were screened out, where that was done."""
    twin: Sequence[Sample] | None = None
    """Samples of the retrain twin on all splits, where there is one: it says what counts as forgotten."""
    most_damage: float | None = None
    """KL(pi_0 || pi) in nats a token on neutral text beyond which unlearning stops; None sets no limit."""
    savings: MemorySavings = NO_SAVINGS
    """How training needs less memory."""
    noted: bool = True
    """Whether the twin was trained by a run, which left a note that it is held against.

    One that was not is only held to fit the original.
    """

    def encode(self, facts: Sequence[Fact], answer: str | None = None) -> list[Encoded]:
        """Facts as plain question-answer text or passages, never in the evaluation's template.

        ``answer`` takes the place of every fact's own.
        """
        return self.tokens.examples([example(fact, answer) for fact in facts])

    def score(
        self, splits: Splits, metrics: Sequence[str] | None = None, ask: Ask | None = None
    ) -> list[Sample]:
        """Samples of the benchmark's measures on ``splits``, all of them or those named.

        ``ask`` rewrites each request before it is asked; what the answers are held against stays.
        """
        wanted = [m for m in self.benchmark.measures(splits) if metrics is None or m.metric in metrics]
        if ask:
            wanted = [replace(m, requests=tuple(map(ask, m.requests))) for m in wanted]
        return Scorer(self.model, self.tokens, self.max_tokens).measure(wanted)

    def answered(self, facts: Sequence[Fact]) -> set[str]:
        """Ids of the forget facts the model answers as well as can be: forget metric at 1."""
        return {s.fact_id for s in self._forget_samples(facts) if s.value >= 1.0}

    @cached_property
    def threshold(self) -> Threshold:
        """What counts as forgotten."""
        return threshold(self.benchmark, self.splits, self.twin)

    def remembered(self, facts: Sequence[Fact]) -> set[str]:
        """Ids of the forget facts that are not forgotten yet: forget metric above the threshold."""
        return {s.fact_id for s in self._forget_samples(facts) if s.value > self.threshold.value}

    def _forget_samples(self, facts: Sequence[Fact]) -> list[Sample]:
        return self.score(Splits({"forget": tuple(facts)}), [self.benchmark.forget_metric])


def example(fact: Fact, answer: str | None = None) -> Example:
    """A fact as a text to train on, with its own answer or another."""
    if answer is None and fact.passage:
        return Example(Prompt("", literal=True), fact.passage, fact.id)
    return Example(fact.prompt, fact.answer if answer is None else answer, fact.id)
