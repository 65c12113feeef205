"""What is gathered on a method is what its cells measured, and the columns say the verdict on it."""

from __future__ import annotations

import pytest

from harness.core.types import Metric, Outcome
from harness.leaderboard import board as leaderboard
from harness.leaderboard import stats
from harness.leaderboard.groups import grouped
from harness.leaderboard.kept import LM_EVAL
from harness.store.store import Store, tables
from support.cells import SHARE, board, cell
from support.sound import curve, scored, together

CONTROLS = {"none": (20, 20), "retrain": (2, 2), "refusal": (4, 20)}


def cells(seeds=3, **known):
    """Of each method: how many of 20 facts are answered before the attack and after it."""
    for method, (before, after) in (CONTROLS | known).items():
        for seed in range(seeds):
            yield cell(method, seed=seed, known=before)
            yield cell(method, "lora", seed, after)


def row_of(table, method, attack="none"):
    (row,) = [r for r in table.to_pylist() if (r["method"], r["attack"]) == (method, attack)]
    return row


def graded(accuracy, exact, attack=False):
    """An outcome with the same accuracy on every fact, and the same exact match."""
    found = together(
        scored("forget", "accuracy", [accuracy] * 20, **SHARE),
        scored("forget", "exact_match", [exact] * 20, **SHARE),
    )
    if attack:
        return curve(found, (5, 1e-5))
    kept = scored("retain", "accuracy", [1.0] * 9 + [0.0])
    return together(found, kept, Outcome([Metric("all", "utility", 0.6)]))


@pytest.mark.parametrize(
    ("known", "word"),
    [
        ((2, 2), "erased"),
        ((4, 20), "hidden"),
        ((9, 20), "not forgotten"),
        ((4, 14), "undecided"),
    ],
)
def test_the_columns_say_the_verdict_on_every_row_of_a_method(tmp_path, known, word):
    table = board(tmp_path, cells(gd=known))
    for attack in ("none", "lora"):
        row = row_of(table, "gd", attack)
        assert row["verdict"] == word
        assert row["recovered"] == pytest.approx((known[1] - 2) / 18)
        assert row["recovered_attack"] == "lora p=0.1"
        assert (row["kept"], row["kept_of"], row["kept_low"]) == (1.0, "retain", None)


def test_controls_have_no_verdict_on_the_board_and_are_what_they_are_by_construction(tmp_path):
    table = board(tmp_path, cells(gd=(2, 2)))
    for control in CONTROLS:
        row = row_of(table, control)
        assert [row[name] for name in ("verdict", "verdict_why", "forgotten", "guard")] == [None] * 4
    found = leaderboard.verdicts(grouped(*tables([Store(tmp_path)])))
    assert {method: found[method].word for method in CONTROLS} == {
        "none": "not forgotten",
        "retrain": "erased",
        "refusal": "hidden",
    }


def test_a_method_below_the_twin(tmp_path):
    table = board(tmp_path, cells(retrain=(8, 8), gd=(0, 8)))
    row = row_of(table, "gd")
    facts = {seed: {f"f{i}": 0.0 - (i < 8) for i in range(20)} for seed in range(3)}
    assert (row["above_twin"], row["above_twin_low"], row["above_twin_high"]) == pytest.approx(
        stats.two_level_interval(facts)[:3]
    )
    assert row["verdict"] == "below the twin"
    twin = row_of(table, "retrain")
    assert (twin["above_twin"], twin["above_twin_low"], twin["above_twin_high"]) == (0, 0, 0)


def test_a_method_that_declines_to_say_what_attacks_bring_back(tmp_path):
    """Above the threshold by choice among options, and silent when asked to answer."""
    found = [
        (row, graded(0.9, 0.0 if row.attack == "none" else 0.95, row.attack != "none"))
        for row, _ in cells(gd=(9, 9))
        if row.method == "gd"
    ]
    row = row_of(board(tmp_path, [*cells(), *found]), "gd")
    assert row["forgotten"] == 0
    assert row["verdict"] == "hidden"
    assert row["verdict_why"].endswith("of the exact answers came back under lora p=0.1")


