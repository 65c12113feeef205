"""The commands that hold a committed leaderboard against results: what they find, say, and exit with."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import harness.api
from harness.core.names import ATTACK, EVALUATION
from harness.core.types import Metric, Outcome
from harness.leaderboard import origin
from harness.store.schema import CellRow
from harness.store.store import Store
from support.command import harness_cli
from support.sound import curve, scored, sound, together

KNOWN = {"none": 28, "gd": 10, "npo": 20}
NOTES = {"forget_metric": "accuracy", "retain_metric": ["retain", "accuracy"], "chance": 0.25, "n_scored": 30}


def cell(method, attack, seed, known, where=""):
    """A cell of a model that answers the first ``known`` facts, as it was measured somewhere."""
    fields = {
        "benchmark": "world",
        "data_fingerprint": "d" * 64,
        "model": "tiny",
        "target_key": "t" * 64,
        "target_weights": "w" * 64,
        "method": method,
        "method_plugin": "p 1",
        "stage": EVALUATION if attack == "none" else ATTACK,
        "attack": attack,
        "seed": seed,
        "dtype": "float32",
        "notes": json.dumps(NOTES),
        "seconds": 1.0,
        "provenance": json.dumps({"started_at": where}),
    }
    values = [float(i < known) for i in range(30)]
    outcome = together(*(scored("forget", name, values) for name in ("accuracy", "exact_match")))
    if attack == "none":
        utility = Outcome([Metric("all", "utility", 0.8)])
        outcome = together(outcome, scored("retain", "accuracy", [1.0] * 9 + [0.0]), utility)
    else:
        outcome = curve(outcome, (0, None))
    return sound(CellRow(key="", **fields)), outcome


def fill(place, methods=tuple(KNOWN), attacks=("none", "noise"), more=0):
    """Results of three seeds; under attacks every model answers ``more`` facts than it should."""
    for method in methods:
        for attack in attacks:
            for seed in range(3):
                known = min(30, KNOWN.get(method, 15) + (0 if attack == "none" else seed - 1 + more))
                Store(place).commit(*cell(method, attack, seed, known, place.parent.name + place.name))
    return place


@pytest.fixture
def results(tmp_path):
    return fill(tmp_path / "results")


@pytest.fixture
def again(tmp_path):
    """The same, measured once more."""
    return fill(tmp_path / "again")


@pytest.fixture
def board(tmp_path, results):
    """The committed leaderboard of the results."""
    assert leaderboard("build", "--results", results, "--out", tmp_path / "board").code == 0
    return tmp_path / "board"


def leaderboard(*arguments):
    return harness_cli("leaderboard", *map(str, arguments))


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """No table wraps."""
    monkeypatch.setenv("COLUMNS", "200")


def text(ended):
    """What was printed, in one line."""
    return " ".join(ended.out.split())


def refusal(ended):
    assert (ended.code, ended.out) == (2, "")
    [line] = ended.err.splitlines()
    return line.removeprefix("Error: ")


def test_results_that_were_measured_again_agree(board, again):
    ended = leaderboard("check", "--committed", board, "--results", again)
    assert (ended.code, ended.err) == (0, "")
    # Before attacks forget, retain, utility and worst; under the attack score and exact match.
    assert "6 rows and 21 numbers of 3 unlearned models compared" in ended.out
    assert ended.out.endswith("All numbers are equal.\nThey agree.\n")


def test_a_number_beyond_the_intervals_is_found(board, tmp_path):
    drifted = fill(tmp_path / "drifted", ("none", "npo"))
    fill(drifted, ("gd",), more=15)
    ended = leaderboard("check", "--committed", board, "--results", drifted)
    assert ended.code == 1
    assert "world gd, noise score 0.333 0.833" in text(ended)
    assert "score 0.333, now 0.833 find out why; if it is meant, build and commit" in text(ended)
    assert re.search(r"^\d+ differences?\.$", ended.err)


def test_a_number_within_them_is_shown_and_agrees(board, tmp_path):
    ended = leaderboard("check", "--committed", board, "--results", fill(tmp_path / "near", more=1))
    assert (ended.code, ended.err) == (0, "")
    assert "furthest apart" in ended.out
    assert "world npo, noise score 0.667 0.700" in text(ended)


def test_failed_cells_and_missing_rows_are_found(board, results, tmp_path):
    part = fill(tmp_path / "part", ("none", "gd"))
    row, _ = cell("gd", "noise", 1, 0)
    Store(part).commit(replace(row, status="failed", error_type="MemoryError", error_message="no room"))
    ended = leaderboard("check", "--committed", board, "--results", part)
    assert ended.code == 1
    assert "world gd, noise 1 failed: seed 1: MemoryError: no room run again" in text(ended)
    assert "world npo, before attacks and 1 more not in the results run it" in text(ended)


def test_a_part_is_held_against_its_own_rows(board, tmp_path):
    part = fill(tmp_path / "part", ("gd",))
    assert leaderboard("check", "--committed", board, "--results", part).code == 1
    ended = leaderboard("check", "--committed", board, "--results", part, "--part")
    assert (ended.code, ended.err) == (0, "")
    assert "2 rows and 5 numbers of 1 unlearned models" in ended.out


def test_results_that_share_no_row_with_it_are_no_agreement(board, tmp_path):
    other = tmp_path / "other"
    row, outcome = cell("gd", "noise", 0, 5)
    Store(other).commit(sound(replace(row, benchmark="elsewhere")), outcome)
    ended = leaderboard("check", "--committed", board, "--results", other, "--part")
    assert ended.code == 1
    assert ended.err == "Too little to compare: the results hold 0 of its rows, needed: 1.\n"


def test_a_stale_page_is_found_and_mended_without_results(board, again):
    page = board / "README.md"
    fresh = page.read_bytes()
    page.write_bytes(fresh + b"by hand")
    ended = leaderboard("check", "--committed", board, "--results", again)
    assert ended.code == 1
    assert "not what the tables beside it give harness leaderboard pages" in text(ended)
    assert leaderboard("pages", "--out", board).code == 0
    assert page.read_bytes() == fresh
    assert leaderboard("check", "--committed", board, "--results", again).code == 0


def test_a_page_that_is_not_there_is_found(board, again):
    (board / "README.md").unlink()
    ended = leaderboard("check", "--committed", board, "--results", again)
    assert ended.code == 1
    assert "not there harness leaderboard pages" in text(ended)


@pytest.mark.parametrize("command", [("check",), ("regenerate",), ("pages",)])
def test_a_leaderboard_that_cannot_be_read_is_refused(command, results, board):
    """Not there, damaged, or with other columns."""
    option = "--out" if command == ("pages",) else "--committed"
    more = ("--results", results) if command == ("check",) else ()
    path = board / "leaderboard.parquet"
    table = pq.read_table(path)
    path.write_bytes(path.read_bytes()[:200])
    said = refusal(leaderboard(*command, option, board, *more))
    assert said.startswith(f"{path} is damaged or cannot be read (")
    pq.write_table(table.drop_columns(["score", "rank"]), path)
    said = refusal(leaderboard(*command, option, board, *more))
    assert said == f"{path} lacks the columns rank, score: build it again with this version."
    path.unlink()
    said = refusal(leaderboard(*command, option, board, *more))
    assert said == f"There is no {path}; name the directory of a leaderboard."


@pytest.mark.parametrize("command", ["check", "merge"])
def test_results_that_are_not_there_are_refused(command, board, tmp_path):
    gone = tmp_path / "gone"
    options = (
        ("--committed", board, "--results", gone) if command == "check" else ("--out", tmp_path / "o", gone)
    )
    said = refusal(leaderboard(command, *options))
    assert said.startswith(f"There is no results directory {gone}")
    assert not (tmp_path / "o").exists()


class TestItself:
    """Results vouch for no leaderboard that was built from them."""

    SENTENCE = (
        "{} would be compared with itself: every row that these results hold was built from exactly their "
        "cells; give --results that were measured apart, or another board by --committed."
    )

    @pytest.mark.parametrize("option", [(), ("--part",)])
    def test_a_leaderboard_of_these_very_results_is_refused(self, board, results, option):
        said = refusal(leaderboard("check", "--committed", board, "--results", results, *option))
        assert said == self.SENTENCE.format(board)

    def test_so_it_is_where_the_results_hold_more(self, board, results):
        fill(results, attacks=("prune",))
        said = refusal(leaderboard("check", "--committed", board, "--results", results))
        assert said == self.SENTENCE.format(board)

    def test_a_copy_of_a_part_is_refused_as_a_part_and_lacks_rows_as_the_whole(
        self, board, results, tmp_path
    ):
        part = tmp_path / "part"
        for path in results.rglob("*.parquet"):
            (part / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, part / path.parent.name)
        for row in Store(part).cells().to_pylist():
            if row["method"] == "npo":
                (part / "cells" / f"{row['key']}.parquet").unlink()
        said = refusal(leaderboard("check", "--committed", board, "--results", part, "--part"))
        assert said == self.SENTENCE.format(board)
        ended = leaderboard("check", "--committed", board, "--results", part)
        assert ended.code == 1
        assert "world npo, before attacks and 1 more not in the results" in text(ended)

    def test_one_row_that_was_measured_again_is_compared_and_the_others_are_counted(self, board, results):
        fill(results, ("gd",), ("noise",), more=1)
        ended = leaderboard("check", "--committed", board, "--results", results)
        assert (ended.code, ended.err) == (0, "")
        assert "rows that were built from these very cells, and so agree: 5." in ended.out

    def test_a_leaderboard_that_does_not_say_of_which_cells_it_is_is_compared(self, board, results):
        path = board / "leaderboard.parquet"
        table = pq.read_table(path)
        others = {key: value for key, value in table.schema.metadata.items() if key != origin.METADATA}
        assert len(others) == len(table.schema.metadata) - 1
        pq.write_table(table.replace_schema_metadata(others), path)
        assert leaderboard("check", "--committed", board, "--results", results).code == 0


class TestBuild:
    """A leaderboard goes beside its results, and takes no row from where it goes."""

    def test_it_goes_beside_the_results(self, results, monkeypatch):
        monkeypatch.chdir(results.parent)
        assert leaderboard("build").code == 0
        assert (results / "leaderboard" / "index.html").is_file()
        assert not (results.parent / "leaderboard").exists()
        assert leaderboard("build").code == 0, "what holds no more is replaced"

    def test_of_several_results_it_must_be_said_where(self, results, again):
        said = refusal(leaderboard("build", "--results", results, "--results", again))
        assert said == "There are several --results: say with --out where their leaderboard goes."

    def test_one_that_holds_more_is_kept_unless_forced(self, board, tmp_path):
        part = fill(tmp_path / "part", ("none", "gd"), ("none", "noise"))
        before = (board / "leaderboard.parquet").read_bytes()
        said = refusal(leaderboard("build", "--results", part, "--out", board))
        assert said == (
            f"Not built: {board} holds 2 rows of 1 method (npo) that the new leaderboard lacks, and they "
            f"would be lost; build elsewhere, such as --out {part / 'leaderboard'}, or replace it with "
            "--force."
        )
        assert (board / "leaderboard.parquet").read_bytes() == before
        assert leaderboard("build", "--results", part, "--out", board, "--force").code == 0
        assert set(pq.read_table(board / "leaderboard.parquet")["method"].to_pylist()) == {"none", "gd"}

    def test_one_more_method_replaces_it(self, board, results):
        fill(results, ("rmu",))
        assert leaderboard("build", "--results", results, "--out", board).code == 0

    def test_other_settings_of_a_method_are_other_rows(self, results, tmp_path):
        row, outcome = cell("gd", "none", 0, 10)
        Store(results).commit(sound(replace(row, method_config='{"gamma": 2}')), outcome)
        board = tmp_path / "board"
        assert leaderboard("build", "--results", results, "--out", board).code == 0
        said = refusal(leaderboard("build", "--results", fill(tmp_path / "b"), "--out", board))
        assert said.startswith(
            f"Not built: {board} holds 1 row of 1 method (gd) that the new leaderboard lacks"
        )

    def test_where_the_usual_place_is_taken_a_free_one_is_proposed(self, results):
        assert leaderboard("build", "--results", results).code == 0
        beside = results / "leaderboard"
        said = refusal(leaderboard("build", "--results", results, "--methods", "gd"))
        assert f"such as --out {beside}-2, or" in said
        assert leaderboard("build", "--results", results, "--methods", "gd", "--out", f"{beside}-2").code == 0

    @pytest.mark.parametrize("content", [b"PAR1", None])
    def test_one_that_cannot_be_read_is_kept(self, board, results, content):
        path = board / "leaderboard.parquet"
        if content:
            path.write_bytes(content)
        else:
            pq.write_table(pq.read_table(path).drop_columns(["signature"]), path)
        said = refusal(leaderboard("build", "--results", results, "--out", board))
        assert said.startswith(f"Not built: {path} cannot be read, so what would be lost is not known; ")
        assert leaderboard("build", "--results", results, "--out", board, "--force").code == 0

    def test_a_readme_of_something_else_is_kept(self, results, tmp_path, monkeypatch):
        (tmp_path / "README.md").write_text("mine")
        monkeypatch.chdir(tmp_path)
        said = refusal(leaderboard("build", "--out", "."))
        assert said.startswith(
            "Not built: README.md belongs to no leaderboard, and would be lost; build elsewhere"
        )
        assert (tmp_path / "README.md").read_text() == "mine"

    def test_methods_and_attacks_that_are_named_make_it(self, results):
        fill(results, attacks=("prune",))
        options = ("--methods", "gd", "--attacks", "prune,none")
        assert leaderboard("build", "--results", results, *options).code == 0
        rows = pq.read_table(results / "leaderboard" / "leaderboard.parquet").to_pylist()
        assert {(row["method"], row["attack"]) for row in rows} == {
            (method, attack) for method in ("none", "gd") for attack in ("none", "prune")
        }

    @pytest.mark.parametrize(("option", "kind"), [("--methods", "method"), ("--attacks", "attack")])
    def test_a_name_that_was_not_measured_is_refused(self, results, option, kind):
        said = refusal(leaderboard("build", "--results", results, option, "elsewhere"))
        assert said.startswith(f"There is no {kind} in these results named 'elsewhere'. There are: all, ")
        assert not (results / "leaderboard").exists()


def test_merged_parts_give_the_leaderboard_of_the_whole(board, tmp_path):
    parts = [fill(tmp_path / method, (method,)) for method in KNOWN]
    out = tmp_path / "merged"
    ended = leaderboard("merge", "--out", out, *parts)
    assert (ended.code, ended.out) == (0, f"{out}: 18 cells, 18 of them new.\n")
    assert leaderboard("check", "--committed", board, "--results", out).code == 0


def test_parts_that_contradict_each_other_are_not_merged(results, tmp_path):
    other = fill(tmp_path / "other", ("gd",), more=1)
    said = refusal(leaderboard("merge", "--out", tmp_path / "o", results, other))
    assert said.startswith("Not merged: the same cells have different numbers")


class TestRegenerate:
    """The run itself is another test's: here it is replaced by one that commits cells at once."""

    @pytest.fixture
    def more(self):
        """How many facts more the models of the run answer."""
        return 0

    @pytest.fixture(autouse=True)
    def ran(self, monkeypatch, more):
        """What was asked of the run."""
        asked = []

        def run(options):
            asked.append(options)
            assert not options.cache.exists()
            assert not options.results.exists()
            fill(options.results, options.methods, ("none", *options.attacks), more)

        monkeypatch.setattr(harness.api, "carry_out", run)
        return asked

    def test_a_drawn_part_is_run_from_nothing_and_agrees(self, board, ran):
        ended = leaderboard("regenerate", "--committed", board)
        assert (ended.code, ended.err) == (0, "")
        [options] = ran
        assert (options.benchmarks, options.attacks, options.seeds) == (("world",), ("noise",), 3)
        assert not options.controls
        assert options.cache.parent == options.results.parent
        assert not options.results.parent.exists()
        assert "They agree." in ended.out
        seed = re.search(r"drawn with --seed (\d+): world", ended.out)[1]
        again = leaderboard("regenerate", "--committed", board, "--seed", seed)
        assert again.out == ended.out

    def test_trained_models_may_come_from_elsewhere_and_stay_there(self, board, ran, tmp_path):
        ended = leaderboard("regenerate", "--committed", board, "--cache", tmp_path / "models")
        assert (ended.code, ended.err) == (0, "")
        assert ran[0].cache == tmp_path / "models"
        assert ran[0].results.parent != tmp_path

    def test_fresh_draws_have_fresh_seeds(self, board):
        said = {leaderboard("regenerate", "--committed", board).out.splitlines()[0] for _ in range(3)}
        assert len(said) == 3

    @pytest.mark.parametrize("more", [15])
    def test_what_differs_is_found_and_kept(self, board, ran):
        ended = leaderboard("regenerate", "--committed", board, "--seed", 1)
        assert ended.code == 1
        place = Path(re.search(r"The results are kept in (\S+)\. Draw .* --seed 1\.", ended.err)[1])
        assert place == ran[0].results.parent
        assert (place / "results" / "cells").is_dir()

    def test_rows_that_were_drawn_and_not_made_are_no_agreement(self, board, monkeypatch):
        monkeypatch.setattr(
            harness.api, "carry_out", lambda options: fill(options.results, ("gd",), ("none",))
        )
        ended = leaderboard("regenerate", "--committed", board, "--seed", 1)
        assert ended.code == 1
        assert ended.err.startswith("Too little to compare: the results hold 1 of its rows, needed: ")

    def test_a_budget_for_nothing_is_refused(self, board, ran):
        said = refusal(leaderboard("regenerate", "--committed", board, "--minutes", 1))
        assert said.startswith("No row of this leaderboard can be made again in 1 minutes")
        assert not ran


