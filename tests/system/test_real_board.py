"""The committed leaderboard of a pretrained model is what the cells beside it give, and these are sound."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict

import pytest

from harness.store.decided import identity_of
from harness.store.packed import Packed
from support.command import harness_cli
from support.paths import ROOT

DOCS, CELLS, BOARD = ROOT / "docs", ROOT / "leaderboard" / "cells", ROOT / "leaderboard" / "real"

pytestmark = pytest.mark.skipif(not CELLS.is_dir(), reason="no checkout with committed cells")


def test_every_cell_is_sound_and_of_the_pretrained_model():
    cells = Packed(CELLS).stored()
    assert cells
    assert [cell.wrong for cell in cells.values() if cell.status != "ok"] == []
    rows = [row for cell in cells.values() for row in cell.row.to_pylist()]
    assert {(row["model"], row["dtype"]) for row in rows} == {("smollm2", "float32")}
    assert {json.loads(row["notes"])["frame"] for row in rows} == {"plain"}
    assert len({row["target_weights"] for row in rows}) == 1


def test_the_board_is_built_from_its_cells_and_those_of_submissions_to_the_byte(tmp_path):
    shutil.copytree(DOCS, tmp_path / "docs")
    board = tmp_path / "board" / "real"
    ended = harness_cli(
        *("leaderboard", "submissions", ROOT / "leaderboard" / "submissions", "--cells", CELLS),
        *("--out", board, "--docs", tmp_path / "docs"),
    )
    assert ended.code == 0, ended.err
    committed = {path.name: path.read_bytes() for path in BOARD.iterdir()}
    assert {p.name: p.read_bytes() for p in board.iterdir()} == committed


def test_cells_that_two_machines_made_have_the_same_numbers():
    """One on a CPU, the other on a GPU, with other versions of torch: a rounded weight may fall otherwise."""
    pack = Packed(CELLS)
    made: dict[tuple, list[str]] = defaultdict(list)
    for key, cell in pack.stored().items():
        made[identity_of(cell.row.to_pylist()[0])].append(key)
    twice = [keys for keys in made.values() if len(keys) == 2]
    assert len(twice) == 40
    for keys in twice:
        machines = [json.loads(pack.cell(key)["provenance"][0].as_py())["gpu"] for key in keys]
        assert {bool(gpu) for gpu in machines} == {True, False}
        one, other = (finals(pack, key) for key in keys)
        assert one == pytest.approx(other, abs=0.02)
        assert sum(abs(one[name] - other[name]) > 1e-4 for name in one) <= 2


def finals(pack, key):
    """The final values of a cell, by split and metric."""
    rows = pack.numbers(key)[0].to_pylist()
    return {(row["split"], row["metric"]): row["value"] for row in rows if row["step"] is None}


def test_a_budget_is_for_a_cpu_although_the_rows_were_made_on_a_gpu():
    """Three models that nothing is done to, with the least attack, take three minutes on one."""
    drawn = ("leaderboard", "regenerate", "--committed", BOARD, "--model", "smollm2", "--frame", "plain")
    ended = harness_cli(*drawn, "--minutes", 2)
    assert ended.code == 2
    assert "No row of this leaderboard can be made again in 2 minutes" in " ".join(ended.err.split())
