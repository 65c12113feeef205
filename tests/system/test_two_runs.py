"""Two runs in one directory share the work: nothing is computed twice, and both end with all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.child import eventually
from support.results import numbers, rows, total

GRID = ("gd", "private-data,instruction,nudge", "stub", "--jobs", 2)

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")

LOG = '''
import os
from pathlib import Path
from harness import Config, Method


class Logged(Method):
    """Writes down that it ran."""

    name = "logged"

    class Config(Config):
        """Nothing to set."""

    def unlearn(self, job):
        with Path(os.environ["HARNESS_TEST_LOG"]).open("a") as log:
            log.write(f"{job.seed}\\n")
'''


@pytest.fixture
def log(world, monkeypatch):
    """A plugin file, and where its method writes the seed of each model it made."""
    (world.folder / "logged.py").write_text(LOG)
    monkeypatch.setenv("HARNESS_TEST_LOG", str(world.folder / "log"))
    return world.folder / "log"


def test_two_runs_at_once_compute_everything_once(undisturbed, world, log):
    world.cache = world.folder / "cache"  # they share the training of targets, too
    run = (f"logged,{GRID[0]}", *GRID[1:], "--plugin", world.folder / "logged.py")
    children = [world.start(*run, seeds=4, controls=False) for _ in range(2)]
    ended = [child.wait() for child in children]
    assert [end.code for end in ended] == [0, 0], [end.err for end in ended]
    assert sorted(log.read_text().split()) == ["0", "1", "2", "3"]
    cells = numbers(world.path())["cells"]
    assert len(cells) == total(ended[0].out)[0] == total(ended[1].out)[0] == 48
    assert {row["status"] for row in cells} == {"ok"}
    assert not (world.path() / "claims").exists()
    assert not (world.cache / "claims").exists()
    theirs = {row["key"]: row for row in undisturbed["cells"]}
    both = [row for row in cells if row["key"] in theirs]
    assert len(both) == 12
    assert both == [theirs[row["key"]] for row in both]


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
