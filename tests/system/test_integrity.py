"""Whole runs: cells that are sound, plugins whose numbers cannot be, hands, and edited code."""

from __future__ import annotations

import pytest

import harness
from harness.store.store import Store
from support.command import harness_cli
from support.results import committed, rows, total
from support.site import install, on_path
from support.sound import edit

FAULTY = """
import dataclasses
import math

import harness
from harness import Attack, AttackConfig, Field, Reported
from harness.scoring.metrics import probability
from stub_plugin.benchmarks import Stub


class Bounded(Stub):
    '''The stub, which says what range its metric has.'''

    name = "bounded"
    reports = (Reported("probability", ("forget",), probability),)


class Faulty(Attack):
    '''Records what cannot be.'''

    name = "faulty"
    variants = {name: {"way": name} for name in ("nan", "two", "twice", "text", "none", "honest")}

    class Config(AttackConfig):
        way: str = Field("honest", description="what is recorded")

    def attack(self, job):
        samples = sorted(job.score(job.scored), key=lambda sample: sample.metric, reverse=True)
        value = {"nan": math.nan, "two": 2.0, "text": "high", "none": None}.get(self.config.way)
        if self.config.way in ("nan", "two", "text", "none"):
            samples[1] = dataclasses.replace(samples[1], value=value)
        if self.config.way == "twice":
            samples.append(samples[1])
        job.record(samples, 0)


@harness.hookimpl
def register_benchmarks(register):
    register("bounded", Bounded)


@harness.hookimpl
def register_attacks(register):
    register("faulty", Faulty)
"""


@pytest.mark.usefixtures("no_home")
def test_every_cell_of_a_run_is_sound_whatever_its_stage(world, local):
    ended = world.run(
        "gd", "nudge,private-data", "stub-compared", "--utility-tasks", local, "--utility-limit", 4
    )
    assert ended.code == 0, ended.err
    found = Store(world.path()).stored()
    assert {key: cell.wrong for key, cell in found.items() if cell.wrong} == {}
    cells = rows(world.path())
    assert {row["stage"] for row in cells} == {"evaluation", "utility", "attack"}
    assert {row["method"] for row in cells if row["twin_key"]} == {"retrain"}
    assert all(row["reference_key"] for row in cells)
    for row in cells:
        assert all(len(row[name]) == 64 for name in ("engine", "benchmark_source", "method_source"))
        assert bool(row["attack_source"]) == (row["stage"] != "evaluation")
    again = world.run(
        "gd", "nudge,private-data", "stub-compared", "--utility-tasks", local, "--utility-limit", 4
    )
    assert total(again.out) == (len(cells), len(cells))


def test_numbers_that_cannot_be_fail_their_cell_and_no_other(world):
    with on_path(install(world.folder / "faulty", FAULTY, "faulty")):
        ended = world.run("gd", "faulty", "bounded", seeds=1, controls=False)
    assert ended.code == 1
    failed = {row["variant"]: row["error_message"] for row in rows(world.path(), status="failed")}
    name = "forget.probability of 'forget-1'"
    assert failed.pop("text")
    assert failed.pop("none")
    assert failed == {
        "nan": f"What it measured cannot be: {name} is nan, and a value must be a finite number.",
        "two": f"What it measured cannot be: {name} is 2, and it lies in [0, 1].",
        "twice": f"What it measured cannot be: a fact must be scored once, and {name} is there 2 times.",
    }
    assert {row["variant"] for row in rows(world.path(), status="ok")} == {"", "honest"}
    built = build(world)
    assert (built.code, built.err) == (0, "")


def build(world, *more):
    return harness_cli(
        *map(str, ("leaderboard", "build", "--results", world.path(), "--out", world.folder / "board", *more))
    )


def check(world, *more, results="apart"):
    """The board against results, by default those that were measured apart from it."""
    return harness_cli(
        *("leaderboard", "check", "--committed", str(world.folder / "board")),
        *("--results", str(world.path(results)), *more),
    )


