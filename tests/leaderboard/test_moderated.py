"""Variances of few seeds lend each other strength where they are alike, and keep to themselves where not."""

from __future__ import annotations

from itertools import permutations
from math import exp, log

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from harness.leaderboard import ranking, stats
from harness.leaderboard.moderated import moderated
from harness.leaderboard.moments import deviations

FREE = 4.0


def test_by_hand():
    """Smyth's equations in loops, with d0 checked by what defines it."""
    own = [0.2, 0.5, 0.05, 1.4, 0.3, 0.02]
    steadied, free = moderated(np.array(own), np.full(6, FREE), most=np.inf)
    e = [log(v) - digamma(FREE / 2) + log(FREE / 2) for v in own]
    mean = sum(e) / 6
    spread = sum((x - mean) ** 2 for x in e) / 5 - polygamma(1, FREE / 2)
    d0 = free[0] - FREE
    assert polygamma(1, d0 / 2) == pytest.approx(spread)
    common = exp(mean + digamma(d0 / 2) - log(d0 / 2))
    assert steadied == pytest.approx([(d0 * common + FREE * v) / (d0 + FREE) for v in own])


@pytest.mark.parametrize("most", [1.0, 7.5, 1e9])
def test_of_equal_variances_each_gains_what_the_others_know_and_no_more(most):
    steadied, free = moderated(np.full(8, 0.25), np.full(8, FREE), most)
    assert free == pytest.approx(FREE + most)
    # Smyth's common variance of equal ones is near them, not at them: the logarithm of a variance is skewed.
    assert steadied == pytest.approx(0.25, rel=0.35)


def test_far_apart_each_keeps_its_own():
    own = np.array([1e-4, 1.0, 1e-2, 1e4, 1e2, 1e-3])
    steadied, free = moderated(own, np.full(6, FREE), most=100)
    assert (free < FREE + 0.5).all()
    assert steadied[1:] == pytest.approx(own[1:], rel=0.3)


@pytest.mark.parametrize(
    ("own", "free", "most"),
    [
        ([0.3], [2.0], 5),
        ([0.3, 0.1], [2.0, 2.0], 0),
        ([0.0, 0.0, 0.3], [2.0] * 3, 5),
        ([0.3, 0.1], [2.0, 0.0], 5),
    ],
)
def test_alone_without_methods_or_without_spread_nothing_changes(own, free, most):
    steadied, still = moderated(np.array(own), np.array(free), most)
    assert (list(steadied), list(still)) == (own, free)


def test_one_without_seeds_to_spare_is_left_out():
    own, free = np.array([0.3, 0.2, 0.25, 0.0]), np.array([2.0, 2.0, 2.0, 0.0])
    steadied, still = moderated(own, free, most=6)
    alone, alone_free = moderated(own[:3], free[:3], most=6)
    assert list(steadied) == [*alone, 0.0]
    assert list(still) == [*alone_free, 0.0]


def scores(rng, methods, seeds, facts, seed_sd, gap=0.0):
    """[methods, 1, seeds, facts], whose seeds spread by method; every other one is ``gap`` higher."""
    y = 0.3 * rng.standard_normal((methods, 1, seeds, facts)) + 0.2 * rng.standard_normal(
        (methods, 1, 1, facts)
    )
    y = y + 0.2 * rng.standard_normal((1, 1, 1, facts))
    y = y + np.resize(seed_sd, methods)[:, None, None, None] * rng.standard_normal((methods, 1, seeds, 1))
    return y + gap * (np.arange(methods) % 2)[:, None, None, None]


def told_apart(y, methods):
    """Of all ordered pairs, p that the first is not better, with the variances of so many methods."""
    rivals = [own[ranking.may_be_highest(deviations(own), None)[0]] for own in y]
    pairs = list(permutations(range(len(y)), 2))
    return pairs, ranking.p_better(np.stack([ranking.less(y[a], rivals[b]) for a, b in pairs]), None, methods)


@pytest.mark.parametrize("seed_sd", [[0.05], [0.02, 0.02, 0.02, 0.02, 0.02, 0.15], [0.02, 0.05, 0.1], [0.0]])
def test_equal_methods_are_rarely_told_apart_also_where_the_seeds_of_some_spread_more(seed_sd):
    rng, runs, methods = np.random.default_rng(0), 150, 6
    smallest = [told_apart(scores(rng, methods, 3, 60, seed_sd), methods)[1].min() for _ in range(runs)]
    # Two-sided, over all pairs: Bonferroni, which is stricter than what tables use.
    assert np.mean(np.array(smallest) * methods * (methods - 1) <= 0.05) <= 0.05 + 2 * np.sqrt(
        0.05 * 0.95 / runs
    )


def test_with_the_others_help_more_is_told_apart():
    rng = np.random.default_rng(1)
    alone, together = [], []
    for _ in range(15):
        y = scores(rng, 8, 3, 80, [0.03], gap=0.2)
        pairs, p = told_apart(y, 2)
        _, helped = told_apart(y, 8)
        better = [a % 2 < b % 2 for a, b in pairs]
        alone += list(p[better] < 0.001)
        together += list(helped[better] < 0.001)
    assert np.mean(together) > 0.5 > 0.1 > np.mean(alone)


def test_a_pair_alone_is_tested_as_before():
    y = np.random.default_rng(2).standard_normal((2, 3, 3, 20))
    assert stats.p_below(y, None, 2) == pytest.approx(stats.p_below(y))
