"""Two runs in one directory share the work: nothing is computed twice, and both end with all of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from support.child import eventually
from support.drivers import together
from support.results import numbers, rows, total

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")


@pytest.fixture
def logged(world, monkeypatch):
    """The world, in which a method writes down what it makes."""
    monkeypatch.setenv("HARNESS_TEST_LOG", str(world.folder / "log"))
    return world


def test_two_runs_at_once_compute_everything_once(undisturbed, logged):
    printed = together(logged, 2, False, random.Random(0))
    cells = numbers(logged.path())["cells"]
    assert [total(out)[0] for out in printed] == [len(cells)] * 2
    theirs = {row["key"]: row for row in undisturbed["cells"]}
    both = [row for row in cells if row["key"] in theirs]
    assert len(both) == 6
    assert both == [theirs[row["key"]] for row in both]


@needs_proc
def test_of_three_runs_the_others_do_the_work_of_one_that_is_killed(logged):
    assert len(together(logged, 3, True, random.Random(1))) == 2


@needs_proc
def test_a_run_takes_over_from_one_that_was_killed(world):
    fault = world.switch("patient")
    first = world.start("patient", "none", "stub", controls=False)
    claims = world.path() / "claims"
    eventually(lambda: claims.is_dir() and any(claims.iterdir()), "nothing was claimed", 60)
    second = world.start("patient", "none", "stub", controls=False)
    eventually(lambda: second.printed[0].read_text() != "", "the second run made no plan", 60)
    assert second.alive(), "it waits for the first"
    first.kill()
    eventually(lambda: not first.group(), "a worker outlives its run", 10)
    fault.unlink()
    ended = second.wait()
    assert ended.code == 0, ended.err
    assert len(rows(world.path(), status="ok")) == total(ended.out)[0] == 2
    assert not claims.exists()
