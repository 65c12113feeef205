"""Whatever ends a run, a worker or a cell: what is finished is kept, and the next run does the rest."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import harness.runner.process
import harness.store
from harness.errors import DataError
from harness.store.store import Store
from support import kills
from support.child import eventually
from support.kills import ok
from support.results import committed, numbers, rows, total
from support.site import install, on_path

KILLS = 4
"""Runs that are killed. By hand ``tests/system/kills.py`` kills any number."""

LEAVE = """
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from harness.core.aside import aside
aside(Path(sys.argv[1]) / "samples" / "cell.parquet").write_bytes(b"half")
claims = Path(sys.argv[1]) / "claims"
claims.mkdir()
(claims / "group").touch()
"""
"""What a process that is killed leaves."""

TABLES = ("cells", "metrics", "samples")

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")


def found_in(undisturbed):
    return {name: undisturbed[name] for name in TABLES}


@needs_proc
@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_that_is_killed_goes_on_where_it_was(undisturbed, world, number):
    kill = kills.kill_of(0, number, server=False)
    kills.survives(world, kill, 0, kills.part_of(found_in(undisturbed)))


@needs_proc
def test_a_run_whose_fork_server_is_killed_starts_another(undisturbed, world):
    kill = kills.Kill(0, "fork server", "within the write of a cell", "os.rename /results/samples/. 2", True)
    assert kills.survives(world, kill, 0, kills.part_of(found_in(undisturbed)))


@needs_proc
def test_what_a_killed_worker_left_is_swept_by_the_run_itself(undisturbed, world):
    kill = kills.Kill(0, "worker", "within the write of a cell", "os.rename /results/samples/. 2", False)
    assert kills.survives(world, kill, 0, kills.part_of(found_in(undisturbed)))


def test_a_run_with_nothing_left_to_do_sweeps_what_a_killed_one_left(world):
    assert world.run("none", "none", controls=False).code == 0
    subprocess.run([sys.executable, "-c", LEAVE, world.path()], check=True)
    assert len(kills.left_over(world)) == 2
    assert world.run("none", "none", controls=False).code == 0
    assert kills.left_over(world) == []


@needs_proc
def test_real_workers_end_with_their_parent_even_while_they_start(world):
    world.switch("patient")
    child = world.start("patient,none", "none", "stub", "--jobs", 2, controls=False, spawn=True)
    eventually(lambda: len(child.group()) > 1, "no worker was started", 60)
    child.kill()
    eventually(lambda: not child.group(), "a worker outlives the run that started it", 30)


@pytest.mark.parametrize(("times", "code"), [(2, 0), (harness.runner.process.TRIES, 2)])
def test_a_process_that_cannot_be_started_is_tried_again(world, monkeypatch, times, code):
    """The fork server may be killed at that very moment, which multiprocessing says by an EOFError."""
    left, start = [times], BaseProcess.start

    def refused(process):
        if left[0]:
            left[0] -= 1
            raise EOFError("unexpected EOF")
        start(process)

    monkeypatch.setattr(BaseProcess, "start", refused)
    ended = world.run("none", "none", controls=False)
    assert ended.code == code, ended.err
    said = "Error: A process could not be started (unexpected EOF): free memory, or use fewer --jobs."
    assert (said in ended.err.splitlines()) == (code != 0)
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("jobs", [2])
def test_a_worker_that_dies_is_replaced_and_its_cells_tried_again(world, jobs):
    world.switch("mortal", "1")
    ended = world.start("mortal,none,gd", "nudge", "stub", "--jobs", jobs, controls=False).wait()
    assert ended.code == 0, ended.err
    assert [row["status"] for row in rows(world.path())] == ["ok"] * total(ended.out)[0]


def test_cells_whose_worker_dies_twice_fail_and_the_others_go_on(world):
    fault = world.switch("mortal", "1000")
    run = ("mortal,none,gd", "nudge", "stub", "--jobs", 2)
    ended = world.start(*run, controls=False).wait()
    assert ended.code == 1, ended.err
    failed = rows(world.path(), status="failed")
    assert {row["method"] for row in failed} == {"mortal"}
    assert len(failed) == len(rows(world.path(), method="mortal")) == 6
    assert {row["error_type"] for row in failed} == {"WorkerDied"}
    assert {row["error_message"] for row in failed} == {
        "The worker process was killed while it ran this cell, twice. Most often memory ran out: "
        "use fewer --jobs or a smaller --micro-batch."
    }
    assert len(rows(world.path(), status="ok")) == 12
    assert "6 of 18 cells failed; they will be tried again by the next run." in ended.err
    fault.unlink()
    again = world.start(*run, controls=False).wait()
    assert total(again.out) == (18, 12)
    assert len(rows(world.path(), status="ok")) == 18


def test_a_worker_that_dies_while_training_a_target_ends_the_run_with_a_sentence(world, monkeypatch):
    world.cache = world.folder / "cache"
    monkeypatch.setattr(harness.engine.targets, "fit", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    ended = world.start("none", "none", "stub", "--jobs", 2, controls=False).wait()
    assert ended.code == 2
    assert "killed while it ran the training of a target, twice" in ended.err
    assert "Traceback" not in ended.err


def test_a_loss_that_is_no_number_fails_its_method_and_no_other(undisturbed, world):
    fault = world.switch("sick")
    ended = world.run("sick,gd", "nudge", controls=False)
    assert ended.code == 1
    failed = rows(world.path(), status="failed")
    assert {row["method"] for row in failed} == {"sick"}
    assert len(failed) == 6
    assert {row["error_type"] for row in failed} == {"Diverged"}
    assert {row["error_message"] for row in failed} == {
        "The loss became nan at step 1. Lower the learning rate."
    }
    assert "6 of 12 cells failed" in ended.err
    assert "failed: stub sick none seed 0: The loss became nan at step 1." in ended.err
    good = {row["key"]: row for row in numbers(world.path())["cells"] if row["status"] == "ok"}
    assert good == {row["key"]: row for row in undisturbed["cells"] if row["key"] in good}
    assert len(good) == 6
    fault.unlink()
    kept = ok(world.path())
    again = world.run("sick,gd", "nudge", controls=False)
    assert again.code == 0
    assert total(again.out) == (12, 6)
    assert len(rows(world.path(), status="ok")) == 12
    assert kept.items() <= committed(world.path()).items()


def test_an_attack_that_raises_fails_its_cell_and_leaves_the_next_one_as_it_was(undisturbed, world):
    world.switch("nudge")
    ended = world.run("gd", "nudge,private-data,instruction", "stub", "--details")
    assert ended.code == 1
    failed = rows(world.path(), status="failed")
    assert {(row["attack"], row["variant"]) for row in failed} == {("nudge", "large")}
    assert len(failed) == 8
    assert all("nothing to hold on to (nudge.py, line" in row["error_message"] for row in failed)
    assert all(row["error_type"] == "RuntimeError" for row in failed)
    good = {key for key, status in Store(world.path()).statuses().items() if status == "ok"}
    found, undone = numbers(world.path()), found_in(undisturbed)
    for table in TABLES:
        assert [r for r in found[table] if r["key"] in good] == [r for r in undone[table] if r["key"] in good]
    assert "failed" in ended.out, "the table shows that there is no number"


@pytest.mark.parametrize(("module", "call"), [(os, "fsync"), (os, "replace")])
def test_a_full_disk_ends_the_run_with_a_sentence_and_keeps_what_was_there(world, monkeypatch, module, call):
    assert world.run("none", "nudge", controls=False).code == 0
    before, kept = numbers(world.path()), committed(world.path())

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, call, full)
        ended = world.run("none,gd", "nudge", controls=False)
    assert ended.code == 2
    [sentence] = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert "could not be written (No space left on device); make room" in sentence
    assert "Traceback" not in ended.err
    assert (numbers(world.path()), committed(world.path())) == (before, kept)
    assert not [path for path in world.path().rglob("*") if path.name.startswith(".")]
    assert world.run("none,gd", "nudge", controls=False).code == 0
    assert len(rows(world.path(), status="ok")) == 12


def test_a_full_disk_in_a_worker_ends_the_run_with_the_same_sentence(world, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    assert world.run("none", "nudge", controls=False).code == 0
    kept = committed(world.path())
    monkeypatch.setattr(harness.store.store.os, "fsync", full)
    ended = world.start("none,gd", "nudge", "stub", "--jobs", 2, controls=False).wait()
    assert ended.code == 2
    assert "could not be written (No space left on device)" in ended.err
    assert "Traceback" not in ended.err
    assert committed(world.path()) == kept


@pytest.mark.parametrize("table", ["cells", "metrics"])
def test_a_damaged_cell_is_named_with_what_to_do(world, table):
    assert world.run("none", "none", controls=False).code == 0
    damaged = sorted((world.path() / table).glob("*.parquet"))[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    ended = world.run("none", "none", controls=False)
    assert ended.code == 2
    [sentence] = ended.err.splitlines()
    assert sentence.startswith(f"Error: {damaged} is damaged or cannot be read")
    assert f"move {world.path() / 'cells' / damaged.name} away" in sentence
    (world.path() / "cells" / damaged.name).rename(world.folder / "away")
    again = world.run("none", "none", controls=False)
    assert again.code == 0, again.err
    assert total(again.out) == (2, 1)


def test_a_broken_plugin_is_reported_and_the_run_goes_on(world):
    with on_path(install(world.folder / "broken", "import nothing_like_this\n", "broken_plugin", "2.5")):
        ended = world.run("none", "none", controls=False)
    assert ended.code == 0
    assert len(rows(world.path(), status="ok")) == 2
    assert "Left out: broken_plugin (broken_plugin 2.5): ModuleNotFoundError:" in ended.err


@needs_proc
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_what_is_finished_and_says_how_much(world, jobs):
    fault = world.switch("patient")
    run = ("gd,patient", "nudge", "stub", "--jobs", jobs)
    child = world.start(*run, controls=False)
    eventually(lambda: len(committed(world.path())) >= 6, "gd was not finished", 60)
    child.interrupt()
    ended = child.wait()
    assert ended.code == 130
    kept = ok(world.path())
    assert len(kept) == 6
    [said] = [line for line in ended.err.splitlines() if line.startswith("Interrupted: ")]
    kept_there, again = said.split("; to go on: ")
    assert kept_there == f"Interrupted: 6 of 12 cells are kept in {world.path()}"
    assert again.startswith("harness run --methods gd,patient --attacks nudge --benchmarks stub ")
    assert "Traceback" not in ended.err
    eventually(lambda: not child.group(), "workers outlive the run that was interrupted", 10)
    fault.unlink()
    again = world.start(*run, controls=False).wait()
    assert again.code == 0, again.err
    assert total(again.out) == (12, 6)
    assert len(rows(world.path(), status="ok")) == 12
    assert kept.items() <= committed(world.path()).items()


@needs_proc
def test_ctrl_c_while_real_workers_start_prints_no_traceback_of_theirs(world):
    world.switch("patient")
    child = world.start("patient,none", "none", "stub", "--jobs", 2, controls=False, spawn=True)
    eventually(lambda: len(child.group()) > 1, "no worker was started", 60)
    child.interrupt()
    ended = child.wait()
    assert ended.code == 130
    [line] = ended.err.strip().splitlines()
    assert line.startswith(f"Interrupted: 0 of 4 cells are kept in {world.path()}; to go on: harness run ")
    eventually(lambda: not child.group(), "workers outlive the run that was interrupted", 10)


def test_an_error_about_data_travels_from_a_worker():
    error = DataError("facts.json", "no answer", 3)
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "facts.json, line 3: no answer"
