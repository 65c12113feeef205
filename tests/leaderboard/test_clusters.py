"""Facts of one subject are alike: intervals and tests count subjects, and hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from harness.core import intervals
from harness.leaderboard import arrays, ranking, stats
from support import crossed


def covered(found, truth=0):
    return np.mean(np.abs(found.mean - truth) <= found.half_width())


@pytest.mark.parametrize(
    ("clusters", "alike", "seeds"), [(10, 0, 3), (10, 0.6, 3), (10, 0.6, 5), (20, 0.3, 3), (50, 0.3, 5)]
)
def test_the_interval_covers_the_truth_where_facts_come_in_clusters(clusters, alike, seeds):
    rng = np.random.default_rng(1)
    held = []
    for _ in range(8):
        of = crossed.clusters(rng, clusters)
        held.append(covered(stats.moments(crossed.normal(rng, 200, seeds, of, alike), of)))
    assert 0.93 <= np.mean(held) <= 0.97


def test_without_clusters_it_would_be_too_narrow():
    rng = np.random.default_rng(2)
    of = crossed.clusters(rng, 20)
    assert covered(stats.moments(crossed.normal(rng, 1000, 3, of, 0.6, (1.0, 0.1, 0.5)))) < 0.8


def test_equal_methods_are_rarely_told_apart_by_facts_in_clusters():
    rng = np.random.default_rng(3)
    of = crossed.clusters(rng, 15)
    one, other = (crossed.normal(rng, 2000, 3, of, 0.5, (0.3, 0.02, 0.3)) for _ in range(2))
    assert np.mean(stats.p_below(one - other, of) <= 0.05) <= 0.05
    assert np.mean(stats.p_below(one - other) <= 0.05) > 0.1


@pytest.fixture
def samples():
    """24 facts under 3 seeds, some missing."""
    rng = np.random.default_rng(4)
    y = rng.random((4, 3, 24))
    return [crossed.by_seed(np.where(rng.random(each.shape) < 0.9, each, np.nan)) for each in y]


OWN = {f"{f:03}": f"subject {f}" for f in range(24)}
"""Each fact is about somebody else."""

SHARED = {fact: f"subject {i // 4}" for i, fact in enumerate(OWN)}


def test_with_each_fact_its_own_cluster_nothing_changes(samples):
    a, o, r, other = samples
    o = {s: {f: v + 1 for f, v in facts.items()} for s, facts in o.items()}
    methods = {"x": {"one": a, "two": r}, "y": {"one": other, "two": o}}
    for without in (None, {}):
        assert stats.two_level_interval(a, clusters=OWN) == stats.two_level_interval(a, clusters=without)
        assert stats.recovery(a, o, r, OWN) == stats.recovery(a, o, r, without)
        assert stats.share(a, o, OWN) == stats.share(a, o, without)
        assert ranking.worst(methods["x"], OWN) == ranking.worst(methods["x"], without)
        assert ranking.corrected(ranking.one_sided_p(methods, OWN)) == ranking.corrected(
            ranking.one_sided_p(methods, without)
        )


def test_clusters_count_everywhere(samples):
    a, o, r, other = samples
    o = {s: {f: v + 1 for f, v in facts.items()} for s, facts in o.items()}
    methods = {"x": {"one": a, "two": r}, "y": {"one": other, "two": o}}
    assert stats.two_level_interval(a, clusters=SHARED) != stats.two_level_interval(a)
    assert stats.two_level_interval(a, clusters=SHARED).n == 24
    assert stats.recovery(a, o, r, SHARED) != stats.recovery(a, o, r)
    assert stats.share(a, o, SHARED) != stats.share(a, o)
    assert ranking.worst(methods["x"], SHARED) != ranking.worst(methods["x"])
    assert ranking.corrected(ranking.one_sided_p(methods, SHARED)) != ranking.corrected(
        ranking.one_sided_p(methods)
    )


def test_facts_that_are_copies_of_one_another_are_one_fact():
    y = np.random.default_rng(5).random((3, 10))
    copies = stats.two_level_interval(
        crossed.by_seed(np.repeat(y, 4, 1)), clusters=crossed.names(np.repeat(np.arange(10), 4))
    )
    assert copies[:3] == pytest.approx(stats.two_level_interval(crossed.by_seed(y))[:3])


def test_zeros_throughout_are_counted_by_cluster():
    zeros = crossed.by_seed(np.zeros((3, 24)))
    assert stats.two_level_interval(zeros, clusters=SHARED) == (0, *intervals.binomial_interval(0, 6), 24)
    below = stats.p_below(np.full((3, 24), -0.5), arrays.numbered(SHARED, zeros))
    assert below == 0.5**6
