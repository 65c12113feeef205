"""Means over seeds with their intervals, from cells: what columns are made of."""

from __future__ import annotations

from collections.abc import Iterable

from ..core import intervals
from . import stats
from .columns import Estimate
from .groups import Measured, Seeds
from .moments import ROUNDING, moments


def mean(values: Iterable[float]) -> float | None:
    """The mean, or None of nothing."""
    known = list(values)
    return sum(known) / len(known) if known else None


def estimate(seeds: Seeds, measured: Measured) -> Estimate:
    """Mean over seeds of a final value; its interval only if every seed has the values of its facts."""
    value, facts = mean(seeds.finals(measured)), seeds.facts(measured)
    if not facts or facts.keys() != seeds.keys():
        return Estimate(value)
    interval = stats.two_level_interval(facts, clusters=seeds.clusters(measured))
    return Estimate(value, interval.low, interval.high)


def from_seeds(seeds: Seeds, measured: Measured) -> float | None:
    """The share of the variance of a mean that comes from seeds, and so from their targets.

    None with one seed, and where all values are equal.
    """
    facts = seeds.facts(measured)
    if len(facts) < 2 or facts.keys() != seeds.keys():
        return None
    (y,), of = stats.aligned(facts), stats.numbered(seeds.clusters(measured), facts)
    parts = moments(y, of)
    variance = float(parts.variance)
    return max(float(parts.v_s - parts.v_e), 0.0) / variance if variance > ROUNDING else None


def over_seeds(seeds: Seeds, measured: Measured) -> Estimate:
    """The same of a value without facts of its own: the interval is over seeds."""
    values = seeds.finals(measured)
    low, high = intervals.mean_interval(values) if len(values) > 1 else (None, None)
    return Estimate(mean(values), low, high)


def over_facts_or_seeds(seeds: Seeds, measured: Measured) -> Estimate:
    """With its interval over facts and seeds, or over seeds where it does not follow from facts."""
    found = estimate(seeds, measured)
    return over_seeds(seeds, measured) if found.low is None else found


def difference(seeds: Seeds, others: Seeds, measured: Measured) -> Estimate:
    """Mean of the differences by fact and seed, of those that both have."""
    less, pairs = others.facts(measured), seeds.facts(measured)
    both = {
        seed: {fact: value - less[seed][fact] for fact, value in facts.items() if fact in less[seed]}
        for seed, facts in pairs.items()
        if seed in less
    }
    if not any(both.values()):
        return Estimate(None)
    if not any(value for facts in both.values() for value in facts.values()):
        return Estimate(0.0, 0.0, 0.0)  # one model, or as good as one
    value, low, high, _ = stats.two_level_interval(both, clusters=seeds.clusters(measured))
    return Estimate(value, low, high)


def known(share: stats.Interval | None) -> Estimate:
    """An interval as columns have it."""
    return Estimate(share.mean, share.low, share.high) if share else Estimate(None)
