"""The script on power: what it says of made-up results whose truth is known."""

from __future__ import annotations

import runpy

import numpy as np
import pytest

from harness.store.store import Store
from support import crossed
from support.cells import cell
from support.paths import ROOT


@pytest.fixture(scope="module")
def power():
    """The names of the script."""
    return runpy.run_path(str(ROOT / "tests/perf/power.py"))


@pytest.fixture
def own():
    """Four methods under two attacks, in whose spread seeds have a known part."""
    rng = np.random.default_rng(1)
    of = crossed.clusters(rng, 40, 1, 3)
    return {m: 0.5 + crossed.normal(rng, 2, 4, of, 0.3, (0.3, 0.1, 0.2)) for m in "abcd"}, of


def test_the_parts_of_the_variance_are_those_the_values_were_made_of(power):
    of = np.arange(50)
    y = crossed.normal(np.random.default_rng(2), 4000, 3, of, 0, (1.0, 0.2, 1.0))
    parts = 1 / 50, 0.2**2 / 3, 1 / 150
    assert power["parts"](y, None) == pytest.approx(np.array(parts) / sum(parts), abs=0.03)


def test_methods_that_fare_alike_under_a_seed_are_seen_to(power):
    rng = np.random.default_rng(3)
    common = 0.3 * rng.standard_normal((300, 5, 1))
    noise = 0.1 * rng.standard_normal((4, 300, 5, 30))
    own_shift = 0.3 * rng.standard_normal((4, 300, 5, 1))
    assert power["in_common"](dict(enumerate(noise + common)), None) == pytest.approx(1, abs=0.05)
    assert power["in_common"](dict(enumerate(noise + own_shift)), None) == pytest.approx(0, abs=0.1)


def test_tables_drawn_anew_have_the_spread_of_the_measured_one_and_a_known_worst(power, own):
    redrawn = power["Redrawn"](*own)
    rng = np.random.default_rng(4)
    tables = [redrawn.table(rng, 5, 2)[0] for _ in range(200)]
    assert next(iter(tables[0].values())).shape[:2] == (2, 5)
    levels = sorted(
        np.mean([list(table.values())[place].mean((1, 2)) for table in tables], 0).max() for place in range(4)
    )
    assert levels == pytest.approx([0, 0, 0.1, 0.1], abs=0.03)


def test_more_seeds_and_more_facts_tell_more_pairs_apart(power, own):
    redrawn = power["Redrawn"](*own)
    few, _ = power["share_told_apart"](redrawn, 3, 1, 6)
    many, wrong = power["share_told_apart"](redrawn, 12, 8, 6)
    assert few < 0.5 < many
    assert wrong <= 0.5


def test_the_report_of_stored_cells(power, tmp_path, capsys):
    store = Store(tmp_path)
    for method, known in (("none", 20), ("gd", 14), ("npo", 9), ("ssiuu", 3)):
        for seed in range(3):
            store.commit(*cell(method, "private-data", seed, known + seed))
    power["main"]([str(tmp_path), "2"])
    printed = capsys.readouterr().out
    assert printed.startswith("world tiny\n  3 methods, 1 attacks, 3 seeds, 20 facts in 20 clusters\n")
    assert "of 3 pairs" in printed
    assert "8 seeds, facts x2" in printed
