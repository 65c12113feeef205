"""Intervals and tests: how far a number would move with other facts and other seeds.

Intervals are 95 %. What cannot be estimated is None and not a number: one value says nothing about its
spread. Where facts come in clusters (all questions about one subject), it is for other clusters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from ..core.intervals import CONFIDENCE, binomial_interval, standard_error
from .arrays import BySeed, Clusters, aligned, alike, numbered
from .moderated import moderated
from .moments import ROUNDING, Moments, deviations, moments


class Interval(NamedTuple):
    """A mean with its 95 % interval and the number of distinct facts behind it; bounds None if unknown."""

    mean: float
    low: float | None
    high: float | None
    n: int


class SeedMean(NamedTuple):
    """A mean over the facts of one seed, its 95 % interval over them, and how many they are."""

    value: float
    low: float | None
    high: float | None
    n: int


def two_level_interval(
    samples: BySeed, confidence: float = CONFIDENCE, clusters: Clusters | None = None
) -> Interval:
    """The mean over seeds of the mean over facts, with an interval for other facts *and* other seeds.

    Var(mean) = V_f + max(V_s - V_e, 0), because both hold V_e. The interval is t times its root, where
    Student's tails beyond t with F-1 and with S-1 degrees of freedom, weighted by V_f and max(V_s - V_e/2,
    0), make 2.5 %: three seeds that happen to agree do not become as good as a hundred facts, as they do
    with Satterthwaite's formula. Simulated coverage stands in docs/protocol.md.
    One seed gives an interval over facts alone; equal zeros or ones are counted by distinct cluster, as in
    :func:`mean_interval`.

    Seeds without facts are left out. Raises ValueError when nothing is left.
    """
    (y,) = aligned(samples)
    mean, low, high, n = (float(part) for part in bounds(y, numbered(clusters, samples), confidence))
    return Interval(mean, None, None, int(n)) if np.isnan(low) else Interval(mean, low, high, int(n))


def bounds(
    y: np.ndarray, of: np.ndarray | None = None, confidence: float | np.ndarray = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What :func:`two_level_interval` says of each of ``y`` [..., seeds, facts]; NaN if unknown.

    ``of`` is as in :func:`moments`; ``confidence`` may be one for each.
    """
    found = moments(y, of)
    return found.mean, *limits(y, found, confidence), found.facts


