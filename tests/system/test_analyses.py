"""Runs with analyses: cells of their own stage, resumable, failing alone, and on no board."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow.compute as pc
import pytest

import harness
from harness.store import store
from harness.store.store import Store
from support.results import committed, rows, total

RUN = ("gd", "private-data:p=0.3,nudge:small", "stub")
"""One attack that trains, and one that does not."""


def found(place, **where):
    """The findings of the cells with these columns, by the cell."""
    cells = {row["key"]: row for row in rows(place, **where)}
    by_cell = {}
    for row in store.analyses([Store(place)]).to_pylist():
        if row["key"] in cells:
            by_cell.setdefault(row["key"], []).append(row)
    return [(cells[key], findings) for key, findings in by_cell.items()]


def distances(findings):
    """The distances that one cell found, by what moved the model."""
    return {row["series"]: row["value"] for row in findings if row["figure"] == "distance"}


def test_a_run_makes_a_cell_of_each_analysis_and_attack_that_trains(world):
    ended = world.run(*RUN, "--analyses", "gap,lift", seeds=1, controls=False)
    assert ended.code == 0, ended.err
    assert "analyses: gap, lift" in ended.err + ended.out
    made = Counter(
        (row["stage"], row["analysis"], row["attack"], row["variant"]) for row in rows(world.path())
    )
    assert made == {
        ("evaluation", "", "none", ""): 1,
        ("analysis", "gap", "none", ""): 1,
        ("attack", "", "private-data", "p=0.3"): 1,
        ("analysis", "lift", "private-data", "p=0.3"): 1,
        ("attack", "", "nudge", "small"): 1,
    }
    [(gap, findings)] = found(world.path(), analysis="gap")
    notes = json.loads(gap["notes"])
    assert gap["analysis_plugin"] == "stub_plugin 1.0"
    assert gap["analysis_config"] == '{"power":1}'
    assert gap["seconds"] > 0
    assert "forgotten" in notes
    assert json.loads(gap["provenance"])["python"]
    assert distances(findings)[""] > 0
    assert {row["series"] for row in findings if row["figure"] == "loss"} == {"original", "unlearned"}
    [(lift, findings)] = found(world.path(), analysis="lift")
    [attack] = rows(world.path(), stage="attack", attack="private-data")
    best = {name: json.loads(attack["notes"])[name] for name in ("best_step", "learning_rate")}
    assert {name: json.loads(lift["notes"])[name] for name in best} == best
    assert distances(findings)["unlearning"] == pytest.approx(
        distances(found(world.path(), analysis="gap")[0][1])[""]
    )
    assert (distances(findings)["attack"] > 0) == bool(best["best_step"])


def test_without_the_option_there_is_no_analysis_and_no_file_of_one(world):
    assert world.run("gd", "none", "stub", seeds=1, controls=False).code == 0
    assert {row["stage"] for row in rows(world.path())} == {"evaluation"}
    assert not (world.path() / "analyses").exists()


def test_analyses_are_added_to_results_and_the_cells_that_are_there_stay(world):
    assert world.run(*RUN, seeds=1, controls=False).code == 0
    before = committed(world.path())
    ended = world.run(*RUN, "--analyses", "all", seeds=1, controls=False)
    assert ended.code == 0, ended.err
    assert total(ended.out + ended.err)[1] == len(before)
    after = committed(world.path())
    assert {key: after[key] for key in before} == before
    assert {row["analysis"] for row in rows(world.path(), stage="analysis")} >= {"gap", "lift"}


def test_an_analysis_made_later_sees_the_attack_that_a_run_of_both_sees(world):
    assert world.run(*RUN, "--analyses", "lift", seeds=1, controls=False).code == 0
    assert world.run(*RUN, seeds=1, controls=False, results="later").code == 0
    assert world.run(*RUN, "--analyses", "lift", seeds=1, controls=False, results="later").code == 0
    [(one, findings)], [(other, again)] = (
        found(world.path(name), analysis="lift") for name in ("results", "later")
    )
    assert one["key"] == other["key"]
    assert findings == again


def test_the_same_run_finds_everything_done(world):
    run = (*RUN, "--analyses", "gap,lift")
    assert world.run(*run, seeds=1, controls=False).code == 0
    before = committed(world.path())
    ended = world.run(*run, seeds=1, controls=False)
    assert total(ended.out + ended.err) == (5, 5)
    assert committed(world.path()) == before


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("raise", "nothing to look at (analyses.py, line "),
        ("nothing", "The analysis 'gap' found nothing: it must give at least one number."),
        ("nan", "The analysis 'gap' gave nan for distance: leave out what cannot be computed."),
    ],
)
def test_an_analysis_that_fails_fails_alone_and_is_tried_again(world, kind, says):
    fault = world.switch("gap", kind)
    run = (*RUN, "--analyses", "gap,lift")
    assert world.run(*run, seeds=1, controls=False).code == 1
    [failed] = rows(world.path(), status="failed")
    assert (failed["stage"], failed["analysis"]) == ("analysis", "gap")
    assert failed["error_message"].startswith(says)
    assert len(rows(world.path(), status="ok")) == 4
    fault.unlink()
    ended = world.run(*run, seeds=1, controls=False)
    assert ended.code == 0
    assert total(ended.out + ended.err) == (5, 4)


def test_an_analysis_that_changes_weights_fails_and_what_comes_after_is_as_if_it_had_not_run(world):
    run = (*RUN, "--analyses", "gap,lift")
    assert world.run(*run, seeds=1, controls=False, results="plain").code == 0
    world.switch("gap", "change")
    assert world.run(*run, seeds=1, controls=False).code == 1
    [failed] = rows(world.path(), status="failed")
    assert (failed["analysis"], failed["error_type"]) == ("gap", "Tampered")
    assert failed["error_message"] == (
        "The analysis 'gap' changed the weights of the unlearned model. An analysis reads weights: take a "
        "clone of what it changes."
    )
    plain, disturbed = (found(world.path(name), analysis="lift") for name in ("plain", "results"))
    assert plain[0][1] == disturbed[0][1]
    for table in ("metrics", "samples"):
        one, other = (getattr(Store(world.path(name)), table)() for name in ("plain", "results"))
        kept = other["key"].unique()
        assert one.filter(pc.is_in(one["key"], kept)).equals(other)


BREAKS = '''
import harness

class Breaks(harness.Attack):
    """Trains, and then fails."""

    name = "breaks"
    reads = frozenset({"forget"})
    rates = (1e-5,)
    Config = harness.FinetuneConfig

    def attack(self, job):
        raise RuntimeError("it does not come that far")


class Count(harness.Analysis):
    """How many facts there are, after an attack."""

    name = "count"
    attacked = True

    def analyse(self, job):
        """One number."""
        yield harness.Finding("facts", "forget", len(job.forget))
'''


def test_an_analysis_of_an_attack_that_failed_says_so_and_the_attack_is_made_once(world, tmp_path):
    path = tmp_path / "breaks.py"
    path.write_text(BREAKS)
    run = ("gd", "breaks,private-data:p=0.3", "stub", "--plugin", path, "--analyses", "count,lift")
    assert world.run(*run, seeds=1, controls=False).code == 1
    failed = rows(world.path(), status="failed")
    assert {(row["stage"], row["analysis"], row["attack"]) for row in failed} == {
        ("attack", "", "breaks"),
        ("analysis", "count", "breaks"),
        ("analysis", "lift", "breaks"),
    }
    [attack] = (row for row in failed if row["stage"] == "attack")
    assert attack["error_message"] == "it does not come that far (breaks.py, line 13)"
    for row in failed:
        if row["stage"] == "analysis":
            said = f"The attack before it failed: {attack['error_message']}"
            assert row["error_message"] == said
    [(row, findings)] = found(world.path(), analysis="count")
    assert row["attack"] == "private-data"
    assert row["analysis_plugin"].startswith("breaks.py ")
    assert [finding["value"] for finding in findings] == [8.0]


def test_an_analysis_that_needs_an_attack_is_left_out_without_one(world):
    ended = world.run("gd", "nudge:small", "stub", "--analyses", "lift,gap", seeds=1, controls=False)
    assert ended.code == 0
    assert "left out: lift on stub: it looks at models after an attack that trains, and none does." in (
        ended.out + ended.err
    )
    assert {row["analysis"] for row in rows(world.path(), stage="analysis")} == {"gap"}


def test_the_board_is_the_same_with_and_without_analyses(world):
    assert world.run(*RUN, seeds=1, controls=True).code == 0
    without = harness.load(world.path())
    board, text = without.leaderboard, without.summary()
    assert without.analyses.num_rows == 0
    assert world.run(*RUN, "--analyses", "gap,lift", seeds=1, controls=True).code == 0
    there = harness.load(world.path())
    assert there.leaderboard.equals(board)
    assert there.curves.equals(without.curves)
    assert there.summary() == text
    assert there.analyses.num_rows > 0
    assert {*there.analyses["key"].to_pylist()} == {
        row["key"] for row in there.cells.to_pylist() if row["stage"] == "analysis"
    }


def test_results_of_analyses_alone_have_no_board_and_say_what_to_do(world, tmp_path):
    assert world.run("gd", "none", "stub", "--analyses", "gap", seeds=1, controls=False).code == 0
    for row in rows(world.path()):
        if row["stage"] != "analysis":
            (world.path() / "cells" / f"{row['key']}.parquet").unlink()
    there = harness.load(world.path())
    assert there.analyses.num_rows == 5
    with pytest.raises(harness.StoreError, match="There are no results yet"):
        there.leaderboard  # noqa: B018


def test_settings_of_an_analysis_are_in_its_key_and_in_no_other(world):
    run = ("gd", "none", "stub", "--analyses", "gap")
    assert world.run(*run, seeds=1, controls=False).code == 0
    ended = world.run(*run, "--set", "gap.power=2", seeds=1, controls=False)
    assert ended.code == 0, ended.err
    assert total(ended.out + ended.err) == (2, 1)
    one, other = (distances(findings)[""] for _, findings in found(world.path(), analysis="gap"))
    assert max(one, other) == pytest.approx(min(one, other) ** 2) or min(one, other) == pytest.approx(
        max(one, other) ** 2
    )


@pytest.mark.parametrize(
    ("analyses", "says"),
    [
        ("gapp", "There is no analysis 'gapp'. Did you mean 'gap'?"),
        ("none,gap", "'none' means no analysis and stands alone, unlike in 'none,gap'."),
        (",", "No analysis is named: give names separated by commas, or 'all'."),
    ],
)
def test_a_selection_that_cannot_be(world, analyses, says):
    ended = world.run("gd", "none", "stub", "--analyses", analyses, seeds=1, controls=False)
    assert ended.code == 2
    assert says in ended.err
