"""Which methods are ranked, in which order, and which of them cannot be told apart. See docs/protocol.md."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import combinations, permutations
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.special import comb

from ..core import intervals
from . import arrays, stats, tails
from .columns import Estimate
from .moments import ROUNDING, Deviations, Moments, deviations, of_means

LEAST_KEPT = 0.8
"""Least share of the original's retain, utility and lm-eval score that a ranked method leaves.

It is not ranked where the whole interval of a share lies below. What the field compares with should not fail:
published GD keeps 82 % of model utility on TOFU (forget10, Llama-3.2-1B-Instruct, 2506.12618), NPO 77 %."""

LEAST_SEEDS = 3
"""Least number of seeds of a ranked method; with fewer the tests reject too often."""

ATTACKS_NAMED = 3
"""Attacks that a guard names; of more it says how many they are."""

EQUAL = 12
"""Digits to which means are compared: of equal ones the first counts, whatever was rounded."""

LEVEL = 1 - intervals.CONFIDENCE
"""Share of equal pairs among those that a table tells apart; where all are equal, the chance of any."""

A = TypeVar("A", bound=Hashable)
M = TypeVar("M", bound=Hashable)


class Share(NamedTuple):
    """What a method leaves of a score of the original's, and which of the two numbers there are."""

    estimate: Estimate = Estimate(None)
    measured: bool = True
    """The method's number."""
    original: bool = True
    """The original's, above 0."""


def guard(
    forgotten: Sequence[bool | None], kept: Mapping[str, Share], seeds: int, lacking: Sequence[str]
) -> str | None:
    """Why a method is not ranked, or None if it is.

    ``forgotten`` says for each seed whether the forget set counts as forgotten (None: not known), ``kept``
    holds by name what is left of the original's, ``seeds`` is the smallest number of seeds before attacks
    and under any that counts, and ``lacking`` names those of these attacks under which it has no score.
    """
    reasons = []
    if not forgotten or None in forgotten:
        reasons.append("forgetting not measured")
    elif missed := forgotten.count(False):
        reasons.append(f"not forgotten in {missed} of {len(forgotten)} seeds")
    for name, (estimate, measured, original) in kept.items():
        if not original:
            reasons.append(f"no {name} of the original's to compare with")
        elif not measured or estimate.value is None:
            reasons.append(f"{name} not measured")
        elif estimate.ends[1] < LEAST_KEPT:
            reasons.append(f"{name} {share(estimate.value, 1)} % of the original's")
    if seeds < LEAST_SEEDS:
        reasons.append(f"{seeds} {'seed' if seeds == 1 else 'seeds'}, {LEAST_SEEDS} are needed")
    if lacking:
        named = ", ".join(lacking) if len(lacking) <= ATTACKS_NAMED else f"{len(lacking)} of the attacks"
        reasons.append(f"not scored under {named}")
    return "; ".join(reasons) or None


def attacks_that_count(scored: Collection[Collection[A]]) -> list[A]:
    """The attacks under which more than half of the methods were scored, in the order they come.

    One attack that a single method was tried on decides nothing, and takes nobody's rank.
    """
    every = dict.fromkeys(attack for attacks in scored for attack in attacks)
    return [attack for attack in every if 2 * sum(attack in attacks for attacks in scored) > len(scored)]


def share(value: float, original: float) -> int:
    """What is left of the original's, in per cent. What is not enough never looks as if it were."""
    rounded = round(100 * value / original)
    return (
        rounded if value >= LEAST_KEPT * original else min(rounded, round(100 * LEAST_KEPT) - 1)
    )  # 79.9 is not 80


def worst(
    scores: Mapping[A, arrays.BySeed], clusters: arrays.Clusters | None = None
) -> tuple[float | None, float | None]:
    """A 95 % interval for the highest of the *true* means over attacks.

    The attacks that may be the worst are those that the highest mean cannot be told from, paired by fact and
    seed; with one of them the interval is that of its score. The upper end is their highest upper end:
    whichever is truly worst, its own interval holds it. The highest of several equal ones is high by luck, so
    the lower end is their highest lower end at :func:`tails.shared_tail`. Without the interval of any one
    attack there is none.
    """
    [found] = all_worst([[*scores.values()]], [clusters])
    return found


