"""What must hold in any results stops the leaderboard where it does not, and names the rows."""

from __future__ import annotations

import math

import pytest

from harness.core.keys import key
from harness.core.names import ATTACK, EVALUATION
from harness.core.types import Metric, Outcome, Sample
from harness.errors import StoreError
from harness.leaderboard.groups import grouped
from harness.store.schema import CellRow
from harness.store.store import Store


def cell(method="gd", attack="none", seed=0, **changes):
    fields = {
        "benchmark": "world",
        "data_fingerprint": "d",
        "model": "tiny",
        "target_key": "t",
        "target_weights": "w",
        "method": method,
        "method_plugin": "unlearning-harness 0.1.0",
        "stage": EVALUATION if attack == "none" else ATTACK,
        "attack": attack,
        "seed": seed,
        "dtype": "float32",
    } | changes
    return CellRow(key=key(fields), **fields)


def tables(folder, *committed):
    store = Store(folder)
    for row, outcome in committed:
        store.commit(row, outcome)
    return store.cells(), store.metrics(), store.samples()


SHARE = {"low_bound": 0.0, "high_bound": 1.0}


def final(name, value, split="forget", **where):
    return Outcome([Metric(split, name, value, **SHARE | where)])


def stopped(*found):
    with pytest.raises(StoreError) as error:
        grouped(*found)
    assert str(error.value).startswith("No leaderboard from these results: ")
    return str(error.value)


def test_a_probability_above_one(tmp_path):
    row = cell(attack="noise", variant="weak")
    said = stopped(*tables(tmp_path, (row, final("probability", 1.2)), (cell(), final("probability", 1.0))))
    assert "probability lies in [0, 1]" in said
    assert f"{row.key[:12]} (world gd noise weak seed 0): forget.probability 1.2" in said


def test_a_value_that_is_no_number(tmp_path):
    assert "a value is a number" in stopped(*tables(tmp_path, (cell(), final("whatever", float("nan")))))


def test_a_fact_outside_the_range(tmp_path):
    samples = [Sample("retain", "rouge_l", "f1", -0.1), Sample("retain", "rouge_l", "f2", 0.1)]
    mean = Metric("retain", "rouge_l", 0.0, **SHARE)
    said = stopped(*tables(tmp_path, (cell(), Outcome([mean], samples))))
    assert "rouge_l lies in [0, 1]" in said
    assert "retain.rouge_l -0.1" in said
    assert said.count("gd") == 1


def test_a_point_of_a_curve_outside_the_range(tmp_path):
    point = final("accuracy", 1.5, step=5, learning_rate=1e-5)
    assert "accuracy lies in [0, 1]" in stopped(*tables(tmp_path, (cell(), point)))


def test_rounding_and_metrics_without_a_range_are_no_violation(tmp_path):
    found = tables(
        tmp_path,
        (cell(seed=0), final("probability", 1 + 1e-9)),
        (cell(seed=1), final("elo", 1700.0, low_bound=None, high_bound=None)),
        (cell(seed=2), final("log10_p", -239.0, "all", low_bound=-math.inf, high_bound=0.0)),
    )
    assert len(grouped(*found)) == 1


@pytest.mark.parametrize("where", [{}, {"step": 5, "learning_rate": 1e-5}])
def test_a_metric_above_one_that_it_never_exceeds(tmp_path, where):
    metrics = [Metric("forget", "all", 0.5, at_most="some", **where), Metric("forget", "some", 0.4, **where)]
    said = stopped(*tables(tmp_path, (cell(), Outcome(metrics))))
    assert "all is at most some" in said
    assert "forget.all 0.5, some 0.4" in said


def test_metrics_at_other_points_and_splits_do_not_meet(tmp_path):
    metrics = [Metric("forget", "all", 0.5, step=5, at_most="some"), Metric("forget", "some", 0.4, step=0)]
    metrics += [Metric("forget", "all", 0.5, at_most="some"), Metric("retain", "some", 0.4)]
    assert len(grouped(*tables(tmp_path, (cell(), Outcome(metrics))))) == 1


@pytest.mark.parametrize("other", [{"seed": 1}, {"provenance": '{"started_at":"2030-01-01"}'}])
def test_an_original_that_differs_between_runs(tmp_path, other):
    rows = [(cell("none"), final("accuracy", 0.9)), (cell("none", **other), final("accuracy", 0.8))]
    said = stopped(*tables(tmp_path, *rows))
    assert "'none' measures the same in all runs on one target" in said
    assert all(row.key[:12] in said for row, _ in rows)
    assert "forget.accuracy 0.8" in said
    assert "forget.accuracy 0.9" in said


def test_an_original_may_differ_by_noise_between_targets_and_after_attacks(tmp_path):
    found = tables(
        tmp_path,
        (cell("none"), final("accuracy", 0.9)),
        (cell("none", seed=1), final("accuracy", 0.9001)),
        (cell("none", target_key="u"), final("accuracy", 0.5)),
        (cell("none", attack="noise"), final("accuracy", 0.2)),
        (cell("none", attack="noise", seed=1), final("accuracy", 0.3)),
        (cell("gd"), final("accuracy", 0.1)),
    )
    assert len(grouped(*found)) == 4


def test_mixed_protocols(tmp_path):
    said = stopped(*tables(tmp_path, (cell(), Outcome()), (cell(protocol="0"), Outcome())))
    assert "protocols 0 and 1" in said
    assert said.count("(world gd none seed 0)") == 2


@pytest.mark.parametrize(("stage", "attack"), [(EVALUATION, "noise"), (ATTACK, "none")])
def test_a_stage_that_is_not_the_attacks(tmp_path, stage, attack):
    said = stopped(*tables(tmp_path, (cell(attack=attack, stage=stage), Outcome())))
    assert "a cell of the stage 'attack' names an attack, and no other does" in said


@pytest.mark.parametrize(
    ("which", "said"),
    [
        (0, "a cell must be there once"),
        (1, "a metric must be there once"),
        (2, "a sample must be there once"),
    ],
)
def test_what_is_there_twice(tmp_path, which, said):
    outcome = Outcome([Metric("forget", "accuracy", 0.5)], [Sample("forget", "accuracy", "f1", 0.5)])
    found = list(tables(tmp_path, (cell(), outcome)))
    found[which] = found[which].take([0, 0])
    message = stopped(*found)
    assert said in message
    assert "2 times" in message


def test_only_the_first_rows_are_told(tmp_path):
    rows = [(cell(seed=seed), final("probability", 2.0)) for seed in range(8)]
    said = stopped(*tables(tmp_path, *rows))
    assert said.count("forget.probability 2") == 5
    assert "and 3 more" in said
