"""A benchmark passes when its controls behave as they must; each way in which they do not is found."""

from __future__ import annotations

import pytest

from harness.leaderboard import controls
from harness.leaderboard.verdict import Verdict

CHANCE = 1 / 3
VERDICTS = {"none": "not forgotten", "retrain": "erased", "refusal": "hidden"}
ATTACKS = (("private-data", "p=0.1"), ("instruction", ""))
COLUMNS = (
    *("forget_before", "forget_before_low", "forget_before_high"),
    *("score", "score_low", "score_high", "exact_match", "chance", "threshold_high", "threshold_rule"),
)


def row(method, attack="none", variant="", **values):
    rule = {"threshold_rule": "chance", "threshold_high": CHANCE}
    return {"method": method, "attack": attack, "variant": variant, **dict.fromkeys(COLUMNS)} | rule | values


def before(method, value):
    around = {"forget_before_low": value - 0.05, "forget_before_high": value + 0.05}
    return row(method, forget_before=value, chance=CHANCE, **around)


def under(method, attack, value, exact):
    around = {"score_low": value - 0.05, "score_high": value + 0.05, "exact_match": exact}
    return row(method, *attack, score=value, chance=CHANCE, **around)


@pytest.fixture
def good():
    """The rows of a benchmark whose controls behave."""
    return [
        *(before(method, value) for method, value in [("none", 0.98), ("retrain", 0.33), ("refusal", 0.9)]),
        *(under("none", attack, 0.99, 0.95) for attack in ATTACKS),
        *(under("retrain", attack, 0.35, 0.02) for attack in ATTACKS),
        *(under("refusal", attack, 0.95, 0.80) for attack in ATTACKS),
    ]


def change(rows, method, attack, **values):
    """``rows`` with other values in the row of that method under that attack."""
    chosen = [row for row in rows if (row["method"], row["attack"]) == (method, attack)]
    assert len(chosen) == 1
    return [row | values if row is chosen[0] else row for row in rows]


def check(rows, **verdicts):
    """The checks, with the verdicts that controls have by construction but for ``verdicts``."""
    words = VERDICTS | verdicts
    there = {row["method"] for row in rows}
    return controls.check(rows, {name: Verdict(words[name], "0.5") for name in words if name in there})


def failing(rows, **verdicts):
    return [found.name for found in check(rows, **verdicts) if not found.passed]


def of_twin(rows):
    """The same rows where the threshold is the twin's own score."""
    return [row | {"threshold_rule": "twin", "threshold_high": 0.4} for row in rows]


AT_CHANCE = [
    f"retrain is not above chance, under {attack}" for attack in ("private-data p=0.1", "instruction")
]
ABOVE_CHANCE = "the scoring tells the original from chance"
VERDICT = "the verdict on {} is {}".format


def test_good_controls_pass_with_a_check_for_each_claim(good):
    assert [(found.name, found.passed) for found in check(good)] == [
        (ABOVE_CHANCE, True),
        ("the original knows the forget set", True),
        ("retrain counts as forgotten", True),
        *((name, True) for name in AT_CHANCE),
        ("the verdict on retrain is erased", True),
        ("the verdict on refusal is hidden", True),
        ("the verdict on none is not forgotten", True),
        ("original and retrain differ, under private-data p=0.1", True),
        ("original and retrain differ, under instruction", True),
    ]


@pytest.mark.parametrize(
    ("control", "word"),
    [
        ("retrain", "below the twin"),
        ("retrain", "not forgotten"),
        ("refusal", "erased"),
        ("refusal", "undecided"),
        ("none", "hidden"),
    ],
)
def test_a_control_with_another_verdict_fails(good, control, word):
    [found] = [found for found in check(good, **{control: word}) if not found.passed]
    assert found.name == VERDICT(control, VERDICTS[control])
    assert found.detail == f"{word}, 0.5"


def test_where_the_twin_is_the_reference_chance_is_none(good):
    rows = change(of_twin(good), "retrain", "instruction", score_low=0.34)
    assert failing(rows) == []
    assert not {*AT_CHANCE} & {found.name for found in check(rows)}
    assert failing(change(rows, "retrain", "none", forget_before=0.41)) == ["retrain counts as forgotten"]


def test_the_order_of_rows_does_not_matter(good):
    assert all(found.passed for found in check(good[::-1]))


