"""The model under test, and its evaluation before any attack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ..core.base import Benchmark
from ..core.batch import Encoded
from ..core.types import Example, Fact, Metric, Outcome, Prompt, Request, Sample, Splits
from ..model.tokens import PromptTokenizer
from ..scoring.metrics import summarise
from ..scoring.scorer import Scorer
from .protocol import Protocol

Advance = Callable[[str, int, int], None]
"""Progress: what is being done, how much of it, out of how much."""

Ask = Callable[[Request], Request]
"""Another way to ask for the same thing."""


def silent(what: str, done: int, total: int) -> None:
    """No progress shown."""


@dataclass
class ModelUnderTest:
    """A model under test with everything that is asked of it: the same for methods and attacks."""

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
    twin: Sequence[Sample] | None = None
    """Samples of the retrain twin, where there is one and the benchmark compares with it."""

    def encode(self, facts: Sequence[Fact]) -> list[Encoded]:
        """Facts as plain question-answer text, never in the evaluation's template."""
        return self.tokens.examples([Example(Prompt(f.question), f.answer, f.id) for f in facts])

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

    def remembered(self, facts: Sequence[Fact]) -> set[str]:
        """Ids of the forget facts that are not forgotten yet: forget metric above the threshold."""
        threshold = self.benchmark.threshold(self.splits)
        return {s.fact_id for s in self._forget_samples(facts) if s.value > threshold}

    def _forget_samples(self, facts: Sequence[Fact]) -> list[Sample]:
        return self.score(Splits({"forget": tuple(facts)}), [self.benchmark.forget_metric])


def evaluate(subject: ModelUnderTest) -> Outcome:
    """Everything the benchmark measures, and its aggregates, on the model as it is."""
    samples = subject.score(subject.splits)
    metrics = summarise(samples)
    values = dict(subject.benchmark.aggregates(samples))
    if subject.twin is not None:
        values |= subject.benchmark.against_twin(samples, subject.twin)
    metrics += [Metric("all", name, value) for name, value in values.items()]
    notes = {**facts_about(subject), "n_scored": len(subject.splits["forget"])}
    if lacking := not_computed(subject, metrics):
        notes["not_computed"] = lacking
    return Outcome(metrics, samples, notes)


def not_computed(subject: ModelUnderTest, metrics: Sequence[Metric]) -> dict[str, str]:
    """Every metric that the benchmark reports and that is not among ``metrics``, and why."""
    found = {(metric.split, metric.metric) for metric in metrics}
    there = {"all", *subject.splits, *(() if subject.twin is None else ("twin",))}
    reasons = {}
    for reported in subject.benchmark.reports:
        for split in reported.splits:
            if (split, reported.metric) not in found:
                needs = [need for need in (split, *reported.needs) if need not in there]
                reason = "it is not defined on these facts"
                if needs:
                    missing = "retrain twin" if needs[0] == "twin" else f"split '{needs[0]}'"
                    reason = f"there is no {missing}"
                name = reported.metric if split == "all" else f"{split}.{reported.metric}"
                reasons[name] = reason
    return reasons


def facts_about(subject: ModelUnderTest) -> dict[str, Any]:
    """What a reader of the row needs to know about the benchmark."""
    return {
        "forget_metric": subject.benchmark.forget_metric,
        "retain_metric": list(subject.benchmark.retain_metric),
        "threshold": subject.benchmark.threshold(subject.splits),
        "chance": subject.benchmark.chance(subject.splits),
    }
