"""`harness run --track`: what trackers are told of a run, once, and what becomes of a run they fail."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from harness.report import tracking
from harness.runner.options import TRACKERS
from harness.store.decided import unlearned
from harness.store.store import Store
from support.results import numbers, rows


class Told(ModuleType):
    """A stand-in for a tracker's package: it keeps what it is told, and fails where it is asked to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.runs: dict[str, dict] = {}
        self.sessions = self.finished = self.fails_at = 0

    def init(self, project, name, config, resume, group, id=None, **options):
        self.sessions += 1
        if self.sessions == self.fails_at:
            raise SystemError("the tracker is\nout of order")
        known = self.runs.setdefault(id or name, {"config": config, "steps": [], "final": {}})
        return Session(known)

    def finish(self):
        self.finished += 1


class Session:
    def __init__(self, known):
        self.known, self.summary = known, known["final"]

    def define_metric(self, name, step_metric):
        self.axis = step_metric

    def log(self, values, step=None):
        self.known["steps"].append((step, values))


@pytest.fixture
def tracker(monkeypatch):
    """A stand-in for trackio and wandb."""

    def tracker(name):
        module = Told(name)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    for name in ("WANDB_PROJECT", "TRACKIO_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return tracker


def run(world, *more, attacks="nudge", **options):
    return world.run("gd", attacks, "stub", *more, **{"controls": False, "seeds": 2, **options})


@pytest.mark.parametrize("name", TRACKERS[1:])
def test_each_unlearned_model_is_a_run_and_is_told_once(name, world, tracker):
    module = tracker(name)
    assert run(world, "--track", name).code == 0
    cells = rows(world.path())
    assert len(module.runs) == len({unlearned(cell) for cell in cells}) == 2
    (first,) = [r for r in module.runs.values() if r["config"]["seed"] == 0]
    assert (first["config"]["method"], first["config"]["benchmark"]) == ("gd", "stub")
    last = first["final"] if name == "wandb" else first["steps"][-1][1]
    store = Store(world.path())
    for cell in (cell for cell in cells if cell["seed"] == 0):
        where = tracking.label(cell)
        finals = [m for m in store.numbers(cell["key"])[0].to_pylist() if m["step"] is None]
        assert finals
        assert all(last[f"{where}/{m['split']}/{m['metric']}"] == m["value"] for m in finals)
        assert last[f"{where}/seconds"] == cell["seconds"]
    # What is there already is told no more; what comes later belongs to the same runs.
    sessions = module.sessions
    assert run(world, "--track", name).code == 0
    assert module.sessions == sessions
    before = len(first["steps"])
    assert run(world, "--track", name, attacks="nudge,private-data").code == 0
    assert (len(module.runs), module.sessions, module.finished) == (2, sessions + 2, sessions + 2)
    steps = first["steps"][before:]
    told = {n for _, values in steps for n in values} | first["final"].keys()
    assert any(n.startswith("private-data") for n in told)
    assert not any(n.startswith("nudge curve") for _, values in steps for n in values)


@pytest.mark.parametrize("name", TRACKERS[1:])
def test_a_tracker_that_fails_is_one_sentence_and_is_told_later(name, world, tracker):
    module = tracker(name)
    module.fails_at = 2
    ended = run(world, "--track", name)
    assert ended.code == 0
    (line,) = [line for line in ended.err.splitlines() if "warning" in line]
    assert f"{name} is told nothing more (SystemError: the tracker is out of order)" in line
    plain = run(world, results="plain")
    assert plain.code == 0
    assert numbers(world.path()) == numbers(world.path("plain"))
    assert len(module.runs) == 1
    assert run(world, "--track", name).code == 0
    assert len(module.runs) == 2


def test_a_package_that_is_not_there_is_one_sentence(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    ended = run(world, "--track", "wandb", seeds=1)
    assert ended.code == 0
    (line,) = [line for line in ended.err.splitlines() if "warning" in line]
    assert "pip install 'unlearning-harness[wandb]'" in line
    assert {row["status"] for row in rows(world.path())} == {"ok"}
