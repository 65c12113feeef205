"""Intervals cover the truth about 95 times in 100, and say nothing where nothing can be said."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from harness.core import intervals
from harness.leaderboard import stats


def test_none_of_twenty_is_not_certainly_none():
    low, high = intervals.binomial_interval(0, 20)
    assert low == 0
    assert high == pytest.approx(0.1611, abs=1e-4)  # Wilson by hand: z^2 / (n + z^2)
    assert intervals.mean_interval([0.0] * 20) == (low, high)


def test_zeros_and_ones_are_counted_and_other_values_take_students_t():
    assert intervals.mean_interval([0, 1, 1, 0]) == intervals.binomial_interval(2, 4)
    low, high = intervals.mean_interval([2.0, 4.0, 6.0])
    assert (low, high) == pytest.approx(
        (4 - 4.9683, 4 + 4.9683), abs=1e-3
    )  # t(2) = 4.3027, s/sqrt(3) = 1.1547


def test_a_share_stays_between_zero_and_one():
    low, high = intervals.mean_interval([0.0, 0.1, 0.9])
    assert low == 0
    assert high == 1


@pytest.mark.parametrize("values", [[], [0.4], [0.4, 0.4, 0.4], [0.1, float("nan")], [0.1, float("inf")]])
def test_what_has_no_spread_has_no_interval(values):
    assert intervals.mean_interval(values) == (None, None)


def crossed(rng, seeds=3, facts=30, fact_sd=1.0, seed_sd=0.3, rest_sd=1.0, keep=1.0):
    """y_sf = fact_f + seed_s + rest_sf with a true mean of 0, some pairs missing."""
    y = fact_sd * rng.standard_normal(facts) + seed_sd * rng.standard_normal((seeds, 1))
    y = y + rest_sd * rng.standard_normal((seeds, facts))
    kept = rng.random((seeds, facts)) < keep
    return {s: {str(f): float(y[s, f]) for f in range(facts) if kept[s, f]} for s in range(seeds)}


def worlds(rng, runs, seeds=3, facts=30, fact_sd=1.0, seed_sd=0.3, rest_sd=1.0, keep=1.0):
    """[runs, seeds, facts] of the same."""
    y = fact_sd * rng.standard_normal((runs, 1, facts)) + seed_sd * rng.standard_normal((runs, seeds, 1))
    y = y + rest_sd * rng.standard_normal((runs, seeds, facts))
    return np.where(rng.random(y.shape) < keep, y, np.nan)


@pytest.mark.parametrize(
    "truth",
    [
        {},
        {"seed_sd": 0},
        {"seed_sd": 1, "facts": 20},
        {"seed_sd": 2, "facts": 20},
        {"seed_sd": 0.67, "facts": 60},
        {"facts": 15, "rest_sd": 0.5},
        {"keep": 0.7},
        {"facts": 96, "seed_sd": 0.2},
        {"seeds": 5},
        {"seeds": 5, "fact_sd": 0.2, "seed_sd": 0.1, "facts": 60},
        {"seeds": 2},
        {"fact_sd": 0.2, "seed_sd": 0.1, "facts": 80},
        {"seeds": 1, "seed_sd": 0},
    ],
)
def test_the_two_level_interval_covers_the_truth(truth):
    y = worlds(np.random.default_rng(1), 4000, **truth)
    found = stats.moments(y)
    assert 0.93 <= np.mean(np.abs(found.mean) <= found.half_width()) <= 0.97


def test_the_two_level_interval_covers_the_share_of_answers_right():
    """Facts differ in how well they are known, and so do seeds; answers are right or wrong."""
    rng = np.random.default_rng(2)
    far = 1.5 * rng.standard_normal((4000, 1, 60)) + 0.3 * rng.standard_normal((4000, 3, 1))
    found = stats.moments((rng.random((4000, 3, 60)) < 1 / (1 + np.exp(0.4 - far))).astype(float))
    many = 1.5 * rng.standard_normal(10**6) + 0.3 * rng.standard_normal(10**6)
    truth = np.mean(1 / (1 + np.exp(0.4 - many)))
    assert 0.93 <= np.mean(np.abs(found.mean - truth) <= found.half_width()) <= 0.97


def test_many_tables_at_once_are_the_same_as_one_by_one():
    y = worlds(np.random.default_rng(3), 5, keep=0.6)
    y[2, 1] = np.nan
    together = stats.moments(y)
    for i, one in enumerate(y):
        samples = {s: {str(f): v for f, v in enumerate(row) if not np.isnan(v)} for s, row in enumerate(one)}
        alone = stats.two_level_interval(samples)
        assert together.mean[i] == pytest.approx(alone.mean)
        half = together.half_width()[i]
        assert together.mean[i] - half == pytest.approx(alone.low)
        assert together.facts[i] == alone.n


def test_the_parts_of_the_variance_by_hand():
    """A table without gaps, in loops over the definitions."""
    y = np.random.default_rng(4).random((3, 5))
    found = stats.moments(y)
    mean = sum(y[s, f] for s in range(3) for f in range(5)) / 15
    v_f = 5 / 4 * sum((sum(y[s, f] - mean for s in range(3)) / 15) ** 2 for f in range(5))
    v_s = 3 / 2 * sum((sum(y[s, f] - mean for f in range(5)) / 15) ** 2 for s in range(3))
    rest = [y[s, f] - y[s].mean() - y[:, f].mean() + mean for s in range(3) for f in range(5)]
    v_e = 15 / 8 * sum((r / 15) ** 2 for r in rest)
    assert found[:6] == pytest.approx((mean, v_f, v_s, v_e, 5, 3))


@pytest.mark.parametrize("seed_sd", [0.0, 0.06, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("methods", [2, 6])
def test_of_equal_methods_hardly_any_two_are_told_apart(seed_sd, methods):
    """All pairs of a table, each two-sided: the smallest p times their number, as corrections begin."""
    rng = np.random.default_rng(5)
    runs, pairs = 1500, list(combinations(range(methods), 2))
    y = [worlds(rng, runs, 3, 40, 0.3, seed_sd, 0.3) for _ in range(methods)]
    p = [2 * np.minimum(stats.p_below(y[a] - y[b]), stats.p_below(y[b] - y[a])) for a, b in pairs]
    noise = 2 * np.sqrt(0.05 * 0.95 / runs)
    assert np.mean(np.min(p, axis=0) * len(pairs) <= 0.05) <= 0.05 + noise


def test_a_difference_that_is_there_is_found():
    rng = np.random.default_rng(6)
    y = worlds(rng, 500, 3, 60, 0.3, 0.05, 0.3) - worlds(rng, 500, 3, 60, 0.3, 0.05, 0.3)
    assert np.mean(stats.p_below(y - 0.4) <= 0.025) >= 0.8


def test_p_below_of_one_seed_is_the_paired_t_test():
    rng = np.random.default_rng(7)
    one, other = rng.random((2, 20))
    expected = ttest_rel(one, other, alternative="less").pvalue
    assert stats.p_below((one - other)[None]) == pytest.approx(expected)


def test_differences_that_are_all_the_same_are_counted():
    assert stats.p_below(np.full((3, 10), -0.5)) == 0.5**10
    assert stats.p_below(np.full((3, 10), 0.5)) == 1
    assert stats.p_below(np.zeros((3, 10))) == 1
    assert stats.p_below(np.full((3, 10), np.nan)) == 1


def test_a_fact_under_three_seeds_is_one_fact():
    rng = np.random.default_rng(2)
    one = {0: {str(i): float(v) for i, v in enumerate(rng.random(20))}}
    mean, low, high, n = stats.two_level_interval(one)
    assert stats.two_level_interval(dict.fromkeys(range(3), one[0])) == pytest.approx((mean, low, high, n))
    assert n == 20
    assert (low, high) == pytest.approx(intervals.mean_interval(list(one[0].values())))


def test_seeds_that_disagree_widen_the_interval():
    facts = {str(i): float(i % 2) for i in range(40)}
    _, low, high, _ = stats.two_level_interval({s: dict(facts) for s in range(3)})
    shifted = {s: {f: v * 0.5 + 0.25 * s for f, v in facts.items()} for s in range(3)}
    mean, wide_low, wide_high, _ = stats.two_level_interval(shifted)
    assert mean == pytest.approx(0.5)
    assert wide_high - wide_low > 1.5 * (high - low)


def test_each_seed_weighs_the_same_however_many_facts_it_scored():
    assert stats.two_level_interval({0: {"a": 1.0}, 1: {"a": 0.0, "b": 0.0}, 2: {}}).mean == 0.5


def test_nothing_recovered_anywhere_is_counted_by_fact():
    nothing = {s: {str(f): 0.0 for f in range(20)} for s in range(3)}
    assert stats.two_level_interval(nothing) == (0, *intervals.binomial_interval(0, 20), 20)
    with pytest.raises(ValueError, match="at least one"):
        stats.two_level_interval({0: {}})


def test_the_order_of_facts_and_seeds_changes_no_bit():
    samples = crossed(np.random.default_rng(3))
    turned = {s: dict(reversed(samples[s].items())) for s in reversed(samples)}
    assert stats.two_level_interval(turned) == stats.two_level_interval(samples)


def seed_means(worlds):
    """The mean of each seed, and its interval over facts."""
    return [stats.SeedMean(sum(x) / len(x), *intervals.mean_interval(x), len(x)) for x in worlds]


def test_the_band_is_that_of_facts_and_seeds_where_facts_fare_alike_under_each_seed():
    facts = [0.3 + 0.02 * i for i in range(20)]
    worlds = [[x + shift for x in facts] for shift in (0.0, 0.03, -0.05)]
    exact = stats.two_level_interval({s: dict(enumerate(map(float, x))) for s, x in enumerate(worlds)})
    assert stats.interval_of_means(seed_means(worlds)) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("seed", range(20))
def test_the_band_is_never_narrower_than_the_interval_that_knows_each_fact(seed):
    drawn = random.Random(seed)
    common = [drawn.uniform(0.4, 0.5) for _ in range(30)]
    worlds = [[x + drawn.uniform(-0.1, 0.1) for x in common] for _ in range(3)]
    exact = stats.two_level_interval({s: dict(enumerate(x)) for s, x in enumerate(worlds)})
    low, high = stats.interval_of_means(seed_means(worlds))
    assert low <= exact.low + 1e-9
    assert high >= exact.high - 1e-9


def test_there_is_no_band_where_a_seed_has_no_interval():
    known = stats.SeedMean(0.5, 0.4, 0.6, 20)
    assert stats.interval_of_means([known, stats.SeedMean(0.5, None, None, 20)]) == (None, None)
    assert stats.interval_of_means([stats.SeedMean(0.5, 0.4, 0.6, 1)]) == (None, None)


def test_a_band_of_shares_stays_a_share():
    zero = stats.SeedMean(0.0, 0.0, 0.16, 20)
    low, high = stats.interval_of_means([zero, zero])
    assert low == 0
    assert 0 < high < 0.3
