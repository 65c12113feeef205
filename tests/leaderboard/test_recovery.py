"""Recovery and shares kept: their intervals cover the truth, also where hardly anything came back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from harness.core import intervals
from harness.leaderboard import stats
from support import crossed


def binary(rng, p, facts=200, seeds=3):
    return {s: {str(f): float(rng.random() < p) for f in range(facts)} for s in range(seeds)}


def test_recovery_is_the_share_of_the_gap_that_came_back():
    rng = np.random.default_rng(10)
    attacked, original, retrain = binary(rng, 0.5), binary(rng, 0.9), binary(rng, 0.1)
    found = stats.recovery(attacked, original, retrain)
    assert found is not None
    assert found.low < 0.5 < found.high
    assert 0.02 < found.high - found.low < 0.5
    assert found.n == 200
    assert stats.recovery(original, original, retrain).mean == 1
    assert stats.recovery(retrain, original, retrain).mean == 0


@pytest.mark.parametrize("seed_sd", [0.0, 0.03, 0.1])
def test_the_interval_of_recovery_covers_the_truth(seed_sd):
    """Facts are hard or easy for all three models, and each model knows some better than others do."""
    rng = np.random.default_rng(5)
    known = 0.15 * rng.standard_normal((3000, 1, 1, 60)) + 0.15 * rng.standard_normal((3000, 3, 1, 60))
    seed = np.array([seed_sd, 0.02, 0.02])[:, None, None]  # the other two are not unlearned anew
    known = known + seed * rng.standard_normal((3000, 3, 3, 1))
    known = known + np.array([0.4, 0.9, 0.1])[:, None, None]
    _, low, high, facts = stats.recoveries(known + 0.2 * rng.standard_normal((3000, 3, 3, 60)))
    assert 0.93 <= np.mean((low <= 0.375) & (high >= 0.375)) <= 0.97
    assert set(facts) == {60}


def test_the_interval_of_recovery_by_hand():
    """Student's of d = a - r - R (o - r), whose variance grows with its mean as skewed values' does."""
    rng = np.random.default_rng(8)
    y = rng.random((3, 1, 25)) + np.array([0.4, 0.9, 0.0])[:, None, None]
    a, o, r = y[:, 0]
    gap = (o - r).mean()
    ratio = (a - r).mean() / gap
    d = (a - r) - ratio * (o - r)
    square = t.ppf(0.975, 24) ** 2
    skew = (d**3).sum() / (d**2).sum() / 25
    samples = [{0: {str(f): float(v) for f, v in enumerate(values)}} for values in (a, o, r)]
    mean, low, high, n = stats.recovery(*samples)
    assert (mean, n) == (pytest.approx(ratio), 25)
    for end in (low, high):
        x = (end - ratio) * gap
        assert x**2 == pytest.approx(square * (d.var(ddof=1) / 25 + skew * x))


def test_all_that_came_back_is_counted_and_a_control_is_certain():
    ones, zeros = ({s: dict.fromkeys(map(str, range(20)), v) for s in range(3)} for v in (1.0, 0.0))
    _, most = intervals.binomial_interval(0, 20)
    again = {s: dict(facts) for s, facts in ones.items()}
    assert stats.recovery(again, ones, zeros) == pytest.approx((1, 1 - most, 1 + most, 20))
    assert stats.recovery(ones, ones, zeros) == (1, None, None, 20)
    assert stats.recovery(zeros, ones, zeros) == (0, None, None, 20)


@pytest.mark.parametrize(("share", "most"), [(0, 0.97), (0.03, 0.97), (0.5, 0.97), (0.97, 0.985)])
def test_the_interval_covers_the_truth_where_hardly_any_fact_or_nearly_every_one_came_back(share, most):
    """Of two facts that stay lost one may be found by chance and none too few, so 95 are a little more."""
    rng = np.random.default_rng(9)
    of = crossed.clusters(rng, 60, 1, 1)
    _, low, high, _ = stats.recoveries(crossed.recovered(rng, 1500, 3, of, share))
    assert 0.93 <= np.mean((low <= share) & (share <= high)) <= most


def test_recovery_compares_only_facts_that_all_three_scored():
    ones, zeros = ({s: dict.fromkeys("abcdefgh", v) for s in range(3)} for v in (1.0, 0.0))
    attacked = {s: {"a": 1.0, "b": 0.0, "elsewhere": 1.0} for s in (0, 9)}
    assert stats.recovery({0: dict.fromkeys("abcdef", 1.0)}, ones, zeros).n == 6
    assert stats.recovery({9: attacked[9]}, ones, zeros) is None
    assert stats.recovery({0: {"elsewhere": 1.0}}, ones, zeros) is None


def test_there_is_no_recovery_where_there_was_nothing_to_recover():
    rng = np.random.default_rng(6)
    assert stats.recovery(binary(rng, 0.5), binary(rng, 0.3), binary(rng, 0.3)) is None
    same = binary(rng, 0.3)
    assert stats.recovery(same, same, same) is None


def test_the_share_kept_is_the_ratio_of_means_paired_by_fact():
    rng = np.random.default_rng(11)
    own, original = binary(rng, 0.6), binary(rng, 0.8)
    found = stats.share(own, original)
    zeros = {s: dict.fromkeys(facts, 0.0) for s, facts in original.items()}
    assert found == stats.recovery(own, original, zeros)
    assert found.mean == pytest.approx(
        stats.two_level_interval(own).mean / stats.two_level_interval(original).mean
    )
    assert found.low < 0.75 < found.high
    assert stats.share({}, original) is None
    assert stats.share(own, zeros) is None


def test_a_share_of_facts_that_all_agree_is_counted():
    original = {s: {str(f): float(f % 2) for f in range(40)} for s in range(3)}
    found = stats.share({s: dict(facts) for s, facts in original.items()}, original)
    assert found.mean == 1
    assert 0.7 < found.low < 0.9 < found.high


def test_the_share_of_one_number_for_each_seed_by_hand():
    own, original = {0: 0.5, 1: 0.6, 2: 0.4, 7: 9.0}, {0: 0.8, 1: 0.8, 2: 0.8, 8: 9.0}
    half = t.ppf(0.975, 2) * 0.1 / 3**0.5 / 0.8
    assert stats.share_of_values(own, original) == pytest.approx((0.625, 0.625 - half, 0.625 + half, 3))
    assert stats.share_of_values({0: 0.5}, original) == (0.625, None, None, 1)
    assert stats.share_of_values({0: 0.4, 1: 0.4}, original) == (0.5, None, None, 2)
    assert stats.share_of_values({7: 0.5}, original) is None
    assert stats.share_of_values({0: 0.5}, {0: 0.0}) is None
