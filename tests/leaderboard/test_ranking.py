"""Equal methods are told apart in at most 5 of 100 tables, and what is truly worst lies in its interval."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from harness.leaderboard import ranking, stats
from harness.leaderboard.columns import Estimate
from harness.leaderboard.ranking import Share


def left(value, low=None, high=None):
    return Share(Estimate(value, low, high))


FINE = {"forgotten": [True] * 3, "kept": {"retain": left(0.95, 0.91, 0.99)}, "seeds": 3, "lacking": []}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"forgotten": [True, False, True]}, "not forgotten in 1 of 3 seeds"),
        ({"forgotten": [True, None, True]}, "forgetting not measured"),
        ({"forgotten": []}, "forgetting not measured"),
        ({"kept": {"retain": left(0.8)}}, None),
        ({"kept": {"retain": left(0.7, 0.6, 0.8)}}, None),
        ({"kept": {"retain": left(0.7, 0.6, 0.7999)}}, "retain 70 % of the original's"),
        ({"kept": {"retain": left(0.71)}}, "retain 71 % of the original's"),
        ({"kept": {"retain": left(0.7999)}}, "retain 79 % of the original's"),
        ({"kept": {"utility": Share(original=False)}}, "no utility of the original's to compare with"),
        ({"kept": {"utility": Share(measured=False)}}, "utility not measured"),
        ({"seeds": 1}, "1 seed, 3 are needed"),
        ({"lacking": ["noise", "prune"]}, "not scored under noise, prune"),
        ({"lacking": ["noise", "prune", "lora", "rtt"]}, "not scored under 4 of the attacks"),
        (
            {"forgotten": [False] * 3, "kept": {"retain": left(0.1, 0, 0.2), "utility": left(0.2)}},
            "not forgotten in 3 of 3 seeds; retain 10 % of the original's; utility 20 % of the original's",
        ),
    ],
)
def test_the_guard_says_every_reason(change, said):
    assert ranking.guard(**(FINE | change)) == said


@pytest.mark.parametrize(
    ("scored", "counts"),
    [
        ([], ""),
        (["ab"], "ab"),
        (["ab", "abc"], "ab"),
        (["ab", "abc", "abc"], "abc"),
        (["a", "b"], ""),
        (["a", "b", "ab"], "ab"),
        (["", "a", "a", "a"], "a"),
        (["", "", "a", "a"], ""),
    ],
)
def test_an_attack_counts_that_more_than_half_of_the_methods_were_scored_under(scored, counts):
    assert ranking.attacks_that_count(scored) == list(counts)


def worlds(rng, runs, shape, fact=0.3, seed=0.1, rest=0.3, gaps=(0.0,)):
    """[runs, methods, attacks, seeds, facts]: scores whose true mean is -gap, half their spread in common."""
    methods, seeds, facts = shape

    def part(scale, *size):
        own, common = (rng.standard_normal((runs, methods, n, *size)) for n in (len(gaps), 1))
        return scale * (own + common) / np.sqrt(2)

    y = part(fact, 1, facts) + part(seed, seeds, 1)
    y = y + rest * rng.standard_normal((runs, methods, len(gaps), seeds, facts))
    return y - np.asarray(gaps)[:, None, None]


def by_seed(y):
    """[seeds, facts] as results hold it."""
    return {s: {f"{f:03}": float(v) for f, v in enumerate(values)} for s, values in enumerate(y)}


def told_apart(y):
    """Whether any two of the methods in y [methods, attacks, seeds, facts] are told apart."""
    scores = {m: {a: by_seed(own) for a, own in enumerate(attacks)} for m, attacks in enumerate(y)}
    return min(ranking.corrected(ranking.one_sided_p(scores)).values()) <= ranking.LEVEL


@pytest.mark.parametrize(
    "truth", [{"seed": 0}, {"seed": 0.1}, {"seed": 0.3}, {"gaps": (0, 0, 3)}, {"gaps": (0, 0.2), "seed": 0.3}]
)
def test_equal_methods_are_rarely_told_apart(truth):
    rng = np.random.default_rng(1)
    found = [told_apart(y) for y in worlds(rng, 60, (4, 3, 20), **truth)]
    assert np.mean(found) <= 0.05


def test_a_method_that_is_better_is_told_apart():
    rng = np.random.default_rng(2)
    y = worlds(rng, 20, (3, 3, 60), seed=0.02, gaps=(0, 0.1, 0.5))
    y[:, 0] -= 0.5
    assert np.mean([told_apart(each) for each in y]) >= 0.9


def test_a_low_mean_does_not_make_up_for_one_bad_attack():
    """``hard`` resists all attacks a little, ``brittle`` all but one entirely."""
    rng = np.random.default_rng(3)
    hard = 0.4 + 0.1 * rng.standard_normal((2, 3, 40))
    brittle = np.stack([0.9 + 0.1 * rng.standard_normal((3, 40)), np.zeros((3, 40))])
    scores = {
        name: dict(zip("ab", map(by_seed, y), strict=True))
        for name, y in (("hard", hard), ("brittle", brittle))
    }
    p = ranking.corrected(ranking.one_sided_p(scores))
    assert ranking.differ(p, "brittle", "hard")
    assert ranking.p_better(ranking.less(hard, brittle[:1])[None]) < 0.01
    assert ranking.p_better(ranking.less(brittle, hard)[None]) > 0.99


@pytest.mark.parametrize(
    ("gaps", "most"),
    [((0,), 0.97), ((0, 3), 0.97), ((0, 0, 0, 0), 0.97), ((0, 0.1, 0.1, 0.1), 0.99)],
)
def test_the_interval_of_the_worst_covers_the_truth(gaps, most):
    """95 of 100 where one attack is clearly the worst or several are equal, and more in between."""
    y = worlds(np.random.default_rng(4), 400, (1, 3, 20), seed=0.15, gaps=gaps)[:, 0]
    low, high = np.transpose([ranking.highest(attacks) for attacks in y])
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= most


def test_the_worst_of_one_attack_has_the_interval_of_its_score():
    samples = by_seed(np.random.default_rng(5).random((3, 20)))
    assert ranking.worst({"only": samples}) == stats.two_level_interval(samples)[1:3]


def test_attacks_that_may_be_the_worst_share_the_error():
    rng = np.random.default_rng(6)
    scores = {name: by_seed(rng.random((3, 30))) for name in ("one", "two", "three")}
    _, high = ranking.worst(scores)
    low, same = ranking.worst(scores | {"far": by_seed(rng.random((3, 30)) - 5)})
    assert (low, same) == ranking.worst(scores)
    plain = [stats.two_level_interval(facts) for facts in scores.values()]
    assert high == max(interval.high for interval in plain)
    shared = [stats.two_level_interval(facts, 1 - 0.05 / 3).low for facts in scores.values()]
    assert max(shared) <= low < max(interval.low for interval in plain)


def test_attacks_that_always_agree_are_one_attack():
    one = by_seed(np.random.default_rng(6).random((3, 30)))
    alone = stats.two_level_interval(one)[1:3]
    assert ranking.worst(dict.fromkeys("abcd", one)) == pytest.approx(alone, abs=1e-3)


def test_the_shared_tail_by_hand():
    assert ranking.shared_tail(1, 0) == ranking.shared_tail(2, 0.5) == pytest.approx(0.025)
    four = ranking.shared_tail(4, 0)
    assert 1 - (1 - four) ** 4 + 0.025**4 == pytest.approx(0.05)
    assert four < ranking.shared_tail(4, 0.5) < ranking.shared_tail(4, 0.9) < 0.025
    assert ranking.shared_tail(9, 0) < four


def test_without_the_interval_of_one_attack_there_is_none():
    constant = by_seed(np.full((3, 5), 0.5))
    known = by_seed(np.random.default_rng(7).random((3, 5)))
    assert ranking.worst({"one": known, "two": constant}) == (None, None)


def test_groups_start_with_the_first_that_can_be_told_from_the_lowest():
    p = dict.fromkeys(combinations("abcde", 2), 1.0) | {("a", "c"): 0.05, ("a", "d"): 0.01, ("c", "e"): 0.01}
    assert ranking.groups("abcde", p) == {"a": 1, "b": 1, "c": 3, "d": 3, "e": 5}
    assert ranking.groups("", {}) == {}
    assert ranking.groups("a", {}) == {"a": 1}


def test_methods_that_share_fewer_than_three_seeds_are_not_told_apart():
    low, high = np.zeros((3, 9)), np.ones((3, 9))
    shifted = {seed + 1: facts for seed, facts in by_seed(high).items()}
    assert (
        ranking.corrected(ranking.one_sided_p({"a": {"x": by_seed(low)}, "b": {"x": by_seed(high)}}))[
            "a", "b"
        ]
        < 0.01
    )
    assert (
        ranking.corrected(ranking.one_sided_p({"a": {"x": by_seed(low)}, "b": {"x": shifted}}))["a", "b"] == 1
    )


@pytest.mark.parametrize("methods", [2, 3, 9])
def test_pairs_are_corrected_as_benjamini_and_hochberg_do(methods):
    p = dict(zip(permutations(range(methods), 2), np.random.default_rng(0).random(99) ** 3, strict=False))
    both = {pair: min(1.0, 2 * min(p[pair], p[pair[::-1]])) for pair in combinations(range(methods), 2)}
    expected = false_discovery_control([*both.values()])
    assert ranking.corrected(p) == dict(zip(both, expected, strict=True))


def test_one_method_has_nobody_to_be_told_from():
    assert ranking.corrected(ranking.one_sided_p({"a": {"x": by_seed(np.ones((3, 4)))}})) == {}
