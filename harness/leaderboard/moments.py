"""Mean and variance of crossed values: facts, which may come in clusters, under several seeds.

The same fact under three seeds is one fact, not three, and three seeds are few. With y_sf = mu + fact_f
+ seed_s + rest_sf (facts and seeds crossed, some pairs missing) and w_sf the weight of a value in the mean,

    V_f = F/(F-1) sum_f (sum_s w r)^2      V_s = S/(S-1) sum_s (sum_f w r)^2      r = y - mean

hold what comes from facts and what from seeds, and both hold the rest's part V_e. Facts of one subject are
alike, so a cluster of them takes the place of a fact: sums run over its facts first, and F counts clusters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import special

from ..core.intervals import CONFIDENCE

ROUNDING = 1e-24
"""A variance below this is a sum of rounding errors of equal values, (1e-12)^2, and not a spread."""


class Moments(NamedTuple):
    """Of values [..., seeds, facts], each of shape [...]: the mean and the parts of its variance."""

    mean: np.ndarray
    v_f: np.ndarray
    v_s: np.ndarray
    v_e: np.ndarray
    facts: np.ndarray
    seeds: np.ndarray
    clusters: np.ndarray
    """As many of one size as say as much (Kish 1965); without any, the facts."""
    skew: np.ndarray
    """How fast v_f grows with the mean: the third moment over the second, summed over clusters."""

    @property
    def variance(self) -> np.ndarray:
        """Of the mean, for other facts and other seeds: V_f and V_s both hold V_e."""
        return self.v_f + np.maximum(self.v_s - self.v_e, 0)

    def quantile(self, confidence: float | np.ndarray = CONFIDENCE) -> np.ndarray:
        """Standard errors to each side of the mean."""
        seeds = np.maximum(self.v_s - self.v_e / 2, 0)
        share = seeds / np.maximum(self.v_f + seeds, ROUNDING)
        free = np.maximum(self.clusters - 1, 1), np.maximum(self.seeds - 1, 1)
        return _quantile(share, *free, (1 - confidence) / 2)

    def half_width(
        self, confidence: float | np.ndarray = CONFIDENCE, quantile: np.ndarray | None = None
    ) -> np.ndarray:
        """Half the interval of the mean, or NaN without a spread; see stats.two_level_interval."""
        spread = self.variance > ROUNDING
        t = self.quantile(confidence) if quantile is None else quantile
        return np.where(spread, t * np.sqrt(self.variance), np.nan)


class Deviations(NamedTuple):
    """What each value [..., seeds, facts] adds to a mean's error; those of two means may be subtracted."""

    mean: np.ndarray
    known: np.ndarray
    r: np.ndarray
    """Weighted deviations from the mean."""
    rest: np.ndarray
    """Weighted deviations from an additive fit of facts and seeds."""

    def __sub__(self, other: Deviations) -> Deviations:
        """Of the difference of two means."""
        known = self.known | other.known
        return Deviations(self.mean - other.mean, known, self.r - other.r, self.rest - other.rest)

    def of(self, index: Any) -> Deviations:
        """Of the means at an index."""
        return Deviations(*(part[index] for part in self))

    def moments(self, of: np.ndarray | None = None) -> Moments:
        """The parts of the variance; ``of`` numbers the cluster of each fact, None if each is its own."""
        if of is None and self.known.all():
            return self._of_whole()
        scored, known, r, rest = self.known.any(-2), self.known, self.r, self.rest
        facts = equal = scored.sum(-1)
        if of is not None:
            member = (of[:, None] == np.arange(of.max() + 1)).astype(float)
            sizes, known, r, rest = scored @ member, known @ member > 0, r @ member, rest @ member
            equal = sizes.sum(-1) ** 2 / np.maximum((sizes**2).sum(-1), 1)
        seeds, clusters, n = known.any(-1).sum(-1), known.any(-2).sum(-1), known.sum((-2, -1))
        of_cluster = r.sum(-2)
        squares = (of_cluster**2).sum(-1)
        v_f = _over(clusters, clusters - 1) * squares
        v_s = _over(seeds, seeds - 1) * (r.sum(-1) ** 2).sum(-1)
        v_e = _over(n, n - seeds - clusters + 1) * (rest**2).sum((-2, -1))
        skew = (of_cluster**3).sum(-1) / np.maximum(squares, ROUNDING)
        return Moments(self.mean, v_f, v_s, v_e, facts, seeds, equal, skew)

    def _of_whole(self) -> Moments:
        """The same where each fact is its own cluster and every seed scored it: nearly always, and faster."""
        s, f = self.r.shape[-2:]
        of_fact, of_seed = np.einsum("...sf->...f", self.r), np.einsum("...sf->...s", self.r)
        squares = (of_fact**2).sum(-1)
        v_s = (of_seed**2).sum(-1) * (s / (s - 1) if s > 1 else 0.0)
        free = (s - 1) * (f - 1)
        v_e = np.einsum("...sf,...sf->...", self.rest, self.rest) * (s * f / free if free else 0.0)
        seeds, facts = (np.full(self.mean.shape, count) for count in (s, f))
        skew = (of_fact**3).sum(-1) / np.maximum(squares, ROUNDING)
        v_f = squares * (f / (f - 1) if f > 1 else 0.0)
        return Moments(self.mean, v_f, v_s, v_e, facts, seeds, facts, skew)


