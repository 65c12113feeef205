"""The script on power: what it says of made-up results whose truth is known."""

from __future__ import annotations

import runpy

import numpy as np
import pytest

from harness.leaderboard import stats
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


def test_tables_drawn_anew_have_the_measured_spread_and_a_known_worst(power, own):
    """All methods are copies of one, so that places can be told apart by their level alone."""
    values, of = own
    redrawn = power["Redrawn"](dict.fromkeys("abcd", values["a"]), of)
    rng = np.random.default_rng(4)
    tables = [np.stack(list(redrawn.table(rng, 5, 2)[0].values())) for _ in range(200)]
    assert tables[0].shape[:3] == (12, 2, 5)
    means = np.array([table.mean((2, 3)) for table in tables])
    assert means.mean(0).max(1) == pytest.approx([0, 0.1] * 6, abs=0.02)
    found = stats.moments(values["a"], of)
    expected = np.maximum(found.v_f - found.v_e, 0) / 2 + np.maximum(found.v_s - found.v_e, 0) * 4 / 5
    assert means.var(0).mean(0) == pytest.approx(expected, rel=0.35)


def test_more_seeds_and_more_facts_tell_more_pairs_apart(power, own):
    redrawn = power["Redrawn"](*own)
    few, _ = power["told_apart"]([redrawn], 3, 1, 3)
    both, _ = power["told_apart"]([redrawn, redrawn], 6, 1, 3)
    many, wrong = power["told_apart"]([redrawn], 24, 6, 3)
    assert few < both
    assert few < 0.5 < many
    assert wrong < 0.1


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
