"""What a plan takes, from the seconds of cells that were measured."""

from __future__ import annotations

import pytest

from harness.core.names import ANALYSIS, ATTACK, EVALUATION, SMOLLM2, TINY, UTILITY
from harness.engine.source import Source
from harness.plugins.registry import Registry
from harness.runner.estimate import LONG, MANY, TARGET, Estimate, Known, estimate, measured, shipped
from harness.runner.plan import Cell, Group, Plan, Spec, Target

STAGES = {"e": EVALUATION, "u": UTILITY, "a": ATTACK, "b": ATTACK, "n": ANALYSIS, "m": ANALYSIS}
"""By the first letter of a cell's key."""


def spec(kind, name):
    return Spec(kind, name, "p 1", "s", "{}", "{}")


def cell(key):
    attack = spec("attack", f"attack-{key[0]}") if STAGES[key[0]] == ATTACK else None
    if key[0] == "m":  # of the model after the attack `a`
        attack = spec("attack", "attack-a")
    analysis = spec("analysis", "gap") if STAGES[key[0]] == ANALYSIS else None
    return Cell(key, 0, STAGES[key[0]], attack, "p=1" if attack else "", analysis=analysis)


def plan(*groups):
    """A plan of ``(method, keys of cells)`` on one benchmark, with one model to train."""
    made = [
        Group(
            key=f"{method}{number}",
            protocol="2",
            family="t",
            replicate=0,
            benchmark=spec("benchmark", "world"),
            data_fingerprint="d",
            target="t",
            trained=True,
            twin=None,
            method=spec("method", method),
            seed=number,
            cells=tuple(map(cell, keys)),
        )
        for number, (method, keys) in enumerate(groups)
    ]
    return Plan(Source("big"), made, {"t": Target(spec("benchmark", "world"), "original")})


def row(key, seconds, method="mine", **changes):
    """A measured cell."""
    attack = f"attack-{key[0]}" if STAGES.get(key[0]) == ATTACK else "none"
    attack = "attack-a" if key[0] == "m" else attack
    plain = {
        "benchmark": "world",
        "model": "big",
        "dtype": "float32",
        "stage": STAGES.get(key[0], TARGET),
        "method": method,
        "attack": attack,
        "variant": "p=1" if attack != "none" else "",
        "analysis": "gap" if STAGES.get(key[0]) == ANALYSIS else "",
        "status": "ok",
        "seconds": seconds,
    }
    return plain | changes


def seconds_of(plan, rows, done=(), workers=1, to_train=(), table=()):
    return estimate(plan, "big", {*done}, to_train, workers, [measured(rows), Known(table)])


def test_cells_take_what_cells_of_the_same_method_and_attack_took():
    rows = [row("e1", 20.0), row("e2", 40.0), row("a1", 3.0), row("u1", 1.0), row("a9", 99.0, method="other")]
    found = seconds_of(plan(("mine", ["e1", "u1", "a1"])), rows)
    assert found.cells == {"e1": 30.0, "u1": 1.0, "a1": 3.0}
    assert (found.seconds, found.unknown) == (34.0, 0)


@pytest.mark.parametrize(
    "change", [{"benchmark": "other"}, {"model": "small"}, {"dtype": "bfloat16"}, {"status": "failed"}]
)
def test_other_work_says_nothing(change):
    found = seconds_of(plan(("mine", ["e1"])), [row("e1", 20.0, **change)])
    assert found.cells == {"e1": None}
    assert (found.seconds, found.unknown) == (0.0, 1)


def test_of_a_method_that_was_never_measured_the_mean_of_others_stands():
    rows = [row("e1", 20.0, "x"), row("e1", 40.0, "y"), row("e1", 1.0, "none"), row("a1", 2.0, "none")]
    assert seconds_of(plan(("mine", ["e1", "a1"])), rows).cells == {"e1": 30.0, "a1": 2.0}


def test_the_table_of_elsewhere_comes_second_and_before_other_methods():
    table = [row("e1", 50.0), row("b1", 5.0, method="")]
    rows = [row("e1", 20.0, "x"), row("a1", 2.0, "x")]
    found = seconds_of(plan(("mine", ["e1", "a1", "b1"])), rows, table=table)
    assert found.cells == {"e1": 50.0, "a1": 2.0, "b1": 5.0}
    assert seconds_of(plan(("mine", ["e1"])), [*rows, row("e1", 7.0)], table=table).seconds == 7.0


def test_what_is_done_takes_no_time_and_unlearning_is_done_again_for_the_rest():
    rows = [row("e1", 20.0), row("a1", 3.0), row("b1", 1.0)]
    whole = plan(("mine", ["e1", "a1", "b1"]))
    assert seconds_of(whole, rows, done=["e1"]).cells == {"a1": 23.0, "b1": 1.0}
    assert seconds_of(whole, rows, done=["e1", "a1", "b1"]) == Estimate({}, [], 1, 0.0)


def test_an_analysis_after_an_attack_that_is_there_already_bears_the_attack_again():
    rows = [row("e1", 20.0), row("a1", 3.0), row("n1", 0.5), row("m1", 0.25)]
    whole = plan(("mine", ["e1", "n1", "a1", "m1", "m2"]))
    assert seconds_of(whole, rows).cells == {"e1": 20.0, "n1": 0.5, "a1": 3.0, "m1": 0.25, "m2": 0.25}
    left = seconds_of(whole, rows, done=["e1", "n1", "a1"]).cells
    assert left == {"m1": 23.25, "m2": 0.25}


def test_workers_share_the_models_and_then_the_groups():
    groups = [("mine", ["e1"]), ("mine", ["e2"]), ("mine", ["e3"])]
    rows = [row("e1", 20.0), row("target", 60.0, method="")]
    assert seconds_of(plan(*groups), rows, workers=2).seconds == 40.0
    assert seconds_of(plan(*groups), rows, workers=8).seconds == 20.0
    found = seconds_of(plan(*groups), rows, workers=2, to_train=["t"])
    assert (found.seconds, found.models) == (100.0, [60.0])
    assert seconds_of(plan(*groups), [row("e1", 20.0)], to_train=["t"]).models == [None]


@pytest.mark.parametrize(
    ("seconds", "unknown", "is_long"),
    [(LONG, 0, False), (LONG + 1, 0, True), (0.0, MANY, False), (0.0, MANY + 1, True)],
)
def test_a_run_is_long_by_its_seconds_or_where_much_is_not_known(seconds, unknown, is_long):
    assert Estimate(dict.fromkeys(map(str, range(unknown))), [], 2, seconds).is_long == is_long


def test_the_table_that_is_shipped_names_what_is_installed_and_lasts_for_the_committed_grid():
    registry = Registry()
    works = shipped().means
    assert {work.model for work in works} == {TINY, SMOLLM2}
    assert {work.benchmark for work in works} <= {*registry.benchmarks}
    composed = [work.method.split("+") for work in works if work.method]
    assert {method for method, *_ in composed} <= {*registry.methods}
    assert {modifier for _, *modifiers in composed for modifier in modifiers} <= {*registry.modifiers}
    assert {work.attack for work in works} - {"none"} <= {*registry.attacks}
    for model, benchmark in {(work.model, work.benchmark) for work in works}:
        stages = {work.stage for work in works if (work.model, work.benchmark) == (model, benchmark)}
        trained = {TARGET, UTILITY} if model == TINY else set()
        assert stages == {EVALUATION, ATTACK} | trained
    assert all(0 < seconds < LONG for seconds in works.values())
