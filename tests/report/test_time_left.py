"""How long something takes, in words, and how much of it is left as cells end."""

from __future__ import annotations

import pytest

from harness.report.time_left import SURE, TimeLeft, duration, expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "10 s"),
        (34, "30 s"),
        (58, "1 min"),
        (89, "1 min"),
        (12 * 60 + 20, "12 min"),
        (3570, "1 h"),
        (3599, "1 h"),
        (6650, "1 h 50 min"),
        (7190, "2 h"),
        (90_000, "25 h"),
    ],
)
def test_a_duration_is_no_more_exact_than_an_estimate(seconds, text):
    assert duration(seconds) == text


def test_what_is_not_known_is_said():
    assert expected(6600, 2) == "about 1 h 50 min on 2 workers"
    assert expected(600, 1, 30, 1) == (
        "about 10 min on 1 worker, and 30 cells and 1 model of which there is no estimate yet"
    )
    assert expected(0, 2, 1) == "no estimate yet, since nothing like 1 cell of it was measured here"


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_before_any_cell_ends_it_is_what_was_expected_less_what_has_passed(clock):
    left = TimeLeft({"a": 100.0, "b": 300.0}, 2, before=50.0, clock=clock)
    assert left.seconds() == 50 + 400 / 2
    clock.now = 30.0
    assert left.seconds() == 20 + 400 / 2
    clock.now = 1e6
    assert left.seconds() == 0


def test_cells_that_take_longer_than_expected_make_all_longer(clock):
    left = TimeLeft({"a": 2 * SURE, "b": 100.0}, 1, clock=clock)
    left.end("a", 5 * SURE)
    assert left.seconds() == pytest.approx(2 * 100.0)  # (5 + 1) / (2 + 1)


def test_one_short_cell_says_little(clock):
    left = TimeLeft({"a": 0.1, "b": 100.0}, 1, clock=clock)
    left.end("a", 0.4)
    assert left.seconds() == pytest.approx(100.0, rel=0.01)


def test_of_cells_that_nobody_knows_the_mean_of_others_stands(clock):
    left = TimeLeft({"a": None, "b": None, "c": None}, 1, clock=clock)
    assert (left.seconds(), str(left)) == (None, "")
    left.end("a", 120.0)
    assert left.seconds() == 240.0
    assert str(left) == "about 4 min left"


def test_a_cell_that_another_run_did_says_nothing_about_the_pace(clock):
    left = TimeLeft({"a": 100.0, "b": 100.0}, 1, clock=clock)
    left.end("a", 0.0)
    assert left.seconds() == 100.0


def test_fewer_cells_than_workers_take_as_long_as_one_of_them(clock):
    assert TimeLeft({"a": 100.0}, 8, clock=clock).seconds() == 100.0


def test_nothing_is_said_of_the_last_seconds(clock):
    left = TimeLeft({"a": 100.0}, clock=clock)
    assert str(left) == "about 2 min left"
    clock.now = 80.0
    assert str(left) == ""
    left.end("a", 100.0)
    assert str(left) == ""
