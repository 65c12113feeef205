"""Relearning curves say what the cells' metrics say, at the rate whose score counts."""

from __future__ import annotations

import json
import random

import pytest

from harness.core.types import Metric, Outcome
from harness.leaderboard import board as leaderboard
from harness.leaderboard import curves
from harness.leaderboard.groups import grouped
from harness.store.store import Store
from support.cells import cell

RATES = (1e-5, 1e-4)
STEPS = (5, 10)


def attacked(method, seed, values, rate, **changes):
    """A cell of an attack that trains: ``values`` by (step, rate), of the forget metric."""
    notes = {"learning_rate": rate}
    row, outcome = cell(method, "private-data", seed, 10, notes, **changes)
    points = [
        Metric("forget", metric, shown, value - 0.05, value + 0.1, 20, step, at)
        for (step, at), value in values.items()
        for metric, shown in (("accuracy", value), ("exact_match", 1 - value))
    ]
    finals = [metric for metric in outcome.metrics if metric.step is None]
    return row, Outcome([*finals, *points], outcome.samples)


def random_values(seed):
    """A curve that ends higher at the higher rate."""
    drawn = random.Random(seed)
    values = {(0, None): drawn.uniform(0.2, 0.3)}
    return values | {(s, r): drawn.uniform(0.3, 0.4) + s * r * 200 for s in STEPS for r in RATES}


def built(tmp_path, cells):
    store = Store(tmp_path)
    for row, outcome in cells:
        store.commit(row, outcome)
    found = store.cells(), store.metrics(), store.samples()
    groups = grouped(*found)
    board = leaderboard.build(groups)
    return board, curves.build(board, groups), found


def test_a_curve_is_the_mean_over_seeds_of_each_seeds_counted_rate(tmp_path):
    chosen = {0: 1e-4, 1: 1e-5, 2: 1e-4}
    cells = [attacked("gd", seed, random_values(seed), rate) for seed, rate in chosen.items()]
    board, made, (_, metrics, _) = built(tmp_path, cells)
    frame = metrics.to_pandas()
    frame = frame[(frame.split == "forget") & (frame.metric == "accuracy") & frame.step.notna()]
    rates = {row.key: row.notes for row in Store(tmp_path).cells().to_pandas().itertuples()}
    of_cell = frame.key.map(lambda key: json.loads(rates[key])["learning_rate"])
    frame = frame[frame.learning_rate.isna() | (frame.learning_rate == of_cell)]
    expected = frame.groupby("step").value.mean()
    assert made["step"].to_pylist() == list(expected.index) == [0, *STEPS]
    assert made["value"].to_pylist() == pytest.approx(list(expected))
    assert made["seeds"].to_pylist() == [3] * 3
    [row] = [row for row in board.to_pylist() if row["attack"] != "none"]
    for point in made.to_pylist():
        assert {name: point[name] for name in (*curves.SAME, "signature")} == {
            name: row[name] for name in (*curves.SAME, "signature")
        }
        assert point["value_low"] < point["value"] < point["value_high"]


def test_where_no_training_beat_step_0_the_best_of_the_other_rates_is_shown(tmp_path):
    values = {(0, None): 0.9, (5, 1e-5): 0.5, (10, 1e-5): 0.6, (5, 1e-4): 0.7, (10, 1e-4): 0.4}
    _, made, _ = built(tmp_path, [attacked("gd", 0, values, None)])
    assert made["value"].to_pylist() == [0.9, 0.7, 0.4]


def test_an_attack_that_does_not_train_has_no_curve_nor_has_a_failed_cell(tmp_path):
    once = attacked("gd", 0, {(0, None): 0.5}, None)
    row, outcome = attacked(
        "npo", 0, random_values(0), 1e-4, status="failed", error_type="E", error_message=""
    )
    _, made, _ = built(tmp_path, [once, (row, outcome), cell("gd", known=4)])
    assert made.num_rows == 0
    assert made.schema.equals(curves.SCHEMA)


def test_a_step_that_one_seed_lacks_is_the_mean_of_the_others(tmp_path):
    short = {at: value for at, value in random_values(1).items() if at[0] < 10}
    _, made, _ = built(tmp_path, [attacked("gd", 0, random_values(0), 1e-4), attacked("gd", 1, short, 1e-4)])
    assert made["seeds"].to_pylist() == [2, 2, 1]
    assert made["value"].to_pylist()[-1] == random_values(0)[10, 1e-4]


def test_the_order_of_rows_changes_nothing(tmp_path):
    cells = [attacked(m, s, random_values(s), 1e-4) for m in ("gd", "npo") for s in range(3)]
    board, made, found = built(tmp_path, cells)
    turned = [t.take(list(range(t.num_rows))[::-1]) for t in found]
    assert curves.build(board, grouped(*turned)).equals(made)
