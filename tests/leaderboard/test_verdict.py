"""One verdict for any evidence; with narrower intervals a verdict stays what it was, or is found."""

from __future__ import annotations

from itertools import product

import pytest

from harness.leaderboard.columns import Estimate
from harness.leaderboard.ranking import Share
from harness.leaderboard.verdict import UNDECIDED, VERDICTS, Evidence, Recovered, bands, verdict

ENDS = (-0.3, 0.0, 0.1, 0.1001, 0.3, 0.5, 0.5001, 0.9, 1.2)
INTERVALS = [Estimate((a + b) / 2, a, b) for a in ENDS for b in ENDS if a <= b]
KEPT = [
    Estimate((a + b) / 2, a, b) for a, b in ((0.4, 0.7), (0.4, 0.8), (0.75, 0.85), (0.8, 0.9), (0.95, 1.0))
]


def evidence(recovered=(0.0, 0.0, 0.0), kept=(1.0, 0.98, 1.02), **changes):
    known = {
        "forgotten": [True] * 3,
        "recovered": Recovered(Estimate(*recovered), "lora"),
        "kept": {"retain": Share(Estimate(*kept)), "utility": Share(Estimate(1.0))},
        "above_twin": Estimate(0.0, -0.1, 0.1),
    }
    return Evidence(**known | changes)


def word(**changes):
    return verdict(evidence(**changes)).word


def within(inner, outer):
    return outer.ends[0] <= inner.ends[0] and inner.ends[1] <= outer.ends[1]


def grid():
    for recovered, kept, above, forgotten in product(
        INTERVALS, KEPT, (Estimate(-0.1, -0.2, -0.01), Estimate(0.0, -0.1, 0.1)), ([True] * 3, [True, False])
    ):
        yield recovered, kept, above, evidence(recovered, kept, above_twin=above, forgotten=forgotten)


def test_any_evidence_has_one_verdict_that_says_why():
    found = {verdict(each) for *_, each in grid()}
    assert {each.word for each in found} == {*VERDICTS}
    assert all(each.why for each in found)


def test_every_band_is_touched_by_its_own_recoveries():
    """Bands leave no gap and do not overlap."""
    exact = {share: bands(Estimate(share)) for share in (*ENDS, -9.0, 9.0)}
    assert {len(words) for words in exact.values()} == {1}
    assert [exact[share] for share in (0.1, 0.1001, 0.5, 0.5001)] == [
        *(["erased"], ["partly hidden"], ["partly hidden"], ["hidden"])
    ]


@pytest.mark.parametrize("above", [Estimate(-0.1, -0.2, -0.01), Estimate(0.0, -0.1, 0.1)])
def test_narrower_intervals_turn_no_verdict_into_another(above):
    """That one is below the twin is a mark of what is erased, and may be found later."""
    decided = {
        (recovered, kept): verdict(evidence(recovered, kept, above_twin=above)).word
        for recovered, kept in product(INTERVALS, KEPT)
    }
    for (recovered, kept), found in decided.items():
        for (narrower, less), later in decided.items():
            if found != UNDECIDED and within(narrower, recovered) and within(less, kept):
                assert later == found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "erased"),
        ({"recovered": (0.05, 0.0, 0.1)}, "erased"),
        ({"recovered": (0.08, 0.02, 0.15)}, "undecided"),
        ({"recovered": (0.3, 0.2, 0.5)}, "partly hidden"),
        ({"recovered": (0.3, None, None)}, "partly hidden"),
        ({"recovered": (0.6, 0.45, 0.7)}, "undecided"),
        ({"recovered": (0.9, 0.8, 1.1)}, "hidden"),
        ({"recovered": (0.9, 0.8, 1.1), "kept": (0.5, 0.4, 0.6)}, "hidden"),
        ({"recovered": (0.9, 0.8, 1.1), "kept": (0.8, 0.7, 0.9)}, "hidden"),
        ({"recovered": (0.5, 0.4, 0.6), "kept": (0.5, 0.4, 0.6)}, "undecided"),
        ({"recovered": (0.4, 0.3, 0.5), "kept": (0.5, 0.4, 0.6)}, "damaged"),
        ({"kept": (0.79, None, None)}, "damaged"),
        ({"kept": (0.81, 0.75, 0.87)}, "undecided"),
        ({"recovered": (0.05, 0.0, 0.3), "kept": (0.7, 0.6, 0.79)}, "damaged"),
        ({"above_twin": Estimate(-0.1, -0.2, -0.01)}, "below the twin"),
        ({"above_twin": Estimate(-0.1, -0.2, 0.0)}, "erased"),
        ({"above_twin": Estimate(None)}, "erased"),
        ({"above_twin": Estimate(-0.1, -0.2, -0.01), "recovered": (0.9, 0.8, 1.0)}, "hidden"),
        ({"forgotten": [True, True, False]}, "not forgotten"),
        ({"forgotten": [False], "kept": (0.5, 0.4, 0.6)}, "not forgotten"),
    ],
)
def test_the_rules_one_by_one(changes, said):
    assert word(**changes) == said


