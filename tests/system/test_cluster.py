"""Runs on a cluster of Ray and as jobs: what they find, what a machine that dies costs, and who is left out.

One cluster serves all tests of Ray, one after the other: it takes seconds to begin, and so does each machine.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from support.child import eventually
from support.kills import content, left_over
from support.ray_nodes import Nodes
from support.results import numbers
from support.site import on_path
from support.world import World

pytestmark = [
    pytest.mark.xdist_group("cluster"),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray's machines on one computer are tried on Linux"),
]

GRID = ("patient,gd", "nudge", "stub,stub-two")
OTHER_VERSION = "accelerate-0.0.1.dist-info"


@pytest.fixture(scope="module")
def nodes(stub_places, tmp_path_factory):
    """A cluster that lacks machines yet; those that are added know the stub, and where its faults are."""
    pytest.importorskip(
        "ray", reason="the extra [ray] is not installed: pip install 'unlearning-harness[ray]'"
    )
    folder = tmp_path_factory.mktemp("nodes")
    cluster = Nodes(PYTHONPATH=str(stub_places[0]), STUB_FAULTS=str(folder / "faults"))
    cluster.folder = folder
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def expected(stub_places, tmp_path_factory):
    """What processes of this machine find."""
    folder = tmp_path_factory.mktemp("local")
    with on_path(stub_places[0]):
        ended = World(*stub_places, folder).run(
            "patient,gd", "nudge", "stub,stub-two", controls=False, seeds=1
        )
    assert ended.code == 0, ended.err
    return numbers(folder / "results")


@pytest.fixture
def clustered(world, nodes):
    """The world, whose faults are those that the machines know, of which there are two."""
    nodes.have(2)
    world.faults = nodes.folder / "faults"
    world.ray = ("--executor", "ray", "--ray-address", nodes.address, "--jobs", 2)
    return world


def check(world, expected, cells):
    """All that was found is what processes of this machine find, to the last digit; nothing is left over."""
    found = numbers(world.path())
    keys = {row["key"] for row in found["cells"]}
    assert len(keys) == cells
    assert found == {table: [row for row in kept if row["key"] in keys] for table, kept in expected.items()}
    assert left_over(world) == []


def test_a_machine_and_a_driver_die_and_all_is_found(clustered, nodes, expected):
    """One of two machines dies in the middle, and then the driver; the next takes up what is left."""
    world = clustered
    fault = world.switch("patient")
    run = (*GRID, *world.ray)
    driver = world.start(*run, controls=False, seeds=1)
    eventually(lambda: content(fault).count("waits") == 2, "two models were not begun", 240)
    nodes.kill(min(nodes.alive))
    eventually(lambda: "is begun again" in driver.printed[1].read_text(), "nothing was lost", 240)
    driver.kill()
    assert driver.wait().code == -signal.SIGKILL
    fault.unlink()
    ended = world.start(*run, controls=False, seeds=1).wait()
    assert ended.code == 0, ended.err
    check(world, expected, 12)


def test_without_a_shared_disk_the_results_come_back(clustered, nodes, expected, monkeypatch):
    """A path that is another directory in each process: machines that look there do not find the run's."""
    world = clustered
    monkeypatch.chdir(world.folder)
    world.cache, elsewhere = Path("/proc/self/cwd/cache"), ("--results", "/proc/self/cwd/results")
    ended = world.start("gd", "nudge", "stub", *world.ray, *elsewhere, controls=False, seeds=1).wait()
    assert ended.code == 0, ended.err
    check(world, expected, 3)
    assert len(list((world.folder / "cache" / "targets").iterdir())) == 1


def test_ctrl_c_ends_what_the_machines_do(clustered, nodes):
    world = clustered
    fault = world.switch("patient")
    driver = world.start("patient", "none", "stub", *world.ray, controls=False, seeds=1)
    eventually(lambda: content(fault), "no model was begun", 240)
    driver.interrupt()
    ended = driver.wait()
    assert ended.code == 130, ended.err
    assert "Interrupted: 0 of 1 cells are kept in" in ended.err
    assert left_over(world) == []


def test_machines_that_do_not_fit_are_left_out_and_named(clustered, nodes, stub_places, tmp_path):
    (tmp_path / OTHER_VERSION).mkdir()
    (tmp_path / OTHER_VERSION / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: accelerate\nVersion: 0.0.1\n"
    )
    nodes.kill_all()
    nodes.add(PYTHONPATH=f"{tmp_path}:{stub_places[0]}")
    nodes.add(PYTHONPATH="")
    ended = clustered.start("none", "none", "stub", *clustered.ray, controls=False, seeds=1).wait()
    nodes.kill_all()
    assert ended.code == 2
    assert "Error: No machine of the cluster can do the work:" in ended.err
    assert "is left out: accelerate is 0.0.1 there and " in ended.err
    assert "is left out: it has no benchmark 'stub': install stub_plugin" in ended.err
    assert "Traceback" not in ended.err


def test_jobs_find_what_processes_find(world, expected):
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    jobs = ("--executor", "slurm", "--slurm", "cluster=local", "--jobs", 2)
    ended = world.start("gd", "nudge", "stub", *jobs, controls=False, seeds=1).wait()
    assert ended.code == 0, ended.err
    check(world, expected, 3)
    assert not (world.path() / "jobs").exists()
