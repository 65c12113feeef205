"""What is computed at once is what each would be by itself, and values by fact are a mapping."""

from __future__ import annotations

import numpy as np
import pytest

from harness.leaderboard import arrays, ranking, recovery, stats
from harness.leaderboard.columns import Estimate
from harness.leaderboard.moments import deviations, moments


def values(by_fact):
    return arrays.Values(arrays.facts_of(tuple(by_fact)), np.array([*by_fact.values()], dtype=float))


def drawn(seed, seeds=3, facts=12, left_out=()):
    """Values under several seeds; some facts are left out of some seeds."""
    rng = np.random.default_rng(seed)
    return arrays.Sampled(
        {
            s: values({f"f{i:02d}": x for i, x in enumerate(rng.random(facts)) if (s, i) not in left_out})
            for s in range(seeds)
        }
    )


def plain(sampled):
    """The same as dictionaries, of which no array is kept."""
    return {seed: dict(own) for seed, own in sampled.items()}


SHAPES = [
    drawn(0),
    drawn(1),
    drawn(2, left_out={(0, 3), (2, 7)}),
    drawn(3, seeds=4),
    drawn(4, facts=9),
    drawn(5, left_out={(0, 3), (2, 7)}),
    drawn(6),
]


def test_values_are_a_mapping_in_the_order_of_facts():
    own = values({"b": 2.0, "a": 1.0, "c": 3.0})
    assert (own.facts, own.array.tolist()) == (("a", "b", "c"), [1, 2, 3])
    assert own == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert [*own] == [*dict(own.items())] == ["a", "b", "c"]
    assert [*own.values()] == [1, 2, 3]
    assert "b" in own
    assert "d" not in own
    with pytest.raises(KeyError):
        own["d"]


def test_of_a_fact_that_comes_twice_the_last_value_counts():
    assert arrays.Values(arrays.facts_of(("b", "a", "b")), np.array([1.0, 2.0, 3.0])) == {"a": 2.0, "b": 3.0}
    assert values({"a": 1.0, "b": 2.0}).joined(values({"b": 5.0, "c": 6.0})) == {"a": 1.0, "b": 5.0, "c": 6.0}


def test_differences_are_of_what_both_have():
    one, other = values({"a": 1.0, "b": 2.0, "c": 4.0}), values({"c": 1.0, "b": 5.0, "d": 0.0})
    assert one.less(other) == {"b": -3.0, "c": 3.0}
    assert one.less(values({"a": 1.0, "b": 1.0, "c": 1.0})) == {"a": 0.0, "b": 1.0, "c": 3.0}
    both = arrays.Sampled({0: one, 1: one}).less(arrays.Sampled({0: other, 1: values({"x": 1.0})}))
    assert both == {0: {"b": -3.0, "c": 3.0}}


@pytest.mark.parametrize("most", [1, 50, 10**6])
@pytest.mark.parametrize("clusters", [None, {f"f{i:02d}": str(i // 2) for i in range(12)}])
def test_what_is_of_one_shape_is_one_array_and_nothing_else_changes(monkeypatch, most, clusters):
    monkeypatch.setattr(arrays, "AT_ONCE", most)
    pairs = [(one, SHAPES[i - 1]) for i, one in enumerate(SHAPES)]
    found = {}
    for places, y, of in arrays.alike(pairs, [clusters] * len(pairs)):
        for place, own in zip(places, y, strict=True):
            found[place] = own
            np.testing.assert_array_equal(own, arrays.aligned(*map(plain, pairs[place])))
            by_hand = arrays.numbered(clusters, *map(plain, pairs[place]))
            np.testing.assert_array_equal([] if of is None else of, [] if by_hand is None else by_hand)
    assert sorted(found) == [*range(len(pairs))]


@pytest.mark.parametrize("clusters", [None, {f"f{i:02d}": str(i // 2) for i in range(12)}])
def test_all_at_once_are_each_by_itself_to_the_bit(clusters):
    threes = [(one, drawn(20 + i), drawn(40 + i)) for i, one in enumerate(SHAPES)]
    threes = [(a, o.__class__({s: v for s, v in o.items() if s in a}), r) for a, o, r in threes]
    by = [clusters] * len(threes)
    assert stats.all_recoveries(threes, by) == [stats.recovery(*three, clusters) for three in threes]
    pairs = [three[:2] for three in threes]
    assert stats.all_shares(pairs, by) == [stats.share(*pair, clusters) for pair in pairs]
    scores = [[one, drawn(60 + i), drawn(80 + i)] for i, one in enumerate(SHAPES)]
    alone = [ranking.worst(dict(enumerate(own)), clusters) for own in scores]
    assert ranking.all_worst(scores, by) == alone
    assert all(low is not None for low, _ in alone)


def test_the_highest_recovery_is_each_by_itself_and_that_of_a_control_is_certain():
    def counting(i, attacks):
        known = recovery.Compared(drawn(i), drawn(i + 1), drawn(i + 2), {})
        compared = {f"attack{k}": known._replace(attacked=drawn(100 * k + i)) for k in range(attacks)}
        shares = {k: stats.recovery(*own) for k, own in compared.items()}
        known = {k: Estimate(*share[:3]) for k, share in shares.items() if share}
        return recovery.Counting(known, {k: compared[k] for k in known})

    methods = [counting(i, attacks) for i, attacks in ((7, 3), (11, 3), (13, 1), (17, 4))]
    assert any(len(own.shares) > 2 for own in methods)
    certain = recovery.Counting({"a": Estimate(1.0)}, methods[0].attacks)
    empty = recovery.Counting({}, {})
    together = recovery.highest([*methods, certain, empty])
    assert together == [*(recovery.highest([own])[0] for own in methods), ("a", Estimate(1, 1, 1)), None]


@pytest.mark.parametrize("of", [None, np.repeat(np.arange(5), 2)])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_moments_of_many_are_those_of_each(of, missing):
    rng = np.random.default_rng(3)
    y = rng.random((700, 5, 3, 10))
    y[rng.random(y.shape) < missing] = np.nan
    whole = deviations(y).moments(of)
    for apart, at_once in zip(moments(y, of), whole, strict=True):
        np.testing.assert_allclose(apart, at_once, rtol=1e-12, atol=1e-15)


def test_a_quantile_does_not_depend_on_what_is_computed_beside_it():
    rng = np.random.default_rng(4)
    found = moments(rng.random((40, 3, 10)) * rng.random((40, 1, 1)))
    together = found.quantile(), found.half_width(0.9)
    for i in range(40):
        one = type(found)(*(part[i] for part in found))
        assert (one.quantile(), one.half_width(0.9)) == (together[0][i], together[1][i])
