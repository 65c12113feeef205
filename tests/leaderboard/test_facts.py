"""What became of single facts, and what analyses found, beside the rows of a leaderboard."""

from __future__ import annotations

from collections import defaultdict

import pytest

from harness.leaderboard import analyses
from support.boards import EVIL, KNOWN, made
from support.rows import Row


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return made(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def rows(built) -> dict[str, Row]:
    return {row["signature"]: row for row in built.board.to_pylist()}


def test_the_values_of_the_facts_of_a_row_have_its_score_as_mean(built, rows):
    values = defaultdict(list)
    for fact in built.facts.to_pylist():
        values[fact["signature"]].append(fact["value"])
    scores = {
        name: row["score"] if row["attack"] != "none" else row["forget_before"] for name, row in rows.items()
    }
    assert values.keys() == {name for name, score in scores.items() if score is not None}
    for name, of_row in values.items():
        assert sum(of_row) / len(of_row) == pytest.approx(scores[name])


def test_a_fact_is_the_mean_over_the_seeds_that_scored_it(built, rows):
    attacked = [
        (fact["fact"], fact["value"], fact["seeds"])
        for fact in built.facts.to_pylist()
        if (rows[fact["signature"]]["method"], rows[fact["signature"]]["attack"]) == ("npo", "private-data")
    ]
    _, after = KNOWN["npo"]
    known = {f"f{i}": float(i < after) for i in range(20)}
    assert attacked == [(name, known[name], 2) for name in sorted(known)]  # the third seed failed


def test_the_answer_is_that_of_the_first_seed_and_says_which_metric_looked_at_it(built, rows):
    by_row = defaultdict(dict)
    for fact in built.facts.to_pylist():
        row = rows[fact["signature"]]
        by_row[row["method"], row["attack"]][fact["fact"]] = (fact["answer"], fact["answer_metric"])
    before, after = KNOWN["npo"]
    for attack, known in (("none", before), ("private-data", after)):
        answers = by_row["npo", attack]
        assert answers[f"f{known - 1}"] == (f"gold of f{known - 1}, seed 0", "exact_match")
        assert answers[f"f{known}"] == (EVIL, "exact_match")
        assert answers["f19"] == ("", "exact_match")  # nothing is an answer, too
    assert {*by_row["npo", "sample"].values()} == {(None, None)}


def found(built, rows, method, name):
    return [
        row
        for row in built.analyses.to_pylist()
        if (rows[row["signature"]]["method"], row["analysis"]) == (method, name)
    ]


def test_what_an_analysis_found_is_the_mean_over_seeds_beside_the_row_of_its_model(built, rows):
    mine = found(built, rows, "gd", "lens")
    assert {rows[row["signature"]]["attack"] for row in mine} == {"none"}
    ends = {row["series"]: (row["value"], row["seeds"]) for row in mine if row["x"] == 1.0}
    assert ends == {"forget original": (1.0, 2), "forget unlearned": (pytest.approx(0.3), 2)}


def test_after_an_attack_clouds_are_thinned_and_single_maps_left_out(built, rows):
    mine = found(built, rows, "gd", "stability")
    assert {rows[row["signature"]]["attack"] for row in mine} == {"private-data"}
    clouds = [row["x"] for row in mine if (row["figure"], row["series"]) == ("scatter", "positive")]
    assert len(clouds) == analyses.POINTS
    assert (clouds[0], clouds[-1], clouds) == (0.02, 1.6, sorted(clouds))
    assert [(r["layer"], r["value"]) for r in mine if r["figure"] == "pearson"] == [(None, 0.73)]