def test_the_threshold_allows_for_its_own_noise(tmp_path):
    notes = {"threshold": 0.1, "threshold_high": 0.3, "threshold_rule": "twin", "forgotten": False}
    known = [cell("gd", seed=seed, known=k, notes=notes) for seed, k in enumerate((4, 6, 7))]
    row = row_of(board(tmp_path, [*cells(), *known]), "gd")
    assert row["forgotten"] == pytest.approx(2 / 3)
    assert row["guard"] == "not forgotten in 1 of 3 seeds"
    assert [row[name] for name in ("threshold", "threshold_high", "threshold_rule")] == [0.1, 0.3, "twin"]


def test_the_highest_recovery_shares_the_error_with_those_that_may_be_higher(tmp_path):
    more = [
        cell(method, "noise", seed, after)
        for method, after in (("none", 20), ("retrain", 2), ("gd", 11))
        for seed in range(3)
    ]
    table = board(tmp_path, [*cells(gd=(4, 12)), *more])
    row, lora, noise = (row_of(table, "gd", attack) for attack in ("none", "lora", "noise"))
    assert row["recovered"] == lora["recovery"] > noise["recovery"]
    assert row["recovered_high"] == max(lora["recovery_high"], noise["recovery_high"])
    assert row["recovered_low"] < lora["recovery_low"]


def test_what_is_kept_is_the_least_of_what_was_measured(tmp_path):
    def lm_eval(method, scores):
        for seed, score in enumerate(scores):
            row, _ = cell(method, seed=seed, stage="utility", attack_plugin="lm-eval 0.4")
            yield row, Outcome([Metric(*LM_EVAL, score)])

    own = (0.4, 0.45, 0.5)
    table = board(tmp_path, [*cells(gd=(2, 2)), *lm_eval("none", (0.8,) * 3), *lm_eval("gd", own)])
    row = row_of(table, "gd")
    share = stats.share_of_values(dict(enumerate(own)), dict.fromkeys(range(3), 0.8))
    assert (row["kept"], row["kept_low"], row["kept_high"]) == pytest.approx(share[:3])
    assert (row["kept_of"], row["verdict"]) == ("lm-eval", "damaged")
    assert row["lm_eval_low"] < row["lm_eval"] == pytest.approx(0.45) < row["lm_eval_high"]
    assert row_of(table, "gd", "lora")["lm_eval"] is None
    assert row["guard"] == "lm-eval 56 % of the original's"


def test_each_target_of_a_family_is_held_against_its_own_twin(tmp_path):
    """The second target's twin answers half of the facts, and so does what forgot on it."""

    def family(method, before, replicate):
        changes = {"target_key": f"{replicate}" * 64, "target_family": "f" * 64, "replicate": replicate}
        yield cell(method, seed=replicate, known=before, **changes)
        yield cell(method, "lora", replicate, before, **changes)

    known = {"none": (20, 20), "retrain": (2, 10), "gd": (2, 10)}
    found = [each for method, both in known.items() for i in range(2) for each in family(method, both[i], i)]
    table = board(tmp_path / "own", found)
    row = row_of(table, "gd")
    assert (row["targets"], row["seeds"], row["target"]) == (2, 2, "f" * 64)
    assert (row["above_twin"], row["recovered"]) == (0, 0)
    crossed = [each for each in found if each[0].method != "retrain"]
    crossed += [
        cell("retrain", seed=1 - i, known=2, target_key=f"{i}" * 64, target_family="f" * 64) for i in range(2)
    ]
    assert row_of(board(tmp_path / "crossed", crossed), "gd")["above_twin"] is None


def test_a_worst_score_of_few_facts_is_marked(tmp_path):
    assert row_of(board(tmp_path, cells(gd=(2, 9))), "gd")["few_facts"] is True
    many = [cell("npo", "lora", seed, 9, notes={"n_scored": 30}) for seed in range(3)]
    assert row_of(board(tmp_path, many), "npo", "lora")["few_facts"] is False