class TestAgain:
    """As above, of single cells."""

    @pytest.fixture
    def more(self):
        """How many facts more the models of the run answer."""
        return 0

    @pytest.fixture(autouse=True)
    def ran(self, monkeypatch, more):
        """What was asked of the run."""
        asked = []

        def run(options):
            asked.append(options)
            attacks = {"none", *options.attacks}
            fill(options.results, options.methods, attacks, more)
            return harness.load(options.results)

        monkeypatch.setattr(harness.api, "carry_out", run)
        return asked

    def test_drawn_cells_are_run_from_nothing_and_agree(self, results, ran):
        ended = leaderboard("check", "--again", 3, "--results", results, "--seed", 5)
        assert (ended.code, ended.err) == (0, "")
        assert len(re.findall(r"drawn with --seed 5: world (?:gd|npo) (?:none|noise) seed 0", ended.out)) == 3
        assert len(re.findall(r"(\d+) numbers: \1 are as they are kept, 0 disagree\.", ended.out)) == 3
        for options in ran:
            assert (options.benchmarks, options.seeds, options.model) == (("world",), 1, "tiny")
            assert not options.controls
            assert not options.results.parent.exists()
        again = leaderboard("check", "--again", 3, "--results", results, "--seed", 5)
        assert again.out == ended.out

    def test_controls_and_other_seeds_are_not_drawn(self, results):
        said = refusal(leaderboard("check", "--again", 5, "--results", results))
        assert said.startswith("5 cells cannot be drawn: of these results 4 can be made again")

    @pytest.mark.parametrize("more", [2, 15])
    def test_a_number_may_move_within_its_interval(self, results, ran, more):
        ended = leaderboard("check", "--again", 4, "--results", results, "--seed", 1)
        moved = re.findall(r"accuracy on forget: 0\.\d+ \[0\.\d+, 0\.\d+\], and 0?1?\.?\d+ again", ended.out)
        assert moved
        assert ended.code == (1 if more == 15 else 0)
        if more == 15:
            place = Path(re.search(r"The results are kept in (\S+)\. Draw .* --seed 1\.", ended.err)[1])
            assert (place / "results" / "cells").is_dir()

    def test_one_that_a_plain_run_does_not_make_is_refused(self, results, monkeypatch, tmp_path):
        other = fill(tmp_path / "other", ("ga",))
        monkeypatch.setattr(harness.api, "carry_out", lambda options: harness.load(other))
        ended = leaderboard("check", "--again", 1, "--results", results)
        assert ended.code == 2
        assert "was made with settings or data that a plain run does not have" in ended.err

    def test_a_cell_that_was_changed_is_not_drawn(self, results):
        place = results / "metrics"
        for path in place.iterdir():
            table = pq.read_table(path)
            if table.num_rows:
                column = table.schema.get_field_index("value")
                pq.write_table(table.set_column(column, "value", pa.array([0.5] * table.num_rows)), path)
        said = refusal(leaderboard("check", "--again", 1, "--results", results))
        assert "of these results 0 can be made again" in said
