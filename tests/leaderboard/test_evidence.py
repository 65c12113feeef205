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

CONTROLS = {"none": (1, 1), "retrain": (0.1, 0.1), "refusal": (0.2, 1)}
FACTS = 80


def outcome(known, exact=None, attack=False):
    """The first facts are answered, a share ``known`` of them."""
    values = [float(i < FACTS * known) for i in range(FACTS)]
    words = values if exact is None else [exact] * FACTS
    found = [scored("forget", "accuracy", values, **SHARE), scored("forget", "exact_match", words, **SHARE)]
    if attack:
        return curve(together(*found), (5, 1e-5))
    retain = scored("retain", "accuracy", [float(i % 10 > 0) for i in range(FACTS)])
    return together(*found, retain, Outcome([Metric("all", "utility", 0.6)]))


def cells(methods=CONTROLS, seeds=3, attack="lora", exact=(None, None), notes=None, **known):
    """Of each method: which share of facts is answered before the attack and after it."""
    for method, (before, after) in (methods | known).items():
        for seed in range(seeds):
            said = {"threshold": 0.25, "n_scored": FACTS} | (notes or {})
            yield cell(method, seed=seed, notes=said)[0], outcome(before, exact[0])
            yield cell(method, attack, seed, notes=said)[0], outcome(after, exact[1], attack=True)


def row_of(table, method, attack="none"):
    (row,) = [r for r in table.to_pylist() if (r["method"], r["attack"]) == (method, attack)]
    return row


@pytest.mark.parametrize(
    ("known", "word"),
    [
        ((0.1, 0.1), "erased"),
        ((0.2, 0.4), "partly hidden"),
        ((0.2, 1), "hidden"),
        ((0.45, 1), "not forgotten"),
        ((0.2, 0.55), "undecided"),
    ],
)
def test_the_columns_say_the_verdict_on_every_row_of_a_method(tmp_path, known, word):
    table = board(tmp_path, cells(gd=known))
    for attack in ("none", "lora"):
        row = row_of(table, "gd", attack)
        assert row["verdict"] == word
        assert row["recovered"] == pytest.approx((known[1] - 0.1) / 0.9)
        assert row["recovered_attack"] == "lora p=0.1"
        assert (row["kept"], row["kept_of"]) == (1.0, "retain")
        assert 0.9 < row["kept_low"] < 1 < row["kept_high"]


def test_controls_have_no_verdict_on_the_board_and_are_what_they_are_by_construction(tmp_path):
    table = board(tmp_path, cells(gd=(0.1, 0.1)))
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
    table = board(tmp_path, cells(retrain=(0.4, 0.4), gd=(0, 0.4)))
    row = row_of(table, "gd")
    facts = {seed: {f"f{i}": 0.0 - (i < 32) for i in range(FACTS)} for seed in range(3)}
    assert (row["above_twin"], row["above_twin_low"], row["above_twin_high"]) == pytest.approx(
        stats.two_level_interval(facts)[:3]
    )
    assert row["verdict"] == "below the twin"
    twin = row_of(table, "retrain")
    assert (twin["above_twin"], twin["above_twin_low"], twin["above_twin_high"]) == (0, 0, 0)


def test_a_method_that_declines_to_say_what_attacks_bring_back(tmp_path):
    """Above the threshold by choice among options, and silent when asked to answer."""
    found = cells({}, exact=(0.0, 0.95), gd=(0.9, 0.9))
    row = row_of(board(tmp_path, [*cells(), *found]), "gd")
    assert row["forgotten"] == 0
    assert row["verdict"] == "hidden"
    assert row["verdict_why"].endswith("of the exact answers came back under lora p=0.1")


@pytest.mark.parametrize(
    ("retained", "word"), [(0.9, "hidden"), (0.1, "not forgotten"), (0.0, "not forgotten")]
)
def test_where_the_original_talks_in_sentences_a_model_declines_beside_what_it_retains(
    tmp_path, retained, word
):
    """No answer of the original is exact before attacks, which teach it the form."""
    talks = {"none": (1, 1)}
    found = [*cells(talks, exact=(0.0, 0.9)), *cells({}, exact=(0.05, 0.85), gd=(0.9, 0.9))]
    for row, measured in found:
        if row.attack == "none":
            spoken = scored("retain", "exact_match", [retained * (row.method == "gd")], **SHARE)
            measured.metrics += spoken.metrics
            measured.samples += spoken.samples
    assert row_of(board(tmp_path, found), "gd")["verdict"] == word
    verdicts = leaderboard.verdicts(grouped(*tables([Store(tmp_path)])))
    assert verdicts["none"].word == "not forgotten"


