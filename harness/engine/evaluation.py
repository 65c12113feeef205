"""Evaluation of a model: every metric of the benchmark, and which could not be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..core.benchmark import Benchmark
from ..core.names import GRADIENT, UTILITY_METRIC
from ..core.types import Metric, Outcome, Sample
from ..model import models
from ..scoring.metrics import means, summarise
from .under_test import ModelUnderTest

SHIFT = 1e-6
"""By which a mean is moved, to see how an aggregate follows."""


def evaluate(subject: ModelUnderTest) -> Outcome:
    """Everything the benchmark measures, and its aggregates, on the model as it is."""
    samples = subject.score(subject.splits)
    metrics = summarise(samples)
    values = dict(subject.benchmark.aggregates(samples))
    if subject.twin is not None:
        values |= subject.benchmark.against_twin(samples, subject.twin)
    metrics += [Metric("all", name, value) for name, value in values.items()]
    notes = {**facts_about(subject), "n_scored": len(subject.splits["forget"])}
    _, utility = UTILITY_METRIC
    if utility in values:
        notes[GRADIENT] = {utility: gradient(subject.benchmark, samples, utility)}
    if lacking := not_computed(subject, metrics):
        notes["not_computed"] = lacking
    return Outcome(metrics, samples, notes)


def gradient(benchmark: Benchmark, samples: Sequence[Sample], name: str) -> dict[str, dict[str, float]]:
    """By split and metric, d ``name`` / d mean of that metric over its facts, where it is not 0.

    An aggregate is no mean over facts, so this is what its interval follows from (delta method). Each mean is
    moved by its facts, towards 1/2: beyond 0 and 1 an aggregate may not exist.
    """
    start = benchmark.aggregates(samples)[name]
    moved: dict[str, dict[str, float]] = {}
    for (split, metric), mean in means(samples).items():
        shift = SHIFT if mean < 0.5 else -SHIFT
        shifted = [
            replace(sample, value=sample.value + shift)
            if (sample.split, sample.metric) == (split, metric)
            else sample
            for sample in samples
        ]
        if slope := (benchmark.aggregates(shifted)[name] - start) / shift:
            moved.setdefault(split, {})[metric] = slope
    return moved


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
    framing = subject.tokens.framing
    return {
        **subject.screened,
        "parameters": models.size(subject.model),
        "frame": framing.name,
        **({"prompt_date": framing.date} if framing.date else {}),
        "forget_metric": subject.benchmark.forget_metric,
        "retain_metric": list(subject.benchmark.retain_metric),
        "threshold": subject.threshold.value,
        "threshold_high": subject.threshold.high,
        "threshold_rule": subject.threshold.rule,
        "chance": subject.benchmark.chance(subject.splits),
    }
