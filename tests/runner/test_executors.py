"""Where tasks run decides no number: several GPUs, machines without a shared disk, machines that get lost."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import harness.api
from harness.core.events import Event
from harness.errors import StoreError
from harness.runner.executor import Ended, Order, Unfit
from harness.runner.executors import local, node
from harness.runner.executors.parcels import Parcel, things
from harness.runner.options import RunOptions
from harness.runner.plan import Conversion
from harness.runner.resolve import resolved
from support.away import Away
from support.kills import left_over
from support.results import numbers, rows

SEES = '''
import os
from pathlib import Path
from harness import Config, Method


class Sees(Method):
    """Writes down which GPU it sees."""

    name = "sees"

    class Config(Config):
        """Nothing to set."""

    def unlearn(self, job):
        with Path(os.environ["HARNESS_TEST_LOG"]).open("a") as log:
            log.write(os.environ["CUDA_VISIBLE_DEVICES"] + "\\n")
'''


NOBODY = (Path("/nobody/shares/this"),)


@pytest.fixture
def away(monkeypatch):
    """``away(losses=0)`` has runs use the back end of tests, which it returns in a list."""

    def use(losses=0):
        made = []
        monkeypatch.setattr(
            harness.api, "executor_of", lambda _, context: made.append(Away(context, losses)) or made[-1]
        )
        return made

    return use


# Several GPUs


@pytest.mark.parametrize(
    ("visible", "number", "found"),
    [
        (None, 0, []),
        (None, 3, ["0", "1", "2"]),
        ("2, 5", 2, ["2", "5"]),
        ("GPU-1,GPU-2,7", 3, ["GPU-1", "GPU-2", "7"]),
        ("3,9", 1, ["3"]),  # there is no ninth: CUDA sees what comes before
    ],
)
def test_gpus_are_those_that_the_process_may_use(monkeypatch, visible, number, found):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
    assert local.devices() == found
    assert local.default_jobs() == (number or len(os.sched_getaffinity(0)))
    assert local.devices("cpu") == []
    assert local.default_jobs("cpu") == len(os.sched_getaffinity(0))
    assert local.devices("cuda:1") == found[1:2]
    assert local.devices("cuda") == found


def test_each_worker_sees_one_gpu_and_all_are_used(world, monkeypatch):
    plugin, log = world.folder / "sees.py", world.folder / "log"
    plugin.write_text(SEES)
    monkeypatch.setenv("HARNESS_TEST_LOG", str(log))
    monkeypatch.setattr(
        local, "devices", lambda chosen=None: ["GPU-a", "GPU-b"]
    )  # torch finds none of that name
    ended = world.run("sees", "none", "stub", "--plugin", plugin, "--jobs", 2, controls=False, seeds=4)
    assert ended.code == 0, ended.err
    seen = log.read_text().split()
    assert len(seen) == 4
    assert set(seen) == {"GPU-a", "GPU-b"}


# Machines without a shared disk, and such that get lost


def test_what_another_machine_finds_comes_back_to_the_digit(world, away):
    run = {"controls": False, "seeds": 1}
    assert world.run("gd,retrain", "nudge", "stub", results="here", **run).code == 0
    made, world.cache = away(), world.folder / "cache"
    ended = world.run("gd,retrain", "nudge", "stub", **run)
    assert ended.code == 0, ended.err
    found = numbers(world.path())
    assert len(found["cells"]) == 6
    assert found == numbers(world.path("here"))
    assert [order.what for order in made[0].orders] == ["make_target"] * 2 + ["run_group"] * 2
    assert left_over(world) == []


def test_what_a_lost_machine_was_at_is_begun_again(world, away):
    away(losses=2)
    ended = world.run("gd", "nudge", controls=False, seeds=1)
    assert ended.code == 0, ended.err
    said = "warning: stub gd seed 0 was lost and is begun again: its cable was cut"
    assert ended.err.splitlines().count(said) == 2
    assert [row["status"] for row in rows(world.path())] == ["ok"] * 3


def test_a_cell_with_which_machines_get_lost_fails_and_the_others_are_done(world, away):
    away(losses=5)
    ended = world.run("gd", "nudge", controls=False, seeds=1)
    assert ended.code == 1
    [failed] = rows(world.path(), status="failed")
    assert failed["error_message"] == (
        "Its machine was lost while it ran this cell, 5 times in a row; the last time its cable was cut."
    )
    assert len(rows(world.path(), status="ok")) == 2


# What another machine may lack


@pytest.fixture
def assignment(world):
    run = resolved(RunOptions.of({"benchmarks": "stub", "methods": "none", "model": world.model}))
    return node.assigned(run.context, Order("convert", Conversion(run.context.source)))


def reason(messages):
    [[ended]] = messages
    assert isinstance(ended, Ended)
    assert isinstance(ended.error, Unfit)
    return str(ended.error)


def test_a_machine_with_other_versions_does_nothing(assignment, monkeypatch):
    monkeypatch.setattr(node, "versions", lambda: {**assignment.versions, "torch": "1.0"})
    here = assignment.versions["torch"]
    said = f"torch is 1.0 there and {here} here: install the same on all machines"
    assert reason(node.perform(assignment)) == said


def test_a_machine_that_does_not_see_the_model_does_nothing(assignment, world):
    path = world.model.rename(world.folder / "moved")
    try:
        said = f"it has no {world.model}: put that there, too, or give what all machines can see"
        assert reason(node.perform(assignment)) == said
    finally:
        path.rename(world.model)


def test_a_full_disk_is_a_reason_to_go_elsewhere(assignment, world, monkeypatch):
    full = world.folder / "full"
    full.touch()  # what is no directory takes no file
    monkeypatch.setattr("tempfile.tempdir", str(full))
    node._base.cache_clear()
    alone = replace(assignment, marks=NOBODY)
    assert reason(node.perform(alone, lambda path: None)).startswith("a file could not be written (")
    node._base.cache_clear()


def test_a_machine_without_the_files_of_a_run_says_that_it_needs_them(assignment):
    assert list(node.perform(replace(assignment, marks=NOBODY))) == [[node.NoSharedDisk()]]


def test_builds_of_one_version_are_alike():
    assert "+" not in "".join(node.versions().values())


# What is sent


def test_of_steps_the_last_is_sent_and_of_cells_all():
    step = [Event("a", "train", number, 9) for number in range(3)]
    score = Event("a", "train", 3, 9, value=0.5)
    cell = Event("cell of a", cell=True, status="ok", key="k")
    other = Event("b", "train", 1, 9)
    assert node.thinned([*step, score, *step, cell, other]) == [score, step[2], cell, other]


def test_a_parcel_is_the_file_or_the_directory(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for path, text in {"cells/k": "row", "metrics/k": "m", "targets/t/a/b": "x", "targets/t/c": ""}.items():
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).write_text(text)
    (here / "metrics" / ".half.part").write_text("no")
    assert list(things(here)) == ["metrics/k", "targets/t", "cells/k"]
    for path in things(here):
        Parcel.of("cache", here, path).put(there)
    files = {p.relative_to(there).as_posix(): p.read_text() for p in there.rglob("*") if p.is_file()}
    assert files == {"cells/k": "row", "metrics/k": "m", "targets/t/a/b": "x", "targets/t/c": ""}


def test_a_parcel_that_cannot_be_put_leaves_nothing(tmp_path):
    (tmp_path / "targets").touch()
    with pytest.raises(StoreError, match="could not be written"):
        Parcel("cache", "targets/t", {"a": b"x"}).put(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["targets"]


# What is said where a back end cannot be used


@pytest.mark.parametrize(
    ("executor", "module", "name"), [("ray", "ray", "Ray"), ("slurm", "submitit", "submitit")]
)
def test_what_is_not_installed_is_named_with_its_command(world, monkeypatch, executor, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    ended = world.run("none", "none", "stub", "--executor", executor, controls=False)
    assert ended.code == 2
    assert ended.sentence == (
        f"--executor {executor}: {name} is not installed. Install it with: "
        f"pip install 'unlearning-harness[{executor}]'"
    )


def test_without_slurm_it_says_where_to_run(world, monkeypatch):
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    monkeypatch.setenv("PATH", str(world.folder))
    ended = world.run("none", "none", "stub", "--executor", "slurm", controls=False)
    assert ended.code == 2
    assert ended.sentence == (
        "--executor slurm: there is no sbatch on this machine. Run the command where jobs are submitted, or "
        "try it with processes of this machine: --slurm cluster=local."
    )


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:PORT", "no Ray cluster can be reached (ConnectionRefusedError: [Errno 111] Connection"),
        ("ray://head:10001", "a run cannot be done through Ray's client. Give HOST:PORT, and"),
        ("head", "write HOST:PORT, or 'auto' for the cluster of this machine."),
    ],
)
def test_where_there_is_no_cluster_nothing_is_begun(world, address, said):
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    address = address.replace("PORT", str(free_port()))
    ended = world.run("none", "none", "stub", "--executor", "ray", "--ray-address", address, controls=False)
    assert ended.code == 2
    assert ended.sentence.startswith(f"--ray-address {address}: {said}")
    assert len(ended.err.splitlines()) == 1


def test_an_executor_that_is_none_is_named(world):
    ended = world.run("none", "none", "stub", "--executor", "dask", controls=False)
    assert ended.sentence == "--executor dask: it must be one of local, ray, slurm."


# What Slurm is asked for


def test_tasks_become_one_array_with_what_sbatch_is_to_know(world, monkeypatch):
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    from harness.runner.executors.slurm import SlurmExecutor

    programs, script = world.folder / "bin", world.folder / "script"
    programs.mkdir()
    for name, text in {
        "sbatch": f"cp $1 {script}; echo Submitted batch job 7",
        "srun": "",
        "scancel": "",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    options = {"benchmarks": "stub", "methods": "none", "model": world.model, "results": world.path()}
    run = resolved(RunOptions.of(options))
    settings = {"partition": "gpu", "gpus-per-node": 1, "time": 90, "mem": "8G"}
    with SlurmExecutor(run.context, 4, settings) as executor:
        tasks = [executor.start(Order("convert", Conversion(run.context.source))) for _ in range(4)]
        assert not executor.wait(tasks, 0)
        assert [task.job.job_id for task in tasks] == ["7_0", "7_1", "7_2", "7_3"]
        lines = script.read_text().splitlines()
        for task in tasks:
            task.close()
    asked = {"--array=0-3%4", "--partition=gpu", "--gpus-per-node=1", "--time=90", "--mem=8G"}
    assert {f"#SBATCH {option}" for option in asked} <= {*lines}
    assert not (world.path() / "jobs").exists()