@pytest.mark.parametrize(
    ("method", "attack", "values", "claim"),
    [
        ("none", "none", {"forget_before": 0.85}, "the original knows the forget set"),
        ("none", "none", {"forget_before_low": CHANCE}, ABOVE_CHANCE),
        ("retrain", "none", {"forget_before": 0.34}, "retrain counts as forgotten"),
        ("retrain", "instruction", {"score_low": 0.34}, "retrain is not above chance, under instruction"),
        (
            *("retrain", "private-data", {"score_high": 0.95}),
            "original and retrain differ, under private-data p=0.1",
        ),
        ("none", "instruction", {"score_low": 0.3}, "original and retrain differ, under instruction"),
    ],
)
def test_a_control_that_misbehaves_fails_its_own_claim_alone(good, method, attack, values, claim):
    assert failing(change(good, method, attack, **values)) == [claim]


def test_the_original_must_know_four_fifths_of_the_way_from_chance(good):
    least = CHANCE + 0.8 * (1 - CHANCE)
    assert failing(change(good, "none", "none", forget_before=least + 1e-9)) == []
    assert failing(change(good, "none", "none", forget_before=least - 1e-9)) == [
        "the original knows the forget set"
    ]


def test_retrain_below_chance_knows_no_more_than_chance(good):
    below = {"forget_before": 0.1, "forget_before_low": 0.0, "forget_before_high": 0.2}
    assert failing(change(good, "retrain", "none", **below)) == []


@pytest.mark.parametrize(
    ("method", "attack", "column", "claim"),
    [
        ("none", "none", "forget_before", "the original knows the forget set"),
        ("none", "none", "forget_before_low", ABOVE_CHANCE),
        ("retrain", "none", "forget_before", "retrain counts as forgotten"),
        ("retrain", "none", "threshold_high", "retrain counts as forgotten"),
        ("retrain", "instruction", "score_low", "retrain is not above chance, under instruction"),
        ("retrain", "instruction", "score_high", "original and retrain differ, under instruction"),
        ("none", "instruction", "score_low", "original and retrain differ, under instruction"),
    ],
)
def test_a_missing_number_never_passes(good, method, attack, column, claim):
    assert failing(change(good, method, attack, **{column: None})) == [claim]


@pytest.mark.parametrize("method", ["none", "refusal"])
def test_a_control_that_is_missing_altogether_never_passes(good, method):
    assert failing([row for row in good if row["method"] != method]) != []


def test_without_a_chance_level_nothing_is_known_of_the_original(good):
    claims = [ABOVE_CHANCE, "the original knows the forget set"]
    assert failing(change(good, "none", "none", chance=None)) == claims


def test_without_a_twin_the_other_claims_are_judged(good):
    """Some benchmarks cannot train one; the plan says so."""
    assert [found.name for found in check([row for row in good if row["method"] != "retrain"])] == [
        ABOVE_CHANCE,
        "the original knows the forget set",
        "the verdict on refusal is hidden",
        "the verdict on none is not forgotten",
    ]


def test_an_attack_that_failed_on_a_control_never_passes(good):
    """Its row has no numbers."""
    failed = dict.fromkeys(("score", "score_low", "score_high", "exact_match"))
    assert failing(change(good, "retrain", "instruction", **failed)) == [
        "retrain is not above chance, under instruction",
        "original and retrain differ, under instruction",
    ]


def test_an_attack_without_a_chance_level_is_judged_by_its_controls_alone(good):
    """The best of many answers lies above the chance of one, and still tells original from twin."""
    rows = change(good, "retrain", "instruction", chance=None, score=0.6, score_low=0.55, score_high=0.65)
    assert failing(rows) == []
    assert "retrain is not above chance, under instruction" not in [f.name for f in check(rows)]
    assert "original and retrain differ, under instruction" in [f.name for f in check(rows)]


@pytest.mark.parametrize("method", ["none", "retrain"])
def test_an_attack_that_one_of_the_two_was_spared_never_passes(good, method):
    spared = [row for row in good if (row["method"], row["attack"]) != (method, "instruction")]
    assert failing(spared) == ["original and retrain differ, under instruction"]


def test_nothing_at_all_never_passes():
    assert failing([]) != []


def test_a_check_shows_its_numbers(good):
    [above, knows, *_] = check(good)
    assert above.detail == "0.980 [0.930, 1.030], chance 0.333"
    assert knows.detail == "0.980, chance 0.333"
    [_, knows, *_] = check(change(good, "none", "none", forget_before=None))
    assert knows.detail == "not measured, chance 0.333"
