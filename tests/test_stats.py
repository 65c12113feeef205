"""Intervals cover the truth about 95 times in 100, and say nothing where nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest

from harness import stats


def test_none_of_twenty_is_not_certainly_none():
    low, high = stats.binomial_interval(0, 20)
    assert low == 0
    assert high == pytest.approx(0.1611, abs=1e-4)  # Wilson by hand: z^2 / (n + z^2)
    assert stats.mean_interval([0.0] * 20) == (low, high)


def test_zeros_and_ones_are_counted_and_other_values_take_students_t():
    assert stats.mean_interval([0, 1, 1, 0]) == stats.binomial_interval(2, 4)
    low, high = stats.mean_interval([2.0, 4.0, 6.0])
    assert (low, high) == pytest.approx(
        (4 - 4.9683, 4 + 4.9683), abs=1e-3
    )  # t(2) = 4.3027, s/sqrt(3) = 1.1547


def test_a_share_stays_between_zero_and_one():
    low, high = stats.mean_interval([0.0, 0.1, 0.9])
    assert low == 0
    assert high == 1


@pytest.mark.parametrize("values", [[], [0.4], [0.4, 0.4, 0.4], [0.1, float("nan")], [0.1, float("inf")]])
def test_what_has_no_spread_has_no_interval(values):
    assert stats.mean_interval(values) == (None, None)


def crossed(rng, seeds=3, facts=30, fact_sd=1.0, seed_sd=0.3, rest_sd=1.0, keep=1.0):
    """y_sf = fact_f + seed_s + rest_sf with a true mean of 0, some pairs missing."""
    y = fact_sd * rng.standard_normal(facts) + seed_sd * rng.standard_normal((seeds, 1))
    y = y + rest_sd * rng.standard_normal((seeds, facts))
    kept = rng.random((seeds, facts)) < keep
    return {s: {str(f): float(y[s, f]) for f in range(facts) if kept[s, f]} for s in range(seeds)}


@pytest.mark.parametrize(
    "truth",
    [{}, {"seed_sd": 0}, {"seed_sd": 2, "facts": 20}, {"facts": 15, "rest_sd": 0.1}, {"keep": 0.7}],
)
def test_the_two_level_interval_covers_the_truth(truth):
    rng = np.random.default_rng(1)
    runs = 600
    hits = 0
    for _ in range(runs):
        _, low, high, _ = stats.two_level_interval(crossed(rng, **truth))
        hits += low <= 0 <= high
    assert 0.92 <= hits / runs <= 0.98


def test_a_fact_under_three_seeds_is_one_fact():
    rng = np.random.default_rng(2)
    one = {0: {str(i): float(v) for i, v in enumerate(rng.random(20))}}
    mean, low, high, n = stats.two_level_interval(one)
    assert stats.two_level_interval(dict.fromkeys(range(3), one[0])) == pytest.approx((mean, low, high, n))
    assert n == 20
    assert (low, high) == pytest.approx(stats.mean_interval(list(one[0].values())))


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
    assert stats.two_level_interval(nothing) == (0, *stats.binomial_interval(0, 20), 20)
    with pytest.raises(ValueError, match="at least one"):
        stats.two_level_interval({0: {}})


def test_the_order_of_facts_and_seeds_changes_no_bit():
    samples = crossed(np.random.default_rng(3))
    turned = {s: dict(reversed(samples[s].items())) for s in reversed(samples)}
    assert stats.two_level_interval(turned) == stats.two_level_interval(samples)


def binary(rng, p, facts=200, seeds=3):
    return {s: {str(f): float(rng.random() < p) for f in range(facts)} for s in range(seeds)}


def test_recovery_is_the_share_of_the_gap_that_came_back():
    rng = np.random.default_rng(4)
    attacked, original, retrain = binary(rng, 0.5), binary(rng, 0.9), binary(rng, 0.1)
    found = stats.recovery(attacked, original, retrain)
    assert found is not None
    assert found.low < 0.5 < found.high
    assert 0.02 < found.high - found.low < 0.4
    assert found.n == 200
    assert stats.recovery(original, original, retrain).mean == 1
    assert stats.recovery(retrain, original, retrain).mean == 0


def test_the_interval_of_recovery_covers_the_truth():
    rng = np.random.default_rng(5)
    found = [stats.recovery(*(binary(rng, p, facts=40) for p in (0.4, 0.9, 0.1))) for _ in range(200)]
    assert 0.9 <= np.mean([r.low <= 0.375 <= r.high for r in found]) <= 0.99


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
