"""Runs on a model in a GGUF file: it is converted once, before anything else, and used as any other."""

from __future__ import annotations

import shutil

import pyarrow.parquet as pq
import pytest

from support.command import harness_cli
from support.gguf_files import random_llama, write
from support.results import rows

pytest.importorskip("gguf", reason="gguf is not installed")
FIRST = "model to convert first: small.gguf, once (some 10 s)"


@pytest.fixture
def run(world):
    """A run on it, with a cache of its own."""
    world.model = write(world.folder / "small.gguf", random_llama())
    world.cache = world.folder / "cache"

    def start(benchmark="stub-bare", *more, methods="none", **options):
        return world.run(methods, "nudge", benchmark, *more, **{"controls": False, "seeds": 1, **options})

    return start


def values(results):
    """What was measured, by metric and split."""
    table = pq.read_table(results / "metrics").to_pylist()
    return sorted((row["metric"], row["split"], row["value"]) for row in table)


def test_it_is_converted_once_and_gives_what_its_directory_gives(run, world):
    planned = run("stub-bare", "--dry-run")
    assert (planned.code, FIRST in planned.out) == (0, True)
    assert not world.cache.exists()
    first, again = run(), run(results="again")
    assert (first.code, FIRST in first.out) == (0, True), first.err
    assert (again.code, FIRST in again.out) == (0, False)
    [place] = (world.cache / "models").iterdir()
    [row, *_] = rows(world.path())
    assert row["model"] == "small.gguf"
    assert row["target_weights"] in (place / "harness.json").read_text()
    assert {row["key"] for row in rows(world.path())} == {row["key"] for row in rows(world.path("again"))}
    world.model = place
    assert run(results="directory").code == 0
    assert values(world.path("directory")) == values(world.path()) != []
    assert {row["target_weights"] for row in rows(world.path("directory"))} == {row["target_weights"]}


def test_one_that_was_damaged_ends_the_run_with_a_sentence(run, world):
    assert run().code == 0
    [place] = (world.cache / "models").iterdir()
    (place / "config.json").write_text("{}")
    ended = run(results="again")
    assert ended.code == 2
    assert ended.sentence == (
        f"The model in {place} is not what was made there: config.json is another. "
        "Delete that directory and run again."
    )
    assert rows(world.path("again")) == []


def test_it_is_trained_further_and_then_needed_no_more(run, world):
    ended = run("stub")
    assert (ended.code, FIRST in ended.out) == (0, True), ended.err
    shutil.rmtree(world.cache / "models")
    again = run("stub", results="again")
    assert (again.code, FIRST in again.out) == (0, False)
    assert not (world.cache / "models").exists()
    assert values(world.path("again")) == values(world.path())


def test_prepare_converts_it(run, world):
    ended = harness_cli(
        "prepare", "--model", world.model, "--cache", world.cache, "--benchmarks", "tofu-mini"
    )
    assert ended.code == 0, ended.err
    assert "small.gguf" in ended.out
    assert FIRST not in run("stub-bare", "--dry-run").out


def test_one_that_cannot_be_converted_ends_the_run_before_anything(run, world):
    write(world.model, random_llama(), change=lambda weights: weights.pop("output_norm.weight"))
    ended = run()
    assert ended.code == 2
    assert ended.sentence.startswith(f"The model '{world.model}' cannot be loaded: 1 weights")
    assert not world.path().joinpath("cells").exists() or rows(world.path()) == []