def deviations(y: np.ndarray) -> Deviations:
    """Of ``y``, [..., seeds, facts] with NaN where a seed did not score a fact. Each seed weighs the same.

    Seeds and facts without any value do not count. The mean is 0 where there is no value at all.
    """
    known = ~np.isnan(y)
    if known.all():
        return _of_whole(y, known)
    in_seed, of_fact = known.sum(-1, keepdims=True), known.sum(-2, keepdims=True)
    w = known / np.maximum((in_seed > 0).sum(-2, keepdims=True) * in_seed, 1)
    x = np.where(known, y, 0.0)
    lowest = np.where(known, y, np.inf).min((-2, -1), keepdims=True)
    highest = np.where(known, y, -np.inf).max((-2, -1), keepdims=True)
    # The weighted sum of equal ones may be 0.9999999999999999.
    mean = np.where(lowest == highest, lowest, (w * x).sum((-2, -1), keepdims=True))
    r = w * np.where(known, y - mean, 0.0)
    seed_mean = x.sum(-1, keepdims=True) / np.maximum(in_seed, 1)
    fact_mean = (known * (x - seed_mean)).sum(-2, keepdims=True) / np.maximum(of_fact, 1)
    return Deviations(mean[..., 0, 0], known, r, w * np.where(known, x - seed_mean - fact_mean, 0.0))


def _of_whole(y: np.ndarray, known: np.ndarray) -> Deviations:
    """The same where no value is missing: nearly always, and faster."""
    s, f = y.shape[-2:]
    w = 1 / (s * f)
    lowest, highest = y.min((-2, -1)), y.max((-2, -1))
    mean = np.where(lowest == highest, lowest, w * np.einsum("...sf->...", y))
    within = y - np.einsum("...sf->...s", y)[..., None] / f
    rest = within - np.einsum("...sf->...f", within)[..., None, :] / s
    return Deviations(mean, known, w * (y - mean[..., None, None]), w * rest)


def moments(y: np.ndarray, of: np.ndarray | None = None) -> Moments:
    """Of ``y`` [..., seeds, facts], NaN where a value is missing; ``of`` as in :meth:`Deviations.moments`."""
    if y.ndim > 2 and y.size > CACHED and len(y) > 1:
        step = max(1, CACHED * len(y) // y.size)
        parts = (moments(y[begin : begin + step], of) for begin in range(0, len(y), step))
        return Moments(*map(np.concatenate, zip(*parts, strict=True)))
    return deviations(y).moments(of)


def of_means(of_fact: np.ndarray, of_seed: np.ndarray) -> Moments:
    """Where no value is missing, by the means of facts [..., facts] and of seeds [..., seeds].

    They are linear, and a tenth of the values. What these alone say, v_e and skew, is not known, and 0.
    """
    f, s = of_fact.shape[-1], of_seed.shape[-1]
    lowest, highest = of_fact.min(-1), of_fact.max(-1)
    mean = np.where(lowest == highest, lowest, of_fact.mean(-1))
    v_f = (((of_fact - mean[..., None]) / f) ** 2).sum(-1) * (f / (f - 1) if f > 1 else 0.0)
    v_s = (((of_seed - mean[..., None]) / s) ** 2).sum(-1) * (s / (s - 1) if s > 1 else 0.0)
    none, facts, seeds = (np.full(mean.shape, count) for count in (0.0, f, s))
    return Moments(mean, v_f, v_s, none, facts, seeds, facts, none)


CACHED = 1 << 15
"""Values of an array that is taken apart at once: what is made of it then stays in a processor's cache."""


def _over(n: np.ndarray, free: np.ndarray) -> np.ndarray:
    """n / free, and 0 where nothing is free: one fact or one seed has no spread."""
    return np.where(free > 0, n / np.maximum(free, 1), 0.0)


NEWTON = 30
"""Steps towards a quantile at the most. Some four do, where the number of seeds is not two."""


def _quantile(share: np.ndarray, many: np.ndarray, few: np.ndarray, tail: float | np.ndarray) -> np.ndarray:
    """The t beyond which Student's tails with ``many`` and ``few`` degrees of freedom leave ``tail``.

    They are weighed by 1 - share and share. What they leave is convex in t, so Newton's steps from below
    never go too far, and the first from above goes below. What is computed beside one does not change it.
    """
    low, high = special.stdtrit(many, 1 - tail), special.stdtrit(few, 1 - tail)
    t, of_many, of_few = (1 - share) * low + share * high, _scales(many), _scales(few)
    found = share == 0
    for _ in range(NEWTON):
        if found.all():
            break
        beyond = (1 - share) * special.stdtr(many, -t) + share * special.stdtr(few, -t) - tail
        falls = (1 - share) * of_many * (1 + t * t / many) ** (-(many + 1) / 2)
        step = beyond / (falls + share * of_few * (1 + t * t / few) ** (-(few + 1) / 2))
        t = np.where(found, t, t + step)
        found = found | (np.abs(step) <= CLOSE * t)
    return np.where(share == 0, low, t)


CLOSE = 1e-13


def _scales(free: np.ndarray) -> np.ndarray:
    """Student's density at 0."""
    scales: np.ndarray = np.exp(special.gammaln((free + 1) / 2) - special.gammaln(free / 2))
    return scales / np.sqrt(np.pi * free)