def test_the_threshold_allows_for_its_own_noise(tmp_path):
    notes = {"threshold": 0.1, "threshold_high": 0.3, "threshold_rule": "twin", "forgotten": False}
    known = [(cell("gd", seed=s, notes=notes)[0], outcome(k)) for s, k in enumerate((0.2, 0.3, 0.35))]
    row = row_of(board(tmp_path, [*cells(), *known]), "gd")
    assert row["forgotten"] == pytest.approx(2 / 3)
    assert row["guard"] == "not forgotten in 1 of 3 seeds"
    assert (row["threshold"], row["threshold_high"]) == pytest.approx((0.1, 0.3))
    assert row["threshold_rule"] == "twin"


def test_the_highest_recovery_shares_the_error_with_those_that_may_be_higher(tmp_path):
    found = [*cells(gd=(0.2, 0.55))]
    for attack, after in (("noise", 0.54), ("prune", 0.53)):
        found += [each for each in cells(attack=attack, gd=(0.2, after)) if each[0].attack == attack]
    table = board(tmp_path, found)
    row, *attacked = (row_of(table, "gd", attack) for attack in ("none", "lora", "noise", "prune"))
    assert (row["recovered"], row["recovered_attack"]) == (attacked[0]["recovery"], "lora p=0.1")
    assert row["recovered_high"] == pytest.approx(max(each["recovery_high"] for each in attacked))
    assert row["recovered_low"] < max(each["recovery_low"] for each in attacked)


def test_what_is_kept_is_the_least_of_what_was_measured(tmp_path):
    def lm_eval(method, scores):
        for seed, score in enumerate(scores):
            row, _ = cell(method, seed=seed, stage="utility", attack_plugin="lm-eval 0.4")
            yield row, Outcome([Metric(*LM_EVAL, score)])

    own = (0.4, 0.45, 0.5)
    table = board(tmp_path, [*cells(gd=(0.1, 0.1)), *lm_eval("none", (0.8,) * 3), *lm_eval("gd", own)])
    row = row_of(table, "gd")
    share = stats.share_of_values(dict(enumerate(own)), dict.fromkeys(range(3), 0.8))
    assert (row["kept"], row["kept_low"], row["kept_high"]) == pytest.approx(share[:3])
    assert (row["kept_of"], row["verdict"]) == ("lm-eval", "damaged")
    assert row["lm_eval"] == pytest.approx(0.45)
    assert row["lm_eval_low"] < row["lm_eval"] < row["lm_eval_high"]
    assert row_of(table, "gd", "lora")["lm_eval"] is None
    assert row["guard"] == "lm-eval 56 % of the original's"


def test_each_target_of_a_family_is_held_against_its_own_twin(tmp_path):
    """The second target's twin answers twice as many facts, and so does what forgot on it."""

    def family(method, known, seed, replicate):
        changes = {"target_key": f"{replicate}" * 64, "target_family": "f" * 64, "replicate": replicate}
        yield cell(method, seed=seed, **changes)[0], outcome(known)
        yield cell(method, "lora", seed, **changes)[0], outcome(known, attack=True)

    def table(folder, retrain_on):
        found = [*family("none", 1, 0, 0), *family("none", 1, 1, 1)]
        for seed, known in enumerate((0.1, 0.2)):
            found += [*family("gd", known, seed, seed), *family("retrain", known, seed, retrain_on[seed])]
        return board(tmp_path / folder, found)

    row = row_of(table("own", (0, 1)), "gd")
    assert (row["targets"], row["seeds"], row["target"]) == (2, 2, "f" * 64)
    assert (row["above_twin"], row["recovered"]) == (0, 0)
    crossed = row_of(table("crossed", (1, 0)), "gd")
    assert (crossed["above_twin"], crossed["recovered"]) == (None, None)


def test_a_worst_score_of_few_facts_is_marked(tmp_path):
    for facts, few in ((29, True), (30, False)):
        table = board(tmp_path / str(facts), cells(gd=(0.1, 0.4), notes={"n_scored": facts}))
        assert row_of(table, "gd")["few_facts"] is few


@pytest.mark.parametrize(("left", "counts"), [(0.5, False), (0.6, True)])
def test_an_attack_that_wrecks_the_original_itself_does_not_count_in_recovered(tmp_path, left, counts):
    """Before attacks the original is .9 above its twin; the second attack leaves less or more than half."""
    found = [*cells(gd=(0.2, 0.3))]
    wrecked = {"none": (1, left), "retrain": (0.1, 0.1), "refusal": (0.2, 0.5), "gd": (0.2, 0.4)}
    found += [each for each in cells(wrecked, attack="prompt") if each[0].attack == "prompt"]
    table = board(tmp_path, found)
    row = row_of(table, "gd")
    assert row_of(table, "gd", "prompt")["recovery"] > row_of(table, "gd", "lora")["recovery"]
    assert row["recovered_attack"] == ("prompt p=0.1" if counts else "lora p=0.1")
