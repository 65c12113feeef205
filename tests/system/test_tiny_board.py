"""The committed leaderboard of the embedded worlds is what the cells beside it give, and these are sound."""

from __future__ import annotations

import shutil

import pytest

from harness.core.names import ANALYSIS, TINY
from harness.store.packed import Packed
from support.command import harness_cli
from support.paths import ROOT

DOCS, CELLS, BOARD = ROOT / "docs", ROOT / "leaderboard" / "cells-tiny", ROOT / "leaderboard"

pytestmark = pytest.mark.skipif(not CELLS.is_dir(), reason="no checkout with committed cells")


@pytest.fixture(scope="module")
def cells():
    return Packed(CELLS).stored()


def test_every_cell_is_sound_and_of_one_code_on_one_target(cells):
    rows = [row for cell in cells.values() for row in cell.row.to_pylist()]
    assert [cell.wrong for cell in cells.values() if cell.wrong] == []
    assert {(row["model"], row["dtype"], row["status"]) for row in rows} == {(TINY, "float32", "ok")}
    assert len({row["engine"] for row in rows}) == len({row["target_weights"] for row in rows}) == 1


def test_every_method_was_measured_under_all_seeds_and_attacks_and_looked_into(cells):
    rows = [row for cell in cells.values() for row in cell.row.to_pylist()]
    names = ("stage", "attack", "variant", "analysis", "seed", "benchmark")
    of_method: dict[str, set] = {}
    for row in rows:
        of_method.setdefault(row["method"], set()).add(tuple(row[name] for name in names))
    assert {"none", "retrain", "refusal", "gd", "ssiuu", "npo+sam", "gd+project"} <= of_method.keys()
    whole = of_method["gd"]
    assert {seed for *_, seed, _ in whole} == {0, 1, 2, 3, 4}
    assert len({attack for _, attack, *_ in whole}) > 10
    for method, measured in of_method.items():
        # Nothing was unlearned in the original, so there is nothing to look into.
        own = {of for of in whole if of[0] != ANALYSIS} if method == "none" else whole
        assert own <= measured, method


def test_the_board_is_built_from_its_cells_to_the_byte(tmp_path):
    shutil.copytree(DOCS, tmp_path / "docs")
    board = tmp_path / "board"
    ended = harness_cli(
        *("leaderboard", "build", "--results", CELLS, "--out", board, "--docs", tmp_path / "docs")
    )
    assert ended.code == 0, ended.err
    committed = {path.name: path.read_bytes() for path in BOARD.iterdir() if path.is_file()}
    assert {path.name: path.read_bytes() for path in board.iterdir()} == committed
