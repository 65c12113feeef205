"""What a run computes depends on what was asked for, and not on how the work was cut up."""

from __future__ import annotations

import harness.api
import harness.engine.cell
from support.results import committed, numbers, rows, total

TABLES = ("cells", "metrics", "samples")


def found_in(undisturbed):
    return {name: undisturbed[name] for name in TABLES}


def test_every_cell_of_the_plan_is_a_row(undisturbed):
    assert total(undisturbed["ended"].out) == (48, 0)
    assert {row["status"] for row in undisturbed["cells"]} == {"ok"}
    assert len(undisturbed["cells"]) == 48


def test_the_stub_is_worth_comparing(undisturbed):
    """Its rows differ from each other: equal results are no accident of a model that learns nothing."""
    scores = {
        (row["method"], row["attack"], row["variant"], metric["value"])
        for row in undisturbed["cells"]
        for metric in undisturbed["metrics"]
        if metric["key"] == row["key"] and metric["metric"] == "probability" and metric["step"] is None
    }
    assert len({value for *_, value in scores}) > 24


def test_two_workers_find_what_one_process_finds(undisturbed, world):
    ended = world.start("gd", "private-data,instruction,nudge", "stub", "--jobs", 2).wait()
    assert ended.code == 0, ended.err
    assert numbers(world.path()) == found_in(undisturbed)


def test_the_order_of_methods_changes_no_number(undisturbed, world):
    assert world.run("gd,refusal,retrain,none", controls=False).code == 0
    assert numbers(world.path()) == found_in(undisturbed)


def test_attacks_start_from_the_same_unlearned_weights_in_any_order(undisturbed, world):
    assert world.run("gd", "nudge,instruction,private-data").code == 0
    assert numbers(world.path()) == found_in(undisturbed)


def test_two_runs_find_what_one_run_finds(undisturbed, world):
    assert world.run("gd", "nudge:large", controls=False).code == 0
    kept = committed(world.path())
    ended = world.run()
    assert total(ended.out) == (48, len(kept))
    assert numbers(world.path()) == found_in(undisturbed)
    assert kept.items() <= committed(world.path()).items()


def test_a_second_run_computes_nothing(world, monkeypatch):
    first = world.run("gd", "nudge", controls=False)
    kept = committed(world.path())
    monkeypatch.setattr(harness.api, "execute", None)  # calling it would raise
    second = world.run("gd", "nudge", controls=False)
    assert second.code == 0
    assert total(second.out) == (6, 6)
    assert committed(world.path()) == kept
    table = first.out.index("stub, ")
    assert second.out[second.out.index("stub, ") :] == first.out[table:]


def test_a_method_without_a_seed_is_evaluated_once_for_all_seeds(world, monkeypatch):
    evaluated = world.folder / "evaluated"

    def evaluate(subject, real=harness.engine.cell.evaluate):
        with evaluated.open("a") as file:  # in the process of the group
            file.write("once\n")
        return real(subject)

    monkeypatch.setattr(harness.engine.cell, "evaluate", evaluate)
    assert world.run("none", "none", controls=False, seeds=3).code == 0
    assert evaluated.read_text() == "once\n"
    kept = numbers(world.path())
    assert [row["seed"] for row in sorted(kept["cells"], key=lambda row: row["seed"])] == [0, 1, 2]
    of_seed = [
        [{**metric, "key": None} for metric in kept["metrics"] if metric["key"] == row["key"]]
        for row in kept["cells"]
    ]
    assert of_seed[0] == of_seed[1] == of_seed[2] != []


def test_what_unlearning_cost_is_counted_once(undisturbed):
    """Seeds that share an unlearned model would otherwise seem to have trained it twice."""
    for method, times in {"none": 1, "retrain": 1, "gd": 2}.items():
        before = rows(undisturbed["folder"] / "results", method=method, attack="none")
        assert sum(row["seconds"] > 0 for row in before) == times
