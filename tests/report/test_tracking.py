"""The names and numbers by which a tracker is told of a cell."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from harness.report.tracking import finals, label, points
from harness.store.store import Store
from support.cells import cell

CELL = {
    **{"stage": "attack", "attack": "private-data", "variant": "p=0.1", "analysis": ""},
    **{"seconds": 2.5, "steps": 0, "tokens": 7, "peak_memory_mib": 0.0},
}


def metric(value, step=None, rate=None, **more):
    own = {"split": "forget", "metric": "accuracy", "low": None, "high": None}
    return own | {"value": value, "step": step, "learning_rate": rate} | more


def test_a_curve_has_a_line_for_each_rate_and_all_begin_at_step_0():
    metrics = [metric(0.1, 0), metric(0.2, 5, 1e-5), metric(0.4, 5, 1e-4), metric(0.5, 9, 1e-4), metric(0.6)]
    line = "private-data p=0.1 curve/forget/accuracy/lr"
    assert sorted(points(CELL, metrics)) == [
        *((0, f"{line} 0.0001", 0.1), (0, f"{line} 1e-05", 0.1)),
        *((5, f"{line} 0.0001", 0.4), (5, f"{line} 1e-05", 0.2), (9, f"{line} 0.0001", 0.5)),
    ]


def test_a_curve_without_rates_is_one_line():
    assert [*points(CELL, [metric(0.1, 0)])] == [(0, "private-data p=0.1 curve/forget/accuracy", 0.1)]


def test_what_was_not_measured_has_no_number():
    found = finals(CELL, [metric(0.6, low=0.5), metric(0.9, 3, 1e-5)])
    where = "private-data p=0.1"
    assert found == {
        **{f"{where}/forget/accuracy": 0.6, f"{where}/forget/accuracy low": 0.5},
        **{f"{where}/seconds": 2.5, f"{where}/steps": 0, f"{where}/tokens": 7},
    }


def test_each_stage_has_a_name():
    named = {
        "unlearning": CELL | {"stage": "evaluation", "attack": "none", "variant": ""},
        "lm-eval": CELL | {"stage": "utility", "attack": "none", "variant": ""},
        "lens": CELL | {"stage": "analysis", "analysis": "lens", "attack": "none", "variant": ""},
        "lens after private-data p=0.1": CELL | {"stage": "analysis", "analysis": "lens"},
    }
    assert {name: label(cell) for name, cell in named.items()} == {name: name for name in named}


TELL = """
import sys
from pathlib import Path
from harness.report.tracking import tracked

tracker, results = sys.argv[1], Path(sys.argv[2])
keys = {path.stem for path in (results / "cells").iterdir()}
for _ in range(2):  # the second time nothing is new
    with tracked(tracker, results, keys):
        pass
"""
LOOK = """
import json
import trackio
from trackio.sqlite_storage import SQLiteStorage

(run,) = trackio.Api().runs("unlearning-harness")
print(json.dumps([run.name, run.config, SQLiteStorage.get_logs("unlearning-harness", run.name)]))
"""


@pytest.fixture
def told(tmp_path):
    """``told(tracker, ...)``: a script that tells a real tracker of two cells, in a process of its own.

    A tracker leaves threads and processes behind, and takes its places from the environment once.
    """
    store = Store(tmp_path / "results")
    for row, outcome in (cell("gd", known=4), cell("gd", "private-data", known=14)):
        store.commit(row, outcome)

    def told(tracker, more=""):
        pytest.importorskip(tracker, reason=f"the extra '{tracker}' is not installed")
        own = {"TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}
        own |= {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
        left = {n: v for n, v in os.environ.items() if not n.startswith(("TRACKIO_", "WANDB_"))}
        words = [sys.executable, "-c", TELL + more, tracker, store.root]
        ended = subprocess.run(words, capture_output=True, text=True, env=left | own, cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    return told


def test_trackio_keeps_curve_and_finals_in_its_own_files(told):
    name, config, logs = json.loads(told("trackio", LOOK))
    assert name.startswith("world gd seed 0 ")
    assert (config["method"], config["seed"], config["benchmark"]) == ("gd", 0, "world")
    curve = "private-data p=0.1 curve/forget/accuracy/lr 1e-05"
    assert [(log["step"], log[curve]) for log in logs if curve in log] == [(5, 14 / 20)]
    for final, value in (
        ("unlearning/forget/accuracy", 4 / 20),
        ("private-data p=0.1/forget/accuracy", 14 / 20),
        ("unlearning/all/utility", 0.6),
        ("unlearning/seconds", 1.0),
    ):
        assert [log[final] for log in logs if final in log] == [value]


def test_wandb_keeps_them_where_there_is_no_network(told, tmp_path):
    assert told("wandb") == ""
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()
    for name in (b"private-data p=0.1 curve/forget/accuracy/lr 1e-05", b"unlearning/forget/accuracy"):
        assert name in content
