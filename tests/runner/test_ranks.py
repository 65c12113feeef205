"""Which of several processes this is, and where they meet."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from harness.runner import ranks
from harness.runner.ranks import Rank, started
from support.ranks import free_port


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """What other tests were told is forgotten, and so is what these are."""
    monkeypatch.setattr(ranks, "_told", [])


def tell(monkeypatch, size, number="1"):
    told = {
        "WORLD_SIZE": size,
        "RANK": number,
        "LOCAL_RANK": number,
        "MASTER_ADDR": "host",
        "MASTER_PORT": "7",
    }
    for name, value in {**told, "ACCELERATE_MIXED_PRECISION": "bf16"}.items():
        monkeypatch.setenv(name, value)


def test_nobody_says_anything():
    assert started() is None


def test_what_torchrun_says_is_taken_from_the_environment(monkeypatch):
    """Else accelerate and others would act on it, with a format or a wrapper of their own."""
    tell(monkeypatch, "4")
    assert started() == Rank(1, 4, 1, "host", 7, False, "harness/0")
    assert not {"RANK", "WORLD_SIZE", "ACCELERATE_MIXED_PRECISION"} & os.environ.keys()
    assert started().number == 1  # asked again, it knows


@pytest.mark.parametrize(("agent", "serves"), [("True", False), ("False", True)])
def test_the_first_keeps_the_meeting_place_unless_torchrun_does(monkeypatch, agent, serves):
    tell(monkeypatch, "2", "0")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", agent)
    first = started()
    assert (first.leads, first.serves) == (True, serves)


def test_one_process_is_as_none(monkeypatch):
    tell(monkeypatch, "1", "0")
    assert started() is None


@pytest.fixture(scope="module")
def pair():
    """Two that meet, in one process."""
    port = free_port()
    return [Rank(number, 2, number, "127.0.0.1", port, number == 0, "test") for number in (0, 1)]


@pytest.mark.parametrize("results", [(True, True), (True, False), (False, False)])
def test_all_learn_how_it_went_for_all(pair, results):
    with ThreadPoolExecutor(2) as threads:
        met = threads.map(lambda rank, worked: rank.meet(f"cell {results}", worked), pair, results)
    assert list(met) == [frozenset(results)] * 2


def test_one_that_does_not_come_is_not_waited_for_for_ever(pair, monkeypatch):
    monkeypatch.setattr(ranks, "PATIENCE", timedelta(milliseconds=50))
    assert pair[0].meet("alone", worked=False) == frozenset()


def test_cells_after_one_that_failed_alone_are_left_to_another_process():
    """Where the others do not come, nothing after it fits together; where they do, it fails and all go on."""
    from harness.runner.group import GroupRun, OutOfStep

    class Context:
        def __init__(self, *met):
            self.met, self.asked = frozenset(met), []

        def meet(self, moment, worked):
            self.asked.append((moment, worked))
            return self.met

    def run(*met):
        group = GroupRun.__new__(GroupRun)
        group.context = Context(*met)
        return group

    run(True)._keep_step("cell")
    for met, goes_on in (((True, False), True), ((), False)):
        with pytest.raises(OutOfStep, match="memory") as raised:
            run(*met)._keep_step("cell")
        group = run(*met)
        assert group._in_step("cell", raised.value) is goes_on
        assert group.context.asked == []  # it has said how it went
    assert run(False)._in_step("cell", ValueError()) is True
    assert run()._in_step("cell", ValueError()) is False
