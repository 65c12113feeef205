"""What must hold across cells stops the leaderboard where it does not, and names the cells."""

from __future__ import annotations

import pytest

from harness.core.names import ATTACK, EVALUATION
from harness.core.types import Metric, Outcome
from harness.errors import StoreError
from harness.leaderboard.groups import grouped
from harness.store.schema import PROTOCOL, CellRow
from harness.store.store import Store
from support.sound import sound


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
    fields.setdefault("target_family", "f")
    return sound(CellRow(key="", **fields))


def tables(folder, *committed):
    store = Store(folder)
    for row, outcome in committed:
        store.commit(row, outcome)
    return store.cells(), store.metrics(), store.samples()


def final(name, value):
    return Outcome([Metric("forget", name, value, low_bound=0.0, high_bound=1.0)])


def stopped(*found):
    with pytest.raises(StoreError) as error:
        grouped(*found)
    assert str(error.value).startswith("No leaderboard from these results: ")
    return str(error.value)


def test_an_original_that_differs_between_runs(tmp_path):
    rows = [(cell("none"), final("accuracy", 0.9)), (cell("none", seed=1), final("accuracy", 0.8))]
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
        (cell("none", seed=2, target_key="u", replicate=1), final("accuracy", 0.7)),
        (cell("none", target_key="v", target_family="g"), final("accuracy", 0.5)),
        (cell("none", attack="noise"), final("accuracy", 0.2)),
        (cell("none", attack="noise", seed=1), final("accuracy", 0.3)),
        (cell("gd"), final("accuracy", 0.1)),
    )
    assert len(grouped(*found)) == 4


def test_mixed_protocols(tmp_path):
    said = stopped(*tables(tmp_path, (cell(), Outcome()), (cell(protocol="0"), Outcome())))
    assert f"protocols 0 and {PROTOCOL}" in said
    assert said.count("(world gd none seed 0)") == 2


def test_two_cells_that_differ_in_nothing_a_row_shows(tmp_path):
    rows = [cell(), cell(twin_key="u")]
    said = stopped(*tables(tmp_path, *((row, final("accuracy", 0.5)) for row in rows)))
    assert "a cell must be there once" in said
    assert all(row.key[:12] in said for row in rows)


def test_only_the_first_rows_are_told(tmp_path):
    rows = [(cell(twin_key=f"{number}"), Outcome()) for number in range(8)]
    said = stopped(*tables(tmp_path, *rows))
    assert said.count("(world gd none seed 0)") == 5
    assert "and 3 more" in said
