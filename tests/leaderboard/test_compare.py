"""Reruns pass, drifts are found, and what is no matter of intervals is told in words."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from harness.leaderboard import stats
from harness.leaderboard.columns import COLUMNS
from harness.leaderboard.compare import ADVICE, LEAST_MARGIN, Comparison, compare, margins

METHODS, ATTACKS, TABLES = 14, 12, 100
SEEDS, FACTS = 3, 90


def row(method="gd", attack="noise", of="gd@1", **changes):
    """A row of a leaderboard; ``of`` is what its signature says of the method's settings."""
    where = {"benchmark": "world", "model": "tiny", "dtype": "float32", "data": "d" * 64, "protocol": "1"}
    where["target_weights"] = "w" * 64
    where |= {"method": method, "attack": attack, "variant": "", "forget_metric": "accuracy"}
    own = {"seeds": 3, "failed": 0, "n_scored": 90, "errors": []}
    if attack == "none":
        own |= {"forget_before": 0.2, "forget_before_low": 0.1, "forget_before_high": 0.3}
        own |= {"retain_before": 0.9, "utility_before": 0.8, "lm_eval": 0.7}
    else:
        own |= {"score": 0.5, "score_low": 0.4, "score_high": 0.6}
        own |= {"exact_match": 0.0, "exact_match_low": 0.0, "exact_match_high": 0.04}
    parts = f"protocol:1|benchmark:world@0|data:dddddddd|model:tiny@t|method:{of}|attack:{attack}@2|cells:c"
    return dict.fromkeys(COLUMNS) | where | own | {"signature": parts} | changes


def both(**changes):
    """The table of one method, and the same with the row under attack changed."""
    return [row(attack="none"), row()], [row(attack="none"), row(**changes)]


def scored(mean, low, high):
    return {"score": mean, "score_low": low, "score_high": high}


def simulated(rng, known):
    """Rows' (score, low, high), [tables, methods, attacks, 3], of models that answer facts by chance.

    ``known`` [methods, attacks, facts] is how likely each fact is answered; each seed shifts all rows of its
    model alike, as unlearning with another seed does.
    """
    shift = rng.normal(0, 0.03, (TABLES, len(known), 1, SEEDS, 1))
    y = (rng.random((TABLES, *known.shape[:2], SEEDS, FACTS)) < known[:, :, None] + shift).astype(float)
    found = stats.moments(y)
    half = found.half_width()
    return np.stack([found.mean, np.maximum(found.mean - half, 0), np.minimum(found.mean + half, 1)], -1)


def tables(numbers):
    """Each simulated table as rows."""
    for table in numbers.tolist():
        yield [
            row(f"m{m}", f"a{a}", **scored(*numbers))
            for m, attacks in enumerate(table)
            for a, numbers in enumerate(attacks)
        ]