def limits(
    y: np.ndarray, spread: Moments, confidence: float | np.ndarray = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of those intervals, by the moments of ``y``."""
    half = spread.half_width(confidence)
    low, high = np.asarray(spread.mean - half), np.asarray(spread.mean + half)
    least, most = (np.where(np.isnan(y), fill, y) for fill in (np.inf, -np.inf))
    least, most = least.min((-2, -1)), most.max((-2, -1))
    low, high = _cut(low, high, (least >= 0) & (most <= 1))
    for at in np.argwhere((least == most) & np.isin(spread.mean, (0.0, 1.0))):
        n, place = round(float(spread.clusters[tuple(at)])), tuple(at)
        level = float(np.broadcast_to(confidence, low.shape)[place])
        low[place], high[place] = binomial_interval(int(spread.mean[place]) * n, n, level)
    return low, high


def _cut(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of intervals, within [0, 1] where all values are: a share cannot be negative."""
    return np.where(share, np.maximum(low, 0), low), np.where(share, np.minimum(high, 1), high)


def interval_of_means(means: Sequence[SeedMean]) -> tuple[float | None, float | None]:
    """The 95 % interval of the mean over seeds, for other facts and other seeds, where single facts are lost.

    The values of single facts are kept for an attack's best checkpoint only. Of the others there are each
    seed's mean and its interval over facts, from which V_s follows, and of V_f the most it can be: the mean
    over seeds of each seed's own, as if a fact fared alike under every seed.
    (None, None) where a seed has no interval.
    """
    [found] = intervals_of_means([means])
    return found


def intervals_of_means(points: Sequence[Sequence[SeedMean]]) -> list[tuple[float | None, float | None]]:
    """:func:`interval_of_means` of each of several points, at once for those of as many seeds."""
    found: list[tuple[float | None, float | None]] = [(None, None)] * len(points)
    alike: dict[int, list[int]] = defaultdict(list)
    for place, means in enumerate(points):
        if means and all(mean.low is not None and mean.high is not None and mean.n > 1 for mean in means):
            alike[len(means)].append(place)
    for seeds, places in alike.items():
        value, low, high, n = np.moveaxis(np.array([points[i] for i in places], dtype=float), -1, 0)
        # The longer side of each interval gives its standard error: the other may have been cut at 0 or 1.
        errors = np.maximum(value - low, high - value) / special.stdtrit(n - 1, (1 + CONFIDENCE) / 2)
        v_s = value.var(-1, ddof=1) / seeds if seeds > 1 else np.zeros(len(places))
        mean, facts, none = value.mean(-1), n.min(-1), np.zeros(len(places))
        parts = mean, (errors**2).mean(-1), v_s, none, facts, np.full(len(places), seeds), facts, none
        half = Moments(*parts).half_width()
        ends = _cut(mean - half, mean + half, ((low >= 0) & (high <= 1)).all(-1))
        for place, *own in zip(places, *map(np.ndarray.tolist, ends), strict=True):
            if own[0] == own[0]:  # a number
                found[place] = own[0], own[1]
    return found


def recovery(
    attacked: BySeed,
    original: BySeed,
    retrain: BySeed,
    clusters: Clusters | None = None,
) -> Interval | None:
    """What an attack brought back, as a share of what was there: (a - r) / (o - r).

    ``attacked`` is the unlearned model after the attack; ``original`` and ``retrain`` are the untouched model
    and the one that never saw the forget set after the same attack. Means run over the facts and seeds that
    all three have. The interval is that of :func:`recoveries`; 1 of the original itself and 0 of retrain have
    none.

    None when they share nothing, or when o - r is not distinguishable from 0 (its own two-level interval
    reaches 0 or cannot be estimated): there is then nothing to recover a share of.
    """
    [found] = all_recoveries([(attacked, original, retrain)], [clusters])
    return found


def all_recoveries(
    samples: Sequence[tuple[BySeed, BySeed, BySeed]],
    clusters: Sequence[Clusters | None],
) -> list[Interval | None]:
    """:func:`recovery` of each three of ``samples``, at once for those of one shape."""
    found: list[Interval | None] = [None] * len(samples)
    whole = [place for place, three in enumerate(samples) if all(three)]
    for places, y, of in alike([samples[i] for i in whole], [clusters[i] for i in whole]):
        for at, ratio in zip(places, _intervals(y, of), strict=True):
            attacked, *controls = samples[whole[at]]
            itself = any(_same(attacked, control) for control in controls)
            found[whole[at]] = ratio._replace(low=None, high=None) if ratio and itself else ratio
    return found


def _same(one: BySeed, other: BySeed) -> bool:
    """Whether they are the values of the very same cells, and not equal ones of others."""
    return one.keys() == other.keys() and all(facts is other[seed] for seed, facts in one.items())


def share(unlearned: BySeed, original: BySeed, clusters: Clusters | None = None) -> Interval | None:
    """The share of the original's mean that is left, paired by fact and seed: recovery with retrain at 0."""
    [found] = all_shares([(unlearned, original)], [clusters])
    return found


def all_shares(
    samples: Sequence[tuple[BySeed, BySeed]], clusters: Sequence[Clusters | None]
) -> list[Interval | None]:
    """:func:`share` of each pair of ``samples``, at once for those of one shape."""
    found: list[Interval | None] = [None] * len(samples)
    whole = [place for place, pair in enumerate(samples) if all(pair)]
    for places, y, of in alike([samples[i] for i in whole], [clusters[i] for i in whole]):
        ratios = _intervals(np.concatenate([y, np.zeros_like(y[:, :1])], axis=1), of)
        for at, ratio in zip(places, ratios, strict=True):
            found[whole[at]] = ratio
    return found


def share_of_values(unlearned: Mapping[int, float], original: Mapping[int, float]) -> Interval | None:
    """The same of one number for each seed, paired by seed: Student's interval over seeds; ``n`` counts them.

    None without a common seed, or where the original's mean is not above 0.
    """
    seeds = sorted(unlearned.keys() & original.keys())
    a, o = (np.array([each[seed] for seed in seeds], dtype=float) for each in (unlearned, original))
    if not seeds or not o.mean() > 0:
        return None
    ratio = float(a.mean() / o.mean())
    rest = a - ratio * o
    if len(seeds) < 2 or rest.var() < ROUNDING:
        return Interval(ratio, None, None, len(seeds))
    t = special.stdtrit(len(seeds) - 1, (1 + CONFIDENCE) / 2)
    half = float(t * standard_error(rest) / o.mean())
    return Interval(ratio, ratio - half, ratio + half, len(seeds))


def _intervals(y: np.ndarray, of: np.ndarray | None) -> Iterator[Interval | None]:
    """What :func:`recoveries` says of each of ``y`` [n, 3, seeds, facts]."""
    for ratio, low, high, n in zip(*map(np.ndarray.tolist, recoveries(y, of)), strict=True):
        yield Interval(ratio, low, high, int(n)) if ratio == ratio else None


def recoveries(
    y: np.ndarray, of: np.ndarray | None = None, confidence: float | np.ndarray = CONFIDENCE
) -> tuple[np.ndarray, ...]:
    """Recovery, the ends of its interval, and the facts all three share, of ``y`` [..., 3, seeds, facts].

    The three are attacked, original and retrain; what cannot be estimated is NaN. ``of`` is as in
    :func:`moments`, and ``confidence`` may be one for each. With R the recovery and d = a - r - R (o - r),
    whose mean is 0, the interval holds every R + x / (o - r) with x^2 <= t^2 (Var(mean d) + skew x): the
    variance grows with the mean where d is skewed, as where all but two facts came back. Without skew that is
    the delta method. Where no fact has any d, those facts are counted (Wilson): 0 of 20 is not certainly 0.
    """
    ratio, found, base = ratios(y, of)
    return ratio, *share_limits(ratio, found, base, confidence), base.facts


def share_limits(
    ratio: np.ndarray, spread: Moments, base: Moments, confidence: float | np.ndarray = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of those intervals, by what :func:`ratios` finds."""
    square = special.ndtri((1 + confidence) / 2) ** 2
    quantile = spread.quantile(confidence)
    shift = quantile**2 * spread.skew / 2
    arm = np.hypot(shift, spread.half_width(confidence, quantile))
    arm = np.where(np.isnan(arm), square / (spread.clusters + square), arm)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = ratio + (shift - arm) / base.mean, ratio + (shift + arm) / base.mean
    return np.minimum(*ends), np.maximum(*ends)


def ratios(y: np.ndarray, of: np.ndarray | None = None) -> tuple[np.ndarray, Moments, Moments]:
    """Recovery of ``y`` as in :func:`recoveries`, and the moments of a - r - R (o - r) and of o - r."""
    gap, gained = y[..., 1, :, :] - y[..., 2, :, :], y[..., 0, :, :] - y[..., 2, :, :]
    common = ~np.isnan(gap + gained)
    if not common.all():
        gap, gained = np.where(common, gap, np.nan), np.where(common, gained, np.nan)
    base = moments(gap, of)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(_differs(base), deviations(gained).mean / base.mean, np.nan)
    return ratio, moments(gained - ratio[..., None, None] * gap, of), base


def shares(y: np.ndarray, ratio: np.ndarray, base: Moments) -> np.ndarray:
    """What each fact says of its recovery, [..., seeds, facts], of ``y`` and its :func:`ratios`.

    The mean is the recovery, and its error that of the delta method: R + d / (o - r).
    """
    gained, gap = y[..., 0, :, :] - y[..., 2, :, :], y[..., 1, :, :] - y[..., 2, :, :]
    ratio, mean = ratio[..., None, None], base.mean[..., None, None]
    return ratio + (gained - ratio * gap) / mean


def _differs(spread: Moments) -> np.ndarray:
    """Whether the interval of the mean leaves out 0; without a spread every fact has the same difference."""
    half = spread.half_width()
    return np.where(np.isnan(half), spread.mean**2 > ROUNDING, np.abs(spread.mean) > half)


def p_below(y: np.ndarray, of: np.ndarray | None = None, methods: int = 1) -> np.ndarray:
    """One-sided p that the mean of ``y`` [..., seeds, facts] (paired differences) is 0 or more; shape [...].

    t = mean / sqrt(V_f + V_s), and p the mean of Student's tails with F-1 and with S-1 degrees of freedom,
    weighted by V_f and V_s (as Cochran and Cox 1950 weigh quantiles). With Satterthwaite's degrees of freedom
    a table of ten equal methods would call a winner in up to 44 of 100 simulations: three seeds agree by
    chance too often. This one rejects at most 5 in 100 from three seeds on. Differences that are all the
    same are a sign test over clusters. ``of`` is as in :func:`moments`.

    Where ``y`` [pairs, attacks, seeds, facts] holds the pairs of three ``methods`` or more, the V_s of an
    attack are steadied by each other (:func:`moderated`).
    """
    return p_of(moments(y, of), methods)


def p_of(pairs: Moments, methods: int = 1) -> np.ndarray:
    """The same by the moments of the differences."""
    v_s, free = pairs.v_s, pairs.seeds - 1.0
    if methods > 2:
        most = (methods - 2) * free.max(initial=0.0)
        columns = [moderated(v_s[:, k], free[:, k], most) for k in range(v_s.shape[1])]
        v_s, free = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    total = pairs.v_f + v_s
    spread = total > ROUNDING
    t = pairs.mean / np.sqrt(np.where(spread, total, 1))
    parts = ((pairs.v_f, pairs.clusters - 1), (v_s, free))
    tails = sum(v * special.stdtr(np.maximum(n, 1), t) for v, n in parts)
    same = np.where(pairs.mean < -(ROUNDING**0.5), 0.5**pairs.clusters, 1.0)
    return np.where(spread, tails / np.where(spread, total, 1), same)
