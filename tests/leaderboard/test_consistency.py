"""A number edited by hand in a leaderboard stands outside its interval, its range, or beside the worst."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from harness.leaderboard.consistency import inconsistent
from support.cells import board, world
from support.paths import ROOT

COMMITTED = ROOT / "leaderboard" / "leaderboard.parquet"

pytestmark = pytest.mark.skipif(not COMMITTED.is_file(), reason="no checkout with a leaderboard")


@pytest.fixture
def rows():
    return pq.read_table(COMMITTED).to_pylist()


def find(rows, **wanted):
    return next(row for row in rows if wanted.items() <= row.items())


def test_nothing_is_wrong_with_the_committed_one(rows):
    assert list(inconsistent(rows)) == []


@pytest.mark.parametrize(
    ("attack", "column", "value", "says"),
    [
        ("private-data", "score", 0.1, "score 0.1 is outside its own interval"),
        ("private-data", "exact_match", 1.0, "exact_match 1 is outside its own interval"),
        ("private-data", "recovery", -3.0, "recovery -3 is outside its own interval"),
        ("none", "forget_before", 0.9, "forget_before 0.9 is outside its own interval"),
        ("none", "worst", 0.01, "worst 0.01 is outside its own interval"),
        ("none", "forget_low_bound", 0.9, "is outside the metric's range"),
    ],
)
def test_an_edited_number_is_named_with_its_row(rows, attack, column, value, says):
    row = find(rows, benchmark="faithun-mini", method="gd", attack=attack)
    row[column] = value
    found = list(inconsistent(rows))
    where = {place for place, _ in found}
    assert where == {" ".join(filter(None, ("faithun-mini gd", attack, row["variant"])))}
    assert any(says in sentence for _, sentence in found)


def test_a_worst_score_that_was_lowered_within_its_interval_is_found(rows):
    before = find(rows, benchmark="faithun-mini", method="gd", attack="none")
    worst = next(
        row
        for row in rows
        if (row["benchmark"], row["method"]) == ("faithun-mini", "gd") and row["score"] == before["worst"]
    )
    worst["score"] -= 0.01
    assert list(inconsistent(rows)) == [
        ("faithun-mini gd none", f"worst is not the score under {before['worst_attack']}")
    ]


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("recovered", 0.6, "recovered is not the recovery under private-data p=0.1"),
        ("kept_high", 0.5, "kept 1 is outside its own interval"),
        ("retain_before", 0.2, "retain_before 0.2 is outside its own interval"),
        ("verdict", "wiped", "'wiped' is no verdict"),
    ],
)
def test_an_edited_verdict_and_what_it_rests_on_are_found(tmp_path, column, value, says):
    table = board(tmp_path, world()).to_pylist()
    assert list(inconsistent(table)) == []
    row = find(table, method="gd", attack="none")
    row[column] = value
    assert list(inconsistent(table)) == [("world gd none", says)]
