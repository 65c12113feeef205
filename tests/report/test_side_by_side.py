"""Work is done on all cores, in order, and fails as it would here."""

from __future__ import annotations

import os
import signal

import pytest

from harness.errors import HarnessError, StoreError
from harness.report import side_by_side as module
from harness.report.side_by_side import side_by_side


@pytest.mark.parametrize("cores", [1, 2])
def test_results_come_in_order_and_see_what_this_process_holds(monkeypatch, cores):
    monkeypatch.setattr(module, "cores", lambda: cores)
    held = [object() for _ in range(5)]  # what cannot be sent

    def work(place):
        return place, held[place] is held[place], os.getpid()

    made = [*side_by_side(work, range(5))]
    assert [each[:2] for each in made] == [(place, True) for place in range(5)]
    assert ({each[2] for each in made} == {os.getpid()}) == (cores == 1)


def test_one_item_needs_no_process():
    assert [*side_by_side(lambda item: os.getpid(), ["one"])] == [os.getpid()]


@pytest.mark.parametrize("cores", [1, 2])
def test_a_sentence_comes_through(monkeypatch, cores):
    monkeypatch.setattr(module, "cores", lambda: cores)

    def fail(item):
        raise StoreError(f"{item} is damaged.")

    with pytest.raises(StoreError, match=r"^a is damaged\.$"):
        [*side_by_side(fail, ["a", "b"])]


def test_a_process_that_is_killed_is_a_sentence(monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 2)

    def die(item):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(HarnessError, match="was killed: most often memory ran out"):
        [*side_by_side(die, ["a", "b"])]
