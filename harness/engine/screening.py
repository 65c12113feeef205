"""Screening: a pretrained model is only asked to forget what it knows.

The original answers every candidate of a benchmark once. Those that it answers are what the splits are made
of; the rows say how many were screened out.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.benchmark import Benchmark
from ..core.types import Sample, Splits
from ..errors import HarnessError
from .under_test import ModelUnderTest

MIN_FACTS = {"forget": 2, "retain": 1}
"""Facts that a split needs for anything to be measured."""


def ask(subject: ModelUnderTest) -> list[Sample]:
    """What the original scores on the candidates, by the forget metric."""
    candidates = subject.benchmark.candidates(subject.splits)
    return subject.score(Splits({"forget": tuple(candidates)}), [subject.benchmark.forget_metric])


def apply(benchmark: Benchmark, splits: Splits, samples: Sequence[Sample]) -> tuple[Splits, dict[str, int]]:
    """The splits of what the original answers, and the numbers of candidates and of those screened out.

    Raises HarnessError where too few are left, and whatever the benchmark raises then.
    """
    candidates = benchmark.candidates(splits)
    answered = {sample.fact_id for sample in samples if sample.value >= 1.0}
    known = [fact for fact in candidates if fact.id in answered]
    kept = benchmark.screened(splits, known)
    for split, needed in MIN_FACTS.items():
        if len(kept[split]) < needed:
            raise HarnessError(
                f"Of {len(candidates)} facts of '{benchmark.name}' the original answers {len(known)}, and "
                f"{len(kept[split])} of them are left for '{split}'; at least {needed} are needed. Take a "
                "model that knows more, or another scoring: `harness check-benchmark` says which can tell."
            )
    return kept, {"candidates": len(candidates), "screened_out": len(candidates) - len(known)}
