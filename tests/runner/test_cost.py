"""Seconds of what was not measured: the fit finds what made them, and says how far off it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.runner.cost import CostModel, Kind, Measured, factor, flops, within
from harness.runner.grid_cost import shipped_points

CELL, STEP, LOOK, SPEED = 0.5, 0.05, 0.2, 40.0
"""What made the cells below: seconds of a cell, a step and a look, and TFLOP/s."""


def made(kind, steps, looks, tera, device="GPU", rho=1.0, parameters=1e8):
    seconds = rho * (CELL + STEP * steps + LOOK * looks + tera / SPEED)
    return Measured(device, parameters, kind, seconds, steps, looks, tera * 1e12, budget=2 * steps)


WORK = [(0, 1, 1), (0, 9, 5), (20, 4, 30), (60, 5, 400), (100, 1, 90), (10, 30, 2000), (40, 2, 7000)]
KINDS = [Kind("attack", f"a{number}") for number in range(len(WORK))]
CELLS = [made(kind, *work) for kind, work in zip(KINDS, WORK, strict=True)]


def test_the_fit_finds_what_a_cell_a_step_a_look_and_a_flop_take():
    model = CostModel(CELLS)
    assert model.devices["GPU"] == pytest.approx((CELL, STEP, LOOK, 1 / SPEED, 1 / SPEED), rel=1e-3)
    new = made(Kind("attack", "new"), 33, 7, 12_000)
    assert model.seconds(new) == pytest.approx(new.seconds, rel=1e-3)
    assert within(model.errors("GPU")) == pytest.approx(1, abs=1e-2)
    assert model.share(KINDS[2]) == model.share(Kind("attack", "new")) == 0.5


def test_what_a_kind_takes_beside_that_goes_with_it_to_another_device():
    slow = [replace(made(kind, *work, device="CPU"), seconds=10 * made(kind, *work).seconds)
            for kind, work in zip(KINDS, WORK, strict=True)]  # fmt: skip
    other = made(Kind("evaluation", "twice"), 30, 3, 300, rho=2.0)
    model = CostModel([*CELLS, *CELLS, *slow, other])
    found = model.seconds(replace(other, device="CPU"))
    assert found == pytest.approx(10 * other.seconds, rel=0.1)
    alone = CostModel([*CELLS, *slow]).seconds(replace(other, device="CPU"))
    assert alone == pytest.approx(5 * other.seconds, rel=0.01)


def test_a_device_that_was_not_measured_has_the_speed_that_it_is_given():
    model = CostModel(CELLS).at("other", 4.0, like="GPU")
    work = made(KINDS[0], 10, 2, 8000, device="other")
    assert model.seconds(work) == pytest.approx(CELL + STEP * 10 + LOOK * 2 + 2000, rel=1e-2)


def test_operations_are_those_of_three_passes_in_training_and_one_in_scoring():
    assert flops(1e9, 1000, 500) == 6e12 + 1e12
    assert factor(2, 4) == factor(4, 2) == 2
    assert within([1.0, 5.0, 2.0, 3.0, 9.0]) == 5.0


def test_the_committed_cells_are_told_within_the_factor_that_the_documentation_names():
    """Cells of a method or an attack that the fit has not seen on that device, and a larger model."""
    model = CostModel([*shipped_points()])
    assert {"CPU", "NVIDIA H200"} <= model.devices.keys()
    for device in ("CPU", "NVIDIA H200"):
        factors = model.errors(device)
        assert len(factors) > 15
        assert within(factors) < 2.3
    larger = model.errors_of_size()
    assert len(larger) >= 13
    assert within(larger) < 4
