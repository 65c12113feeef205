"""`harness plan`: the plan alone, what it costs, and what there is nothing to estimate from."""

from __future__ import annotations

import re

import pytest

from harness.cli.plan import hours, memory, summary
from harness.runner.estimate import Estimate
from harness.runner.grid_cost import GridCost
from harness.runner.keeping import GIB, Room
from harness.runner.memory import Memory
from support.command import harness_cli

GRID = (
    "--benchmarks",
    "tofu-mini",
    "--methods",
    "gd",
    "--attacks",
    "quantize,gcg",
    "--seeds",
    1,
    "--no-controls",
)


def plan(folder, *more):
    return harness_cli("plan", *GRID, "--results", folder / "results", "--cache", folder / "cache", *more)


def test_a_grid_costs_what_was_measured_and_else_what_the_fit_says(tmp_path):
    ended = plan(tmp_path, "--cost", "--on", "NVIDIA H200", "--jobs", 1)
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"tofu-mini\W+gd\W+5\W+0\.\d+ \(\+ 1 cells\)\W+\d\.\d", ended.out)
    assert "cells with seconds that were measured: 0; that are fitted: 4" in ended.out
    assert "not in it: 1 cell and 0 models of which nothing is known" in ended.out
    [first, second] = re.findall(r"within x([\d.]+) for 80% of \d+ kinds of cells", ended.out)
    assert 1 < float(first) < 3
    assert 1 < float(second) < 5
    assert re.search(r"memory: at most 0\.\d\d GiB for each worker \(gd", ended.out)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--cost", "--on", "NVIDIA A100"), "Nothing was measured on NVIDIA A100, so there is nothing to"),
        (("--cost", "--tflops", 0), "--tflops 0: it must be a number above 0."),
        (("--tflops", 9), "--on and --tflops are of --cost: give that as well."),
        (("--device", "cuda:7"), "--device cuda:7: torch sees"),
        (("--device", "gpu"), "--device gpu: it must be cpu, cuda, cuda:NUMBER or mps."),
        (("--offload", "--analyses", "lens"), "--offload: analyses hold several models beside each other"),
    ],
)
def test_what_cannot_be_is_one_sentence(more, sentence, tmp_path):
    ended = plan(tmp_path, *more)
    assert ended.code == 2
    assert ended.err.startswith(f"Error: {sentence}")
    assert len(ended.err.splitlines()) == 1


def test_the_summary_adds_up_and_says_how_far_off_it_is():
    left = Estimate({"a": 3600.0, "b": 1800.0, "c": None}, [1800.0], 2, 3600.0)
    room, needed = Room(2, GIB, 2 * GIB), Memory({}, "gd on x", 3 * GIB)
    cost = GridCost("GPU", left, [], 1, GIB, 0.0, room, needed, [1.0, 1.5, 2.0, 3.0, 9.0], [])
    assert [*summary(cost)] == [
        "device hours: 2; about 1 h on 2 workers",
        "cells with seconds that were measured: 1; that are fitted: 1",
        "not in it: 1 cell and 0 models of which nothing is known (lm-eval, analyses, training)",
        "error of the fit: within x3.0 for 80% of 5 kinds of cells of methods and attacks that are new to it",
        f"on disk: results of about 1.00 GiB; kept models: {room}",
        "memory: at most 3.00 GiB for each worker (gd on x)",
    ]
    assert hours(7200.0, 0, 3) == "2"
    assert hours(0.0, 3, 3) == "?"
    assert (memory(2.5 * GIB), memory(0.0)) == ("2.5", "?")