def test_a_cell_changed_by_hand_blocks_nobody_and_is_made_again(world):
    for results in ("results", "apart"):
        assert world.run("gd", "nudge", controls=False, results=results).code == 0
    assert build(world).code == 0
    assert check(world).code == 0
    before = committed(world.path())
    (cell,) = rows(world.path(), method="gd", variant="large", seed=0)

    def better(found):
        found[-1]["value"] = 0.001

    edit(world.path(), "metrics", cell["key"], better)
    ended = check(world, results="results")
    assert ended.code == 1
    assert cell["key"][:12] in ended.out
    built = build(world)
    assert built.code == 0
    [line] = built.err.splitlines()
    assert line.startswith(f"Counted as failed: {cell['key'][:12]} (stub gd nudge large seed 0): forget.")
    readme = (world.folder / "board" / "README.md").read_text()
    assert "gd, nudge large, seed 0: IntegrityError: forget." in readme
    again = world.run("gd", "nudge", controls=False)
    assert again.code == 0, again.err
    cells = len(before)
    assert total(again.out) == (cells, cells - 1)
    after = committed(world.path())
    assert {key for key in before if after[key] != before[key]} == {cell["key"]}
    assert build(world).err == ""


def test_a_cell_that_may_be_of_anything_is_left_out_and_named(world):
    assert world.run("gd", "nudge", controls=False).code == 0
    (cell,) = rows(world.path(), method="gd", variant="large", seed=0)
    edit(world.path(), "cells", cell["key"], lambda found: [found[0] | {"benchmark": "<b>", "protocol": "9"}])
    built = build(world)
    assert built.code == 0
    assert f"{cell['key'][:12]} (<b> gd nudge large seed 0): its key does not follow from" in built.err
    assert "<b>" not in (world.folder / "board" / "README.md").read_text()


def test_an_edited_plugin_is_another_one(world):
    source = FAULTY.replace("samples.append", "len")
    site = world.folder / "faulty"
    for text, seeds in ((source, 3), (source + "\n# edited\n", 1)):
        with on_path(install(site, text, "faulty")):
            for results in ("results", "apart"):
                run = {"controls": False, "seeds": seeds, "results": results}
                assert world.run("none", "faulty:honest", "bounded", **run).code == 0
    digests = {row["benchmark_source"]: row["attack_source"] for row in rows(world.path())}
    assert len(digests) == 2
    refused = build(world)
    assert refused.code == 2
    [sentence] = refused.err.splitlines()
    assert "2 versions of the benchmark bounded: " in sentence
    assert "(6 cells, seeds 0, 1, 2)" in sentence
    assert "(2 cells, seed 0)" in sentence
    assert all(digest[:12] in sentence for digest in digests)
    for digest, seeds in zip(digests, counted(world, digests), strict=True):
        assert build(world, "--source", digest[:12]).code == 0
        assert f"{seeds} seeds" in (world.folder / "board" / "README.md").read_text()
        assert check(world, "--source", digest[:12]).code == 0
        assert {*harness.load(world.path(), source=digest).leaderboard["seeds"].to_pylist()} == {seeds}
    with pytest.raises(harness.StoreError, match="2 versions of the benchmark bounded"):
        _ = harness.load(world.path()).leaderboard
    mixed = check(world)
    assert mixed.code == 2
    assert "2 versions of the benchmark bounded: " in mixed.err
    unknown = build(world, "--source", "nothing")
    assert unknown.code == 2
    assert unknown.err.startswith("Error: --source nothing: no cell of these results has code")


def counted(world, digests):
    """Seeds of each version."""
    found = rows(world.path())
    return [len({row["seed"] for row in found if row["benchmark_source"] == digest}) for digest in digests]


METHOD = '''
from harness import Config, Method


class Same(Method):
    """Leaves the model as it is."""

    name = "same"

    class Config(Config):
        """Nothing to set."""

    def unlearn(self, job):
        job.notes["version"] = 1
'''


def test_an_edited_file_is_another_one_and_no_seed_of_it_joins_the_others(world):
    path = world.folder / "same.py"
    sources = {}
    for text, seeds in ((METHOD, 3), (METHOD.replace("= 1", "= 2"), 1)):
        path.write_text(text)
        assert world.run("same", "none", "stub", "--plugin", path, controls=False, seeds=seeds).code == 0
        sources |= dict.fromkeys(row["method_source"] for row in rows(world.path()))
    build = ("leaderboard", "build", "--results", world.path(), "--out", world.folder / "board")
    mixed = harness_cli(*build)
    assert mixed.code == 2
    assert "cells of 2 versions of the method same" in mixed.err
    assert all(source[:12] in mixed.err for source in sources)
    assert "3 cells, seeds 0, 1, 2" in mixed.err
    assert "1 cell, seed 0" in mixed.err
    for source, seeds in zip(sources, (3, 1), strict=True):
        assert harness_cli(*build, "--source", source[:12]).code == 0
        board = harness.load(world.path(), source=source[:12]).leaderboard.to_pylist()
        assert [row["seeds"] for row in board] == [seeds]
