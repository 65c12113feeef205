"""Equal methods are told apart in at most 5 of 100 tables, and what is truly worst lies in its interval."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import integrate, special
from scipy.stats import false_discovery_control

from harness.leaderboard import ranking, stats, tails
from harness.leaderboard.columns import Estimate
from harness.leaderboard.moments import deviations
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
    assert tails.shared_tail(1, 0) == tails.shared_tail(2, 0.5) == pytest.approx(0.025)
    four = tails.shared_tail(4, 0)
    assert 1 - (1 - four) ** 4 + 0.025**4 == pytest.approx(0.05)
    assert four < tails.shared_tail(4, 0.5) < tails.shared_tail(4, 0.9) < 0.025
    assert tails.shared_tail(9, 0) < four


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


def test_tails_of_many_are_those_of_each_to_the_bit():
    rng = np.random.default_rng(8)
    attacks, correlation = rng.integers(3, 40, 200), rng.random(200) * 1.1 - 0.05
    together = tails.shared_tails(attacks, correlation)
    assert together.tolist() == [*map(tails.shared_tail, attacks.tolist(), correlation.tolist())]


@pytest.mark.parametrize("attacks", [3, 9, 30])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9, 0.99])
def test_the_shared_tail_is_the_root_of_its_equation(attacks, correlation):
    """By quadrature that knows nothing of ours."""
    z = -special.ndtri(tails.shared_tail(attacks, correlation))

    def below(z):
        def density(x):
            at = (z - correlation**0.5 * x) / (1 - correlation) ** 0.5
            return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * special.ndtr(at) ** attacks

        return integrate.quad(density, -9, 9, epsabs=1e-13, limit=400)[0]

    assert (1 - below(z)) + below(special.ndtri(0.025)) == pytest.approx(0.05, abs=1e-10)


def scored(y):
    """Of methods [methods, attacks, seeds, facts], the values by method and attack."""
    return {
        m: {
            k: {s: {f"f{i:02d}": x for i, x in enumerate(facts)} for s, facts in enumerate(seeds)}
            for k, seeds in enumerate(attacks)
        }
        for m, attacks in enumerate(y.tolist())
    }


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_what_is_linear_gives_the_p_of_the_differences(seeds):
    y = np.random.default_rng(9).random((5, 4, seeds, 20))
    y[1] -= 0.4
    found = ranking.one_sided_p(scored(y))
    rivals = [own[ranking.may_be_highest(deviations(own), None)[0]] for own in y]
    pairs = [*permutations(range(5), 2)]
    by_hand = ranking.p_better(np.stack([ranking.less(y[a], rivals[b]) for a, b in pairs]), None, 5)
    assert [*found] == pairs
    assert [*found.values()] == pytest.approx(by_hand.tolist(), rel=1e-9)
    assert (min(found.values()) < 0.01) == (seeds > 2)


@pytest.mark.parametrize("attacks", [1, 3])
def test_methods_that_score_alike_are_not_better_than_each_other(attacks):
    """Thirds and tenths: their means are not exact."""
    one = np.random.default_rng(10).integers(0, 10, (3, 20)) / 30 + 0.1
    assert {*ranking.one_sided_p(scored(np.stack([[one] * attacks] * 2))).values()} == {1.0}