AGAIN = Recovered(Estimate(0.8, 0.6, 0.95), "rtt")


@pytest.mark.parametrize(
    ("said", "again", "found"),
    [
        (0.0, AGAIN, "hidden"),
        (0.1, AGAIN, "hidden"),
        (0.11, AGAIN, "not forgotten"),
        (None, AGAIN, "not forgotten"),
        (0.0, None, "not forgotten"),
        (0.0, Recovered(Estimate(0.8, 0.5, 0.95), "rtt"), "not forgotten"),
        (0.0, Recovered(Estimate(1.0), "rtt"), "hidden"),
    ],
)
def test_a_model_that_only_declines_to_say_it_hides_it(said, again, found):
    assert word(forgotten=[False] * 3, said=said, said_again=again) == found


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"forgotten": []}, "forget score"),
        ({"forgotten": [True, None]}, "forget score"),
        ({"recovered": None}, "recovery"),
        ({"recovered": None, "lacking": ["none"]}, "the control none, recovery"),
        ({"kept": {"retain": Share(Estimate(1.0)), "utility": Share(measured=False)}}, "utility"),
        ({"kept": {"retain": Share(original=False)}}, "what is left of the model"),
    ],
)
def test_what_is_missing_is_said_and_nothing_else(changes, missing):
    assert verdict(Evidence(**_plain() | changes)) == ("undecided", f"missing: {missing}")


def _plain():
    plain = evidence()
    return {name: getattr(plain, name) for name in Evidence.__slots__}


def test_a_score_that_a_benchmark_does_not_have_is_not_asked_for():
    shares = {"retain": Share(Estimate(1.0)), "utility": Share(measured=False, original=False)}
    assert verdict(Evidence(**_plain() | {"kept": shares})).word == "erased"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"recovered": (0.62, 0.51, 0.73)}, "0.62 [0.51, 0.73] of what was forgotten came back under lora"),
        ({"kept": (0.7, 0.6, 0.75)}, "0.700 [0.600, 0.750] of the original's retain is left"),
        (
            {"recovered": (0.08, 0.02, 0.15)},
            "erased or partly hidden: 0.08 [0.02, 0.15] of what was forgotten came back under lora",
        ),
        (
            {"kept": (0.81, 0.75, 0.87)},
            "erased or damaged: 0.00 [0.00, 0.00] of what was forgotten came back under lora; "
            "0.810 [0.750, 0.870] of the original's retain is left",
        ),
        ({"forgotten": [False, True, False]}, "2 of 3 seeds above the threshold"),
        (
            {"forgotten": [False], "said": 0.0, "said_again": AGAIN},
            "0.80 [0.60, 0.95] of the exact answers came back under rtt",
        ),
        (
            {"above_twin": Estimate(-0.15, -0.2, -0.1)},
            "-0.15 [-0.20, -0.10] beside a model that never knew",
        ),
    ],
)
def test_the_phrase_holds_the_numbers_that_decided(changes, why):
    assert verdict(evidence(**changes)).why == why
