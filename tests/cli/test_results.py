"""`harness results` shows what runs left, and runs nothing."""

from __future__ import annotations

import pytest

from harness.store.store import Store
from support.cells import cell, world
from support.command import harness_cli
from support.results import committed


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    store = Store(folder)
    for row, outcome in world():
        store.commit(row, outcome)
    return folder


@pytest.mark.parametrize("level", ["-q", "-v"])
def test_it_shows_methods_and_controls_at_every_verbosity_and_writes_nothing(place, level):
    before = committed(place)
    ended = harness_cli(level, "results", "--results", place)
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("world, tiny: accuracy on the facts to forget")
    shown = [line.split()[0] for line in lines if line]
    for method in ("ssiuu", "gd", "npo", "none", "retrain"):
        assert shown.count(method) >= 1
    assert ended.err.endswith("1 of 30 cells failed; the next run tries them again.\n")
    assert committed(place) == before


def test_every_attack_is_shown_with_details_alone(place):
    short, full = (harness_cli("results", "--results", place, *more) for more in ((), ("--details",)))
    assert full.out.startswith(short.out)
    assert "rank 2: gd; it is worse than ssiuu." in full.out
    assert "rank 2: gd" not in short.out


def test_several_directories_are_shown_as_one(place, tmp_path):
    store = Store(tmp_path / "more")
    for seed in range(3):
        store.commit(*cell("gd", seed=seed, known=4, benchmark="other"))
    ended = harness_cli("results", "--results", place, "--results", tmp_path / "more")
    assert ended.out.count("on the facts to forget") == 2


@pytest.mark.parametrize(
    ("there", "says"), [(False, "There is no results directory"), (True, "There are no results yet")]
)
def test_without_results_it_says_what_to_do(tmp_path, there, says):
    place = tmp_path / "results"
    if there:
        (place / "cells").mkdir(parents=True)
    ended = harness_cli("results", "--results", place)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.sentence
    assert len(ended.err.splitlines()) == 1