@pytest.fixture(scope="module")
def reruns():
    """The same grid, run twice with other seeds, ``TABLES`` times."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0.15, 0.7, (METHODS, ATTACKS, 1))
    known = rng.beta(2 * level, 2 * (1 - level), (METHODS, ATTACKS, FACTS))
    return simulated(rng, known), simulated(rng, known)


def share_that_differ(first, second):
    found = [compare(*pair).differences for pair in zip(tables(first), tables(second), strict=True)]
    return np.mean([bool(differences) for differences in found])


def test_of_reruns_with_other_seeds_at_most_five_in_a_hundred_differ(reruns):
    assert share_that_differ(*reruns) <= 0.05


def test_of_reruns_of_one_model_at_most_five_in_a_hundred_differ(reruns):
    first, second = reruns
    each = [share_that_differ(first[:, [m]], second[:, [m]]) for m in range(METHODS)]
    assert np.mean(each) <= 0.05


@pytest.mark.parametrize(("drift", "least", "most"), [(0.2, 0.95, 1), (0.02, 0, 0.1)])
def test_a_drift_of_one_method_is_found(reruns, drift, least, most):
    """A fifth of the scale in nearly every table; a fiftieth is within the noise of three seeds."""
    first, second = reruns
    drifted = second.copy()
    drifted[:, 3] += drift
    assert least <= share_that_differ(first, drifted) <= most


def test_what_drifted_is_named(reruns):
    first, second = (next(tables(numbers[:1])) for numbers in reruns)
    second[3 * ATTACKS] |= scored(0.99, 0.98, 1.0)
    [difference] = compare(first, second).differences
    assert difference.where == "world m3, a0"
    assert difference.what.endswith(", now 0.990")


def test_the_limit_is_bonferronis_over_unlearned_models():
    z = NormalDist().inv_cdf
    for models in (1, 2, 30):
        assert Comparison(models=models).limit == pytest.approx(z(1 - 0.025 / models) / z(0.975))
    assert Comparison(models=1).limit == 1


def test_the_margin_is_made_of_the_arms_that_face_each_other():
    low, high = row(**scored(0.5, 0.1, 0.53)), row(**scored(0.6, 0.56, 1.0))
    assert margins(low, high, "score") == margins(high, low, "score") == pytest.approx(0.1 / 0.05)


def test_without_an_interval_the_others_stands_for_both_or_the_least():
    low, high = row(**scored(0.5, None, None)), row(**scored(0.6, 0.56, 1.0))
    assert margins(low, high, "score") == pytest.approx(0.1 / (0.04 * 2**0.5))
    none = row(**scored(0.6, None, None))
    assert margins(low, none, "score") == pytest.approx(0.1 / (LEAST_MARGIN * 2**0.5))
    assert margins(low, none, "score", 0.2) == pytest.approx(0.1 / (0.2 * 2**0.5))


def test_the_margin_of_a_skill_is_never_less_than_the_least():
    narrow = {"retain_before_low": 0.89, "retain_before_high": 0.91}
    one, other = row(attack="none", **narrow), row(attack="none", retain_before=0.8)
    assert margins(one, other, "retain_before") == pytest.approx(0.1 / (LEAST_MARGIN * 2**0.5))
    wide = {"retain_before_low": 0.4, "retain_before_high": 1.0}
    assert margins(row(attack="none", **wide), other, "retain_before") == pytest.approx(0.1 / (0.5 * 2**0.5))


def test_a_bound_cut_to_the_scale_is_no_margin():
    assert margins(row(**scored(0.0, 0.0, 0.0)), row(**scored(0.3, 0.2, 0.4)), "score") == pytest.approx(
        0.3 / (0.1 * 2**0.5)
    )


def test_equal_tables_agree_and_each_number_is_compared_once():
    found = compare(*both())
    assert (found.rows, found.models, found.differences, found.notes) == (2, 1, [], [])
    assert [number.name for number in found.numbers] == [
        *("forget_before", "retain_before", "utility_before", "lm_eval", "score", "exact_match")
    ]


def test_a_number_without_interval_may_move_with_its_seeds():
    """Retain of a method whose seeds differ much moves more than the least margin allows."""
    committed, rebuilt = [row(attack="none")], [row(attack="none", retain_before=0.7)]
    assert [each.what for each in compare(committed, rebuilt).differences] == [
        "retain_before 0.900, now 0.700"
    ]
    spreads = {(rebuilt[0]["signature"], "retain_before"): 0.3}
    assert not compare(committed, rebuilt, spreads).differences


@pytest.mark.parametrize(
    ("changes", "what", "todo"),
    [
        (scored(0.9, 0.85, 0.95), "score 0.500, now 0.900", ADVICE),
        ({"score": None}, "score 0.500, now not measured", ADVICE),
        (
            {"failed": 1, "seeds": 2, "errors": ["seed 1: E: no\nroom"]},
            "1 failed: seed 1: E: no room",
            "run again",
        ),
        ({"protocol": "2"}, "protocol 1, now 2", ADVICE),
        ({"data": "e" * 64}, "data dddddddddddd, now eeeeeeeeeeee", ADVICE),
        ({"forget_metric": "rouge_l"}, "forget_metric accuracy, now rouge_l", ADVICE),
        ({"seeds": 2}, "seeds 3, now 2", ADVICE),
        ({"n_scored": 80}, "90 facts scored, now 80", ADVICE),
    ],
)
def test_what_differs_is_told_with_what_to_do(changes, what, todo):
    [difference] = compare(*both(**changes)).differences
    assert (difference.where, difference.what, difference.todo) == ("world gd, noise", what, todo)


def test_a_row_that_is_missing_differs_unless_only_a_part_was_made_again():
    committed, rebuilt = [row(), row("npo")], [row()]
    [difference] = compare(committed, rebuilt).differences
    assert (difference.where, difference.what) == ("world npo, noise", "not in the results")
    assert not compare(committed, rebuilt, part=True).differences


@pytest.mark.parametrize("part", [False, True])
def test_a_row_that_was_never_committed_differs(part):
    [difference] = compare([row()], [row(), row("npo")], part=part).differences
    assert (difference.where, difference.what) == ("world npo, noise", "not in the committed table")


def test_the_share_is_that_of_what_is_allowed():
    first, second = [row("a"), row("b")], [row("a"), row("b", **scored(0.6, 0.5, 0.7))]
    found = compare(first, second)
    assert found.numbers[0].share == pytest.approx(margins(first[1], second[1], "score") / found.limit)
    assert found.numbers[0].share < 1


def test_a_derived_number_may_be_twice_as_far_apart():
    one = row(recovery=0.5, recovery_low=0.4, recovery_high=0.6)
    for other, differs in ((0.75, False), (0.85, True)):
        moved = row(recovery=other, recovery_low=other - 0.1, recovery_high=other + 0.1)
        assert bool(compare([one], [moved]).differences) == differs


@pytest.mark.parametrize("name", ["recovery", "worst"])
def test_what_hangs_on_other_rows_counts_in_whole_tables_alone(name):
    attack = "none" if name == "worst" else "noise"
    one, other = (
        row(attack=attack, **{name: x, f"{name}_low": x - 0.1, f"{name}_high": x + 0.1}) for x in (0, 1)
    )
    assert [each.what for each in compare([one], [other]).differences] == [f"{name} 0.000, now 1.000"]
    assert not compare([one], [other], part=True).differences
    assert not compare([one], [row(attack=attack)]).differences


def test_a_guard_or_rank_that_changed_while_the_numbers_agree_is_a_note():
    rebuilt = [row(attack="none", rank=2, verdict="erased"), row(rank=2)]
    found = compare([row(attack="none", guard="retain 89 % of the original's"), row()], rebuilt)
    assert not found.differences
    assert found.notes == [
        "world gd: guard retain 89 % of the original's, now none.",
        "world gd: rank none, now 2.",
        "world gd: verdict none, now erased.",
    ]


def test_rows_of_one_method_with_several_settings_find_each_other_by_signature():
    strong, weak = scored(0.2, 0.1, 0.3), scored(0.8, 0.7, 0.9)
    committed = [row(of="gd@1", **strong), row(of="gd@2", **weak)]
    found = compare(committed, [row(of="gd@2", **weak), row(of="gd@1", **strong)])
    assert (found.rows, found.differences, found.notes) == (2, [], [])
    part = compare(committed, [row(of="gd@2", **weak)], part=True)
    assert (part.rows, part.differences) == (1, [])


def test_other_settings_or_versions_are_noted_and_the_numbers_compared():
    found = compare([row(of="gd@1")], [row(of="gd@2")])
    assert (found.rows, found.differences) == (1, [])
    assert found.notes == ["rows from other settings or another version of a plugin: 1."]


def test_the_target_and_the_cells_of_a_row_do_not_decide_what_it_measured():
    """They change with any line of the engine."""
    other = row()["signature"].replace("tiny@t", "tiny@u").replace("cells:c", "cells:d")
    found = compare([row()], [row(target="u", signature=other)])
    assert (found.rows, found.differences, found.notes) == (1, [], [])


@pytest.mark.parametrize("weights", ["v" * 64, None])
def test_numbers_of_another_target_may_be_twice_as_far_apart(weights):
    near, far = scored(0.72, 0.62, 0.82), scored(0.82, 0.72, 0.92)
    same = compare(*both(**near))
    assert [1 < pair.share < 2 for pair in same.numbers if pair.share] == [True]
    assert len(same.differences) == 1

    committed, rebuilt = both(**near)
    committed = [old | {"target_weights": weights} for old in committed]
    other = compare(committed, rebuilt)
    assert other.differences == []
    assert other.notes == [
        "rows of a target that was trained on another processor, or may have been: 2. "
        "Their numbers may be 2 times as far apart."
    ]
    _, rebuilt = both(**far)
    assert len(compare(committed, rebuilt).differences) == 1
