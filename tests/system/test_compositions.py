"""Runs of methods with modifiers over them: rows of their own, resumable, under keys that hold all parts."""

from __future__ import annotations

import json

import pytest

import harness
from harness.store.decided import key_of, without_versions
from support.paths import ROOT
from support.results import numbers, rows

CAPPED = ROOT / "docs" / "examples" / "capped.py"


def unlearned(place):
    """The row before any attack, by method."""
    return {row["method"]: row for row in rows(place, stage="evaluation")}


@pytest.fixture(scope="module")
def compositions():
    """Options of the runs below."""
    return ("nudge:small", "stub", "--set", "sam.rho=0.5", "--set", "project.when=always")


def test_a_composition_is_a_method_of_its_own_beside_the_one_that_it_changes(world, compositions):
    methods = "gd,gd+sam,gd+project+signsgd"
    ended = world.run(methods, *compositions, seeds=1, controls=False)
    assert ended.code == 0, ended.err
    made = unlearned(world.path())
    assert {*made} == {*methods.split(",")}
    assert all(row["status"] == "ok" and key_of(row) == row["key"] for row in made.values())
    settings = {name: json.loads(row["method_config"]) for name, row in made.items()}
    assert settings["gd+sam"]["sam.rho"] == 0.5
    assert {k: v for k, v in settings["gd+sam"].items() if k != "sam.rho"} == settings["gd"]
    assert json.loads(made["gd+project+signsgd"]["notes"])["projected"] == 1
    assert {row["method_plugin"] for row in made.values()} == {made["gd"]["method_plugin"]}
    assert len({row["method_source"] for row in made.values()}) == 3

    board = harness.load(world.path()).leaderboard
    assert {*board["method"].to_pylist()} == {*made}

    again = world.run("gd+sam", *compositions[:4], seeds=1, controls=False)
    assert again.code == 0, again.err
    assert len(rows(world.path())) == 6
    assert world.run("gd", *compositions[:2], seeds=1, controls=False, results="alone").code == 0
    assert {row["key"] for row in rows(world.path("alone"))} <= {row["key"] for row in rows(world.path())}


def test_with_a_strength_of_0_a_row_holds_the_same_numbers(world):
    off = ("--set", "sam.rho=0", "--set", "ilu.lambda=0")
    ended = world.run("gd,gd+sam+ilu", "nudge:small", "stub", *off, seeds=1, controls=False)
    assert ended.code == 0, ended.err
    found = numbers(world.path())
    method_of = {row["key"]: row["method"] for row in found["cells"]}
    points = {"gd": [], "gd+sam+ilu": []}
    for row in (*found["metrics"], *found["samples"]):
        values = {name: value for name, value in row.items() if name != "key"}
        points[method_of[row["key"]]].append(str(sorted(values.items())))
    assert sorted(points["gd"]) == sorted(points["gd+sam+ilu"])
    assert len(points["gd"]) > 10


@pytest.mark.parametrize(
    ("methods", "options", "says"),
    [
        (
            "rmu+sam",
            (),
            "rmu+sam makes no sense: the definition of 'rmu' chooses which weights train or stops",
        ),
        ("none+undo", (), "none+undo makes no sense: 'none' is no gradient method"),
        ("gd+signsgd", ("--set", "gd.optimizer=sgd"), "do not fit together: 'gd' steps by sgd, and signsgd"),
        ("gd+smm", (), "There is no modifier 'smm'. Did you mean 'sam'?"),
        ("gd", ("--set", "sam.rho=1"), "the modifier 'sam' is not part of this run"),
    ],
)
def test_what_makes_no_sense_ends_the_run_before_it_begins(methods, options, says, world):
    ended = world.run(methods, "none", "stub", *options, seeds=1, controls=False)
    assert ended.code == 2
    assert says in " ".join(ended.err.split())
    assert not world.path().exists()


def test_what_a_benchmark_lacks_is_left_out_and_named(world):
    ended = world.run("gd,gd+ilu", "none", "stub-bare", seeds=1, controls=False)
    assert ended.code == 0, ended.err
    assert "gd+ilu on stub-bare: the benchmark has no split 'instruct' (ilu.data)." in " ".join(
        (ended.err + ended.out).split()
    )
    assert {*unlearned(world.path())} == {"gd"}


def test_a_modifier_from_a_file_is_in_the_row_by_its_content(world):
    options = ("--plugin", CAPPED, "--set", "capped.most=0.5")
    ended = world.run("gd+capped", "none", "stub", *options, seeds=1, controls=False)
    assert ended.code == 0, ended.err
    [row] = unlearned(world.path()).values()
    ours, _, theirs = row["method_plugin"].partition(" + ")
    assert ours.startswith("unlearning-harness ")
    assert theirs.startswith("capped.py ")
    assert without_versions(row, ["method_plugin"]) == ("unlearning-harness + capped.py",)
    assert key_of(row) == row["key"]
