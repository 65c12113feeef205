"""What must hold in any results stops the leaderboard where it does not, and names the rows."""

from __future__ import annotations

import pytest

from harness.core.formulas import described
from harness.core.keys import key
from harness.core.types import Metric, Outcome, Sample
from harness.errors import StoreError
from harness.leaderboard import board
from harness.leaderboard.invariants import bounds
from harness.plugins.registry import Registry
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


def final(name, value, split="forget", **where):
    return Outcome([Metric(split, name, value, **where)])


def stopped(*found):
    with pytest.raises(StoreError) as error:
        board.build(*found)
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
    outcome = Outcome([], [Sample("retain", "rouge_l", "f1", -0.1), Sample("retain", "rouge_l", "f2", 0.1)])
    said = stopped(*tables(tmp_path, (cell(), outcome)))
    assert "retain.rouge_l -0.1" in said
    assert said.count("gd") == 1


def test_a_point_of_a_curve_outside_the_range(tmp_path):
    point = final("accuracy", 1.5, step=5, learning_rate=1e-5)
    assert "accuracy lies in [0, 1]" in stopped(*tables(tmp_path, (cell(), point)))


def test_rounding_and_names_of_strangers_are_no_violation(tmp_path):
    found = tables(
        tmp_path,
        (cell(seed=0), final("probability", 1 + 1e-9)),
        (cell(seed=1), final("elo", 1700.0)),
        (cell(seed=2), final("log10_forget_quality", -239.0, "all")),
    )
    assert board.build(*found).num_rows == 1


@pytest.mark.parametrize("where", [{}, {"step": 5, "learning_rate": 1e-5}])
def test_exact_match_above_rouge(tmp_path, where):
    metrics = [Metric("forget", name, v, **where) for name, v in (("exact_match", 0.5), ("rouge_l", 0.4))]
    said = stopped(*tables(tmp_path, (cell(), Outcome(metrics))))
    assert "exact match is at most ROUGE-L recall" in said
    assert "forget.exact_match 0.5, rouge_l 0.4" in said


def test_exact_match_and_rouge_at_other_points_do_not_meet(tmp_path):
    metrics = [Metric("forget", "exact_match", 0.5, step=5), Metric("forget", "rouge_l", 0.4, step=0)]
    metrics += [Metric("forget", "exact_match", 0.5), Metric("retain", "rouge_l", 0.4)]
    assert board.build(*tables(tmp_path, (cell(), Outcome(metrics)))).num_rows == 1


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
    assert board.build(*found).num_rows == 4


def test_mixed_protocols(tmp_path):
    said = stopped(*tables(tmp_path, (cell(), Outcome()), (cell(protocol="0"), Outcome())))
    assert "protocols 0 and 1" in said
    assert said.count("(world gd none seed 0)") == 2


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


def test_every_metric_of_every_benchmark_here_has_its_range():
    """By name alone, because the leaderboard asks no plugin; where a name has two formulas, of both."""
    shipped = [entry.load() for entry in Registry().kinds["benchmark"].values()]
    reported = [each for cls in shipped for each in cls().reports]
    assert len({each.metric for each in reported}) > 30
    for each in reported:
        formula = described(each.formula)
        assert bounds(each.metric) == (formula.low, formula.high), each.metric
