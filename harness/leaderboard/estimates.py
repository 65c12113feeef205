"""Means over seeds with their intervals, from cells: what columns are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..core import intervals
from . import arrays, stats
from .columns import Estimate
from .groups import Seeds
from .moments import ROUNDING, moments
from .reading import Measured

Queries = Sequence[tuple[Seeds, Measured]]


def mean(values: Iterable[float]) -> float | None:
    """The mean, or None of nothing."""
    known = list(values)
    return sum(known) / len(known) if known else None


def estimates(queries: Queries) -> list[Estimate]:
    """Means over seeds of a final value; each has an interval only if every seed has the values of its facts.

    At once for those of one shape.
    """
    return [estimate for estimate, _ in from_seeds(queries)]


def from_seeds(queries: Queries) -> list[tuple[Estimate, float | None]]:
    """The same, with the share of the variance of the mean that comes from seeds, and so from their targets.

    None with one seed, and where all values are equal.
    """
    found: list[tuple[Estimate, float | None]]
    found = [(Estimate(mean(seeds.finals(measured))), None) for seeds, measured in queries]
    for places, y, of in _alike(queries):
        parts = moments(y, of)
        low, high = stats.limits(y, parts)
        spread = (parts.variance > ROUNDING) & (y.shape[1] > 1)
        share = np.maximum(parts.v_s - parts.v_e, 0.0) / np.where(spread, parts.variance, np.nan)
        for place, *ends, own in zip(places, *map(np.ndarray.tolist, (low, high, share)), strict=True):
            estimate, _ = found[place]
            known = ends if ends[0] == ends[0] else (None, None)  # a number
            found[place] = Estimate(estimate.value, *known), own if own == own else None
    return found


def _alike(queries: Queries) -> Iterator[tuple[list[int], np.ndarray, np.ndarray | None]]:
    """The values [places, seeds, facts] of those of which every seed has them; as :func:`arrays.alike`."""
    facts = [(seeds.facts(measured),) for seeds, measured in queries]
    known = [place for place, (own,) in enumerate(facts) if own and len(own) == len(queries[place][0])]
    clusters = [queries[place][0].clusters(queries[place][1]) for place in known]
    for places, y, of in arrays.alike([facts[place] for place in known], clusters):
        yield [known[place] for place in places], y[:, 0], of


def over_seeds(seeds: Seeds, measured: Measured) -> Estimate:
    """The same of a value without facts of its own: the interval is over seeds."""
    values = seeds.finals(measured)
    low, high = intervals.mean_interval(values) if len(values) > 1 else (None, None)
    return Estimate(mean(values), low, high)


def over_facts_or_seeds(queries: Queries) -> list[Estimate]:
    """Each with its interval over facts and seeds, or over seeds where it does not follow from facts."""
    found = zip(queries, estimates(queries), strict=True)
    return [over_seeds(*query) if of_facts.low is None else of_facts for query, of_facts in found]


def differences(queries: Sequence[tuple[Seeds, Seeds, Measured]]) -> list[Estimate]:
    """Mean of the differences of one's facts from the other's, by fact and seed, of those that both have."""
    apart = [one.facts(measured).less(other.facts(measured)) for one, other, measured in queries]
    found = [Estimate(None)] * len(queries)
    known = [place for place, both in enumerate(apart) if both]
    clusters = [queries[place][0].clusters(queries[place][2]) for place in known]
    for places, y, of in arrays.alike([(apart[place],) for place in known], clusters):
        value, low, high, _ = stats.bounds(y[:, 0], of)
        ends = np.stack([value, low, high], axis=1).tolist()
        for place, own, differ in zip(places, ends, np.nan_to_num(y).any((1, 2, 3)), strict=True):
            # Without any difference they are one model, or as good as one.
            numbers = Estimate(*own) if own[1] == own[1] else Estimate(own[0])
            found[known[place]] = numbers if differ else Estimate(0.0, 0.0, 0.0)
    return found


def known(share: stats.Interval | None) -> Estimate:
    """An interval as columns have it."""
    return Estimate(share.mean, share.low, share.high) if share else Estimate(None)
