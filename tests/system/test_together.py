"""One model over two processes of a command, as torchrun starts them: what they find, refuse and survive."""

from __future__ import annotations

import os
import signal
import sys

import pytest

import harness.engine.cell
from support.child import Child, eventually
from support.ranks import free_port
from support.results import numbers, rows
from support.world import World

pytestmark = [
    pytest.mark.xdist_group("together"),
    pytest.mark.skipif(sys.platform != "linux", reason="groups of forked processes are tried on Linux"),
]

GRID = ("gd", "private-data:p=0.3", "stub")


def start(world: World, monkeypatch, *arguments, **options) -> list[Child]:
    """The same command in two processes that know of each other, the first first."""
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    children = []
    for number in ("0", "1"):
        for name, value in {**told, "RANK": number, "LOCAL_RANK": number}.items():
            monkeypatch.setenv(name, value)
        children.append(world.start(*arguments, **options))
    for name in [*told, "RANK", "LOCAL_RANK"]:
        monkeypatch.delenv(name)
    return children


def near(one, other):
    """Rows that are equal but for rounding in numbers."""
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        for name, value in left.items():
            if isinstance(value, float):
                assert right[name] == pytest.approx(value, rel=1e-3, abs=1e-4), (name, left)
            elif name != "notes":
                assert right[name] == value, (name, left)


def test_rows_are_those_of_one_process(world, monkeypatch):
    """Same keys, steps, rates and scores; the second process writes and prints nothing.

    What they keep is a model like any other: one process attacks it, and unlearns nothing again.
    """
    world.cache = world.folder / "cache"  # the models they keep are for nobody else
    assert world.run(*GRID, results="one", seeds=1).code == 0
    first, second = start(world, monkeypatch, *GRID, "--keep", "all", results="two", seeds=1)
    ended, silent = first.wait(), second.wait()
    assert ended.code == 0, ended.err
    assert (silent.code, silent.out, silent.err) == (0, "", "")
    assert "left out: lm-eval" in ended.out
    one, two = numbers(world.path("one")), numbers(world.path("two"))
    assert {row["status"] for row in two["cells"]} == {"ok"}
    for table, rows_of_one in one.items():
        near(rows_of_one, two[table])
    monkeypatch.setattr(harness.engine.cell, "unlearn", None)
    more = world.run("gd", "instruction", "stub", results="two", seeds=1, controls=False)
    assert (more.code, "unlearned already: 1" in more.out) == (0, True), more.err


def test_what_needs_the_model_whole_is_said_before_anything_is_loaded(world, monkeypatch):
    first, second = start(
        world, monkeypatch, "gd,klue", "quantize,lora", "stub", "--jobs", 2, "--analyses", "lens"
    )
    ended, silent = first.wait(), second.wait()
    assert (ended.code, silent.code, silent.err) == (2, 0, "")
    lines = ended.sentence.splitlines()
    assert len(lines) == 4
    assert "leave out --jobs 2." in lines[0]
    assert "these methods need it whole: klue." in lines[1]
    assert "methods that do not: " in lines[1]
    assert "these attacks need it whole: quantize, lora." in lines[2]
    assert "these analyses need it whole: lens." in lines[3]
    assert not world.path().exists()


def test_a_process_that_dies_costs_one_try(world, monkeypatch):
    """The second process loses its worker: the first notices, ends its own, and both begin again."""
    first, second = start(world, monkeypatch, "gd", "none", "stub", seeds=1, controls=False)
    eventually(lambda: len(second.group()) == 2, "the second process started no worker", 120)
    [worker] = [pid for pid in second.group() if pid != second.pid]
    os.kill(worker, signal.SIGKILL)
    ended = first.wait()
    assert ended.code == 0, ended.err
    assert "process 1 of 2 ended with exit code -9" in ended.err
    assert second.wait().code == 0
    assert [row["status"] for row in rows(world.path())] == ["ok"]