def all_worst(
    scores: Sequence[Sequence[arrays.BySeed]], clusters: Sequence[arrays.Clusters | None]
) -> list[tuple[float | None, float | None]]:
    """:func:`worst` of the scores of each of several methods, at once for those of one shape."""
    found: list[tuple[float | None, float | None]] = [(None, None)] * len(scores)
    for places, y, of in arrays.alike(scores, clusters):
        for place, low, high in zip(places, *map(np.ndarray.tolist, highest(y, of)), strict=True):
            if not np.isnan(low):
                found[place] = low, high
    return found


def highest(y: np.ndarray, of: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The same of ``y`` [..., attacks, seeds, facts]; ``of`` numbers each fact's cluster. NaN if unknown."""
    means = deviations(y)
    found = means.moments(of)
    low, high = stats.limits(y, found)
    unknown = np.isnan(low).any(-1)
    rivals, tail = may_be_highest(means, of)
    low, _ = stats.limits(y, found, 1 - 2 * tail[..., None])
    low, high = (np.where(unknown, np.nan, of_rivals(ends, rivals)) for ends in (low, high))
    return low, high


def of_rivals(ends: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """The highest of those ``ends`` [..., attacks] that are of ``rivals``."""
    highest: np.ndarray = np.where(rivals, ends, -np.inf).max(-1)
    return highest


def may_be_highest(means: Deviations, of: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Which of these means [..., attacks] may be the highest, and the tail [...] that they share.

    As :func:`worst` has them.
    """
    rivals = rivals_of_highest(means, of)
    many = rivals.sum(-1) > 2
    tail = np.full(rivals.shape[:-1], LEVEL / 2)
    correlation = _correlation(means.of(many), rivals[many], of)
    tail[many] = tails.shared_tails(rivals[many].sum(-1), correlation)
    return rivals, tail


def rivals_of_highest(means: Deviations, of: np.ndarray | None) -> np.ndarray:
    """Which of these means [..., attacks] cannot be told from the highest."""
    top = np.argmax(means.mean.round(EQUAL), -1)
    of_top = means.of((*np.indices(top.shape, sparse=True), top, None))
    # Means whose difference is the same for all facts are told apart by any difference.
    lead = (of_top - means).moments(of)
    rivals: np.ndarray = lead.mean <= np.nan_to_num(lead.half_width())
    return rivals


def _correlation(means: Deviations, rivals: np.ndarray, of: np.ndarray | None) -> np.ndarray:
    """The mean correlation of the errors of each two ``rivals`` among several means [n, attacks]; [n]."""
    variance = np.maximum(means.moments(of).variance, ROUNDING)
    total = np.zeros(len(rivals))
    for one in range(rivals.shape[-1] - 1):
        others = slice(one + 1, None)
        apart = (means.of(np.s_[:, one : one + 1]) - means.of(np.s_[:, others])).moments(of).variance
        common = (variance[:, one : one + 1] + variance[:, others] - apart) / 2
        correlation = common / np.sqrt(variance[:, one : one + 1] * variance[:, others])
        total += np.where(rivals[:, one : one + 1] & rivals[:, others], correlation, 0.0).sum(-1)
    return total / np.maximum(comb(rivals.sum(-1), 2), 1)


def less(value: np.ndarray, other: np.ndarray) -> np.ndarray:
    """``value`` [attacks, seeds, facts] less the mean over those attacks of ``other`` that scored a fact.

    NaN where none of them did, or ``value`` has none.
    """
    known = ~np.isnan(other)
    times = known.sum(0)
    return value - np.where(known, other, 0.0).sum(0) / np.where(times > 0, times, np.nan)


def p_better(differences: np.ndarray, of: np.ndarray | None = None, methods: int = 2) -> np.ndarray:
    """One-sided p of each pair that the one's worst attack scores as high as the other's worst, or higher.

    ``differences`` [pairs, attacks, seeds, facts] are the one's scores :func:`less` the other's under the
    attacks that may be the other's worst. A method is better when under every attack it scores lower than the
    other under these in the mean: that mean is not above the other's worst. So the highest p over attacks
    counts, and nothing is chosen by luck. It is 1 where the two share fewer than ``LEAST_SEEDS`` seeds.
    ``of`` numbers the cluster of each fact; the pairs are of so many ``methods``.
    """
    shared = (~np.isnan(differences)).any(-1).sum(-1)  # seeds with at least one such fact
    p: np.ndarray = np.where(shared >= LEAST_SEEDS, stats.p_below(differences, of, methods), 1.0).max(-1)
    return p


def one_sided_p(
    scores: Mapping[M, Mapping[A, arrays.BySeed]], clusters: arrays.Clusters | None = None
) -> dict[tuple[M, M], float]:
    """p of every two methods in both orders that the first is no better than the second.

    All methods must be scored under the same attacks. Compared are the facts that both have under the same
    seed.
    """
    flat = {(method, attack): facts for method, value in scores.items() for attack, facts in value.items()}
    if len(scores) < 2:
        return {}
    y, of = arrays.aligned(*flat.values()), arrays.numbered(clusters, *flat.values())
    y = y.reshape(len(scores), -1, *y.shape[1:])
    means = deviations(y)
    rivals = rivals_of_highest(means, of)
    if of is None and means.known.all() and y.shape[-2] >= LEAST_SEEDS:
        p = stats.p_of(_differences(y, rivals), len(scores)).max(-1)
    else:
        pairs = permutations(range(len(scores)), 2)
        differences = np.stack([less(y[one], y[other][rivals[other]]) for one, other in pairs])
        p = p_better(differences, of, len(scores))
    return dict(zip(permutations(scores, 2), p.tolist(), strict=True))


def _differences(y: np.ndarray, rivals: np.ndarray) -> Moments:
    """Of each pair, the moments of the one's scores :func:`less` the other's; no value is missing.

    ``y`` is [methods, attacks, seeds, facts], and ``rivals`` [methods, attacks] may be the worst.
    """
    one, other = np.array([*permutations(range(len(y)), 2)]).T
    weight = rivals / rivals.sum(-1, keepdims=True)
    of_each = (np.einsum("...sf->...f", y) / y.shape[-2], np.einsum("...sf->...s", y) / y.shape[-1])
    return of_means(*(own[one] - np.einsum("mk,mkx->mx", weight, own)[other][:, None] for own in of_each))


def corrected(p: Mapping[tuple[M, M], float]) -> dict[tuple[M, M], float]:
    """p of every pair, two-sided and corrected for all pairs, that the two are equal, from one-sided ones.

    As Benjamini and Hochberg (1995) do: of the pairs that tables tell apart, at most a share ``LEVEL`` is
    equal. The first of each pair is the one that comes first in ``p``.
    """
    pairs = list(combinations(dict.fromkeys(one for one, _ in p), 2))
    if not pairs:
        return {}
    values = np.array([min(1.0, 2 * min(p[a, b], p[b, a])) for a, b in pairs])
    falling = np.argsort(-values)
    scaled = values[falling] * (len(pairs) / np.arange(len(pairs), 0, -1))
    values[falling] = np.minimum.accumulate(scaled)
    return dict(zip(pairs, values.tolist(), strict=True))


def differ(p: Mapping[tuple[M, M], float], one: M, other: M) -> bool:
    """Whether two methods can be told apart, by the result of :func:`corrected`."""
    return p.get((one, other), p.get((other, one), 1.0)) <= LEVEL


def groups(methods: Sequence[M], p: Mapping[tuple[M, M], float]) -> dict[M, int]:
    """The rank of each of ``methods``, which come by worst score, ascending; equal in a tie group.

    A group is the lowest method not yet in one and, upwards, all that follow until the first that can be
    told from it. Its rank is one more than the number of methods in the groups before.
    """
    ranks: dict[M, int] = {}
    best, rank = None, 0
    for place, method in enumerate(methods, start=1):
        if best is None or differ(p, best, method):
            best, rank = method, place
        ranks[method] = rank
    return ranks
