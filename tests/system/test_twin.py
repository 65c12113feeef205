"""Comparing with the retrain twin: it is scored once, and where there is none, nothing is made up."""

from __future__ import annotations

import json

import pytest

import harness.runner.worker
from harness.core.types import Sample
from harness.store.scores import read_samples, write_samples
from harness.store.store import Store
from support.results import numbers, rows


@pytest.fixture
def run(world):
    """A run with a cache of its own."""

    def start(methods="gd", attacks="none", benchmark="stub-compared", *more, code=0, **options):
        ended = world.run(methods, attacks, benchmark, "--cache", world.folder / "cache", *more, **options)
        assert ended.code == code, ended.err
        return ended

    return start


def distances(world, results="results"):
    """By method, its distance from the twin under each seed."""
    store = Store(world.path(results))
    method = {row["key"]: row["method"] for row in store.cells().to_pylist()}
    found = {}
    for metric in store.metrics().to_pylist():
        if metric["metric"] == "distance":
            found.setdefault(method[metric["key"]], []).append(metric["value"])
    return found


def kept(world):
    """The files of twins' samples, and what changes when one is written again."""
    return {path: path.stat().st_mtime_ns for path in (world.folder / "cache" / "twins").glob("*")}


def test_the_twin_does_not_differ_from_itself_and_the_original_does(run, world):
    run()
    found = distances(world)
    assert found["retrain"] == [0.0, 0.0]
    assert min(found["none"]) > 0.01
    assert found.keys() == {"none", "retrain", "refusal", "gd"}


def test_the_twin_is_scored_once_for_all_methods_and_runs(run, world):
    run("none", controls=False)
    before = kept(world)
    assert len(before) == 1
    run("gd,npo", controls=False, seeds=1)
    run("none", controls=False, results="elsewhere")
    assert kept(world) == before
    assert distances(world)["none"] == distances(world, "elsewhere")["none"]


def test_two_workers_find_what_one_process_finds(run, world):
    run()
    one = kept(world)
    child = world.start(
        "gd", "none", "stub-compared", "--cache", world.folder / "cache2", "--jobs", 2, results="two"
    )
    assert child.wait().code == 0
    assert numbers(world.path("two")) == numbers(world.path())
    [first], [second] = one, (world.folder / "cache2" / "twins").glob("*")
    assert first.name == second.name
    assert read_samples(first) == read_samples(second)


def test_a_benchmark_that_compares_nothing_costs_nothing(run, world):
    run(benchmark="stub")
    assert not (world.folder / "cache" / "twins").exists()


def test_attacks_wait_for_the_twin_because_unlearning_stops_at_its_score(run, world):
    run("none", controls=False)
    [path] = kept(world)
    scored = read_samples(path)
    path.unlink()
    run("none", "nudge:small", controls=False)
    assert list(kept(world)) == [path]
    assert read_samples(path) == scored
    assert len(rows(world.path(), attack="nudge", status="ok")) == 2


def test_a_damaged_file_is_made_again(run, world):
    run("none", controls=False)
    [path] = kept(world)
    whole = read_samples(path)
    path.write_bytes(path.read_bytes()[:-20])
    run("none", controls=False, results="again")
    assert read_samples(path) == whole
    assert distances(world) == distances(world, "again")


@pytest.mark.parametrize("what", ["score", "write_samples"])
def test_a_twin_that_could_not_be_scored_fails_all_that_is_held_against_it_and_nothing_else(
    run, world, monkeypatch, what
):
    def fail(*_):
        if what == "write_samples":
            raise RuntimeError("no room for a twin")

    place = harness.runner.worker.Worker if what == "score" else harness.runner.worker
    monkeypatch.setattr(place, what, fail)
    ended = run("none", "nudge:small", "stub,stub-compared", controls=False, seeds=1, code=1)
    failed = rows(world.path(), benchmark="stub-compared")
    assert {row["attack"]: row["status"] for row in failed} == {"none": "failed", "nudge": "failed"}
    for row in failed:
        assert "The scores of the retrain twin are not in " in row["error_message"]
        assert "Run again" in row["error_message"]
    others = rows(world.path(), benchmark="stub")
    assert {row["attack"]: row["status"] for row in others} == {"none": "ok", "nudge": "ok"}
    assert ("no room for a twin" in ended.err) == (what == "write_samples")


def test_where_there_is_no_twin_the_metric_is_left_out_and_the_row_says_why(run, world):
    run(benchmark="stub-alone")
    assert distances(world) == {}
    for row in rows(world.path(), attack="none"):
        assert json.loads(row["notes"])["not_computed"] == {
            "distance": "there is no retrain twin",
            "holdout.probability": "there is no split 'holdout'",
        }


def test_samples_come_back_as_they_were_written(tmp_path):
    samples = [Sample("forget", "m", "a", 0.1), Sample("holdout", "m", "b", float("-inf"))]
    write_samples(tmp_path / "deep" / "x.parquet", samples)
    assert read_samples(tmp_path / "deep" / "x.parquet") == samples
    assert read_samples(tmp_path / "absent.parquet") is None
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.parquet"]
