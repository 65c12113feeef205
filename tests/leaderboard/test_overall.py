"""What two benchmarks of one model say together of methods that are ranked on both."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import combine_pvalues, norm

from harness.leaderboard import findings, overall
from harness.leaderboard.identity import MethodId, TargetId
from harness.leaderboard.overall import Standing
from support.rows import standing

A, B, C = (MethodId(name, "", "{}", "") for name in "abc")


def target(benchmark, model="tiny", dtype="float32"):
    return TargetId(benchmark, "", "{}", "", model, "", dtype, "", "")


def on(benchmark, p, worst=(0.3, 0.4, 0.5), model="tiny", dtype="float32", methods=(A, B, C)):
    """One-sided p by pair; of the other order 1 - p."""
    both = p | {(other, one): 1 - value for (one, other), value in p.items()}
    rows = {
        method: [standing(method.method, 1, score, benchmark=benchmark, model=model) for _ in range(2)]
        for method, score in zip(methods, worst, strict=True)
    }
    return Standing(target(benchmark, model, dtype), rows, both)


def better(standings):
    overall.compare(standings)
    return {m.method: [row["better_overall"] for row in rows] for m, rows in standings[0].rows.items()}


P = {(A, B): 0.03, (A, C): 0.02, (B, C): 0.4}


def test_two_that_say_little_alone_say_more_together():
    """z of .03 is 1.88; twice that over the root of 2 is 2.66, with a p of .0039 to each side."""
    both = [on("one", P), on("two", P)]
    assert norm.sf(2 * norm.isf(0.03) / 2**0.5) == pytest.approx(0.0039, abs=1e-4)
    assert better(both) == {"a": [["b", "c"]] * 2, "b": [[]] * 2, "c": [[]] * 2}
    assert [row["better_overall"] for row in both[1].rows[A]] == [["b", "c"]] * 2
    (said,) = findings.overall([row for s in both for rows in s.rows.values() for row in rows])
    assert said == (
        "Over one and two together 2 of 3 pairs of methods that are ranked on all can be told apart: "
        "a is better than b and c."
    )


def test_what_one_benchmark_contradicts_is_not_said():
    worse = {(A, B): 0.9, (A, C): 0.9, (B, C): 0.5}
    assert better([on("one", P), on("two", worse)])["a"] == [[], []]
    # However certain one of them is, the better one's worst score is lower on each.
    sure = {(A, B): 1e-9, (A, C): 1e-9, (B, C): 0.5}
    assert better([on("one", sure), on("two", P, worst=(0.45, 0.4, 0.5))])["a"] == [["c"], ["c"]]


@pytest.mark.parametrize("p", [[0.3], [0.01, 0.2], [0.5, 1e-9, 0.97, 0.04]])
def test_benchmarks_are_combined_as_stouffer_does(p):
    assert overall.combined(p) == combine_pvalues(p, method="stouffer").pvalue


def test_a_p_of_zero_or_one_does_not_break_the_sum():
    certain, refuted = {(A, B): 0.0}, {(A, B): 1.0}
    both = [on("one", certain, (0.3, 0.4), methods=(A, B)), on("two", refuted, (0.3, 0.4), methods=(A, B))]
    assert better(both)["a"] == [[], []]
    (said,) = findings.overall([row for s in both for rows in s.rows.values() for row in rows])
    assert said == "a and b, alone ranked on all, cannot be told apart over one and two together."


@pytest.mark.parametrize(
    "others",
    [(), ({"model": "large"},), ({"dtype": "bfloat16"},)],
    ids=["alone", "other model", "other dtype"],
)
def test_one_benchmark_of_a_model_has_nothing_to_add(others):
    standings = [on("one", P), *(on("two", P, **other) for other in others)]
    overall.compare(standings)
    rows = [row for s in standings for own in s.rows.values() for row in own]
    assert {row["better_overall"] for row in rows} == {None}
    assert findings.overall(rows) == []


def test_two_targets_of_one_benchmark_share_their_facts():
    twice = [on("one", P), on("one", P)]
    overall.compare(twice)
    assert twice[0].rows[A][0]["better_overall"] is None


def test_only_methods_ranked_on_all_are_compared():
    both = [on("one", P), on("two", {(A, B): 0.02}, (0.3, 0.4), methods=(A, B))]
    assert better(both) == {"a": [["b"]] * 2, "b": [[]] * 2, "c": [None] * 2}


def test_equal_methods_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        both = []
        for name in ("one", "two"):
            z = rng.standard_normal(3)  # of each method's own score
            p = {
                (x, y): float(norm.cdf((z[i] - z[j]) / 2**0.5))
                for i, x in enumerate((A, B, C))
                for j, y in enumerate((A, B, C))
                if i < j
            }
            both.append(on(name, p, worst=tuple(z)))
        wrong += any(names for rows in better(both).values() for names in rows)
    assert wrong / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_of_several_models_each_sentence_names_its_own():
    standings = [on("one", P), on("two", P), on("one", P, model="large"), on("two", P, model="large")]
    overall.compare(standings)
    said = findings.overall([row for s in standings for rows in s.rows.values() for row in rows])
    assert [text.split(":")[0] for text in said] == ["With tiny in float32", "With large in float32"]
