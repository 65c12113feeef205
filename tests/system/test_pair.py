"""A ready pair: two models that are there already are taken as they are, and must be a pair."""

from __future__ import annotations

import json
import shutil

import pytest

import harness.model.loading
from harness.engine.source import Source
from harness.engine.targets import recipes
from harness.plugins.registry import Registry
from harness.store.store import Store
from support.command import harness_cli
from support.results import rows
from support.site import on_path

NO_THRESHOLD = '''
"""A benchmark that says nothing of what counts as forgotten."""

from stub_plugin.benchmarks import Stub


class Open(Stub):
    """The stub, where the twin says what counts as forgotten."""

    name = "stub-open"

    def threshold(self, splits):
        return None
'''


@pytest.fixture(scope="module")
def ready(stub_places, tmp_path_factory):
    """Directories with an original, its twin and a model that knows nothing, as somebody else made them."""
    site, base, cache = stub_places
    place = tmp_path_factory.mktemp("ready")
    with on_path(site):
        benchmark = Registry().kinds["benchmark"]["stub"].load()()
        made = recipes(benchmark, benchmark.load(), Source(str(base)))
        trained = {"full": made["original"].make(cache), "retain": made["retrain"].make(cache)}
    for name, path in (trained | {"base": base}).items():
        shutil.copytree(path, place / name, ignore=shutil.ignore_patterns("harness.json"))
    return place


@pytest.fixture
def run(world, ready):
    """A run with a ready pair and a cache of its own."""

    def start(original="full", retrain="retain", *more, benchmark="stub", code=0, **options):
        given = world.options("none", "none", benchmark, *more, **({"seeds": 1} | options))
        at = given.index("--model")
        given[at : at + 2] = ["--original", ready / original]
        given += [] if retrain is None else ["--retrain", ready / retrain]
        ended = harness_cli(*given, "--cache", world.folder / "cache")
        assert ended.code == code, ended.err
        return ended

    return start


def error(ended):
    """What it ended with, after the tasks that were done before."""
    return ended.err.rpartition("Error: ")[2].strip()


def notes(world, method):
    """What the row of a method's evaluation says."""
    [row] = rows(world.path(), method=method, status="ok")
    return json.loads(row["notes"])


def scores(world, method):
    """A method's score on the forget set."""
    [row] = rows(world.path(), method=method)
    metrics = Store(world.path()).metrics().to_pylist()
    asked = row["key"], "forget", "probability", None
    [value] = [m["value"] for m in metrics if (m["key"], m["split"], m["metric"], m["step"]) == asked]
    return value


def test_both_are_taken_as_they_are_and_the_twin_says_what_counts_as_forgotten(run, world, tmp_path):
    (plugin := tmp_path / "open.py").write_text(NO_THRESHOLD)
    ended = run("full", "retain", "--plugin", plugin, benchmark="stub-open")
    assert "model: full, retrain: retain " in ended.out
    assert "warning" not in ended.err
    assert {row["model"] for row in rows(world.path(), status="ok")} == {"full"}
    assert not (world.folder / "cache" / "targets").exists()
    assert len(list((world.folder / "cache" / "twins").iterdir())) == 2
    said = notes(world, "none")
    assert (said["threshold_rule"], said["threshold"]) == ("twin", scores(world, "retrain"))
    assert scores(world, "retrain") < scores(world, "none") / 2
    [control] = rows(world.path(), method="retrain")
    assert (said["retrain_model"], said["retrain_target"]) == ("retain", control["twin_key"])
    assert "pair" not in said


def test_what_a_run_was_told_does_the_same_again(run, world):
    run(controls=False)
    [kept] = (world.path() / "runs").iterdir()
    places = ("--results", world.path(), "--cache", world.folder / "cache")
    assert "cells: 1, of which 1 are in " in harness_cli("run", "--config", kept, *places, "--dry-run").out


def test_an_original_alone_has_no_twin(run, world):
    ended = run("full", None)
    assert "left out: retrain on stub: there is no --retrain." in ended.out
    assert {row["method"] for row in rows(world.path(), status="ok")} == {"none", "refusal"}
    assert not (world.folder / "cache").exists()


@pytest.mark.parametrize(
    ("original", "retrain", "said"),
    [
        (
            "retain",
            "full",
            "they look exchanged: the second one knows the forget set better (probability",
        ),
        ("full", "again", "they know the forget set alike, so nothing can be learned from them (probability"),
        ("full", "copy", "are the same model, file by file: give a --retrain that never saw the forget set"),
        ("full", "nowhere", "There is no model directory"),
    ],
)
def test_a_pair_that_is_none_is_one_sentence_and_nothing_is_unlearned(
    run, world, ready, original, retrain, said
):
    if not (ready / "copy").exists():
        shutil.copytree(ready / "full", ready / "copy")
        shutil.copytree(ready / "full", ready / "again")
        (ready / "again" / "more.json").write_text("{}")
    sentence = error(run(original, retrain, code=2))
    assert said in sentence
    assert "\n" not in sentence
    assert str(ready / retrain) in sentence
    assert rows(world.path()) == []


def test_a_twin_that_knows_less_of_the_rest_is_a_warning_and_stays_apart(run, world):
    run(controls=False)
    ended = run("full", "base", controls=False)
    [said] = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    assert "of 'retain' the second one knows less than 90% of what the first does (probability" in said
    both = rows(world.path(), method="none", status="ok")
    warned = [json.loads(row["notes"]).get("pair") for row in both]
    assert sorted(warned, key=str) == sorted([None, said.removeprefix("warning: ")], key=str)
    assert len({row["target_key"] for row in both}) == 1
    assert len({row["target_family"] for row in both}) == 2
    assert harness_cli("results", "--results", world.path()).code == 0


def test_a_twin_that_changes_after_the_plan_makes_no_row(run, world, ready, monkeypatch):
    load, twin = harness.model.loading.load, shutil.copytree(ready / "retain", ready / "changing")

    def changed(directory, *arguments, **options):
        if directory == twin:
            with (twin / "config.json").open("a") as file:
                file.write(" ")
        return load(directory, *arguments, **options)

    run("full", "changing", controls=False)  # its scores are there now
    config = (twin / "config.json").read_text()
    monkeypatch.setattr(harness.model.loading, "load", changed)
    run("full", "changing", code=1)
    [failed] = rows(world.path(), status="failed")
    assert failed["method"] == "retrain"
    assert failed["error_message"].startswith(f"{twin / 'config.json'} was changed while the run went on")
    shutil.rmtree(world.folder / "cache")
    (twin / "config.json").write_text(config)
    said = error(run("full", "changing", code=2, results="elsewhere"))
    assert said.startswith(f"{twin / 'config.json'} was changed while the run went on")
    assert rows(world.path("elsewhere")) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--retrain", "R"), "--retrain R: it is the twin of --original, which is not given"),
        (("--original", "tiny"), "--original tiny: the embedded model knows nothing until it is trained"),
        (("--original", "O", "--model", "M"), "--original O: it takes the place of --model M; give one of"),
        (("--original", "O", "--revision", "v1"), "--original O: --revision v1 is that of --model; write"),
        (("--original", "O", "--targets", 2), "--original O: it is taken as it is, and --targets 2 trains"),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(options, said, tmp_path):
    ended = harness_cli("run", *options, "--cache", tmp_path, "--dry-run")
    assert ended.code == 2
    assert ended.sentence.startswith(said)
