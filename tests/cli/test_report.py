"""`harness report`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.command import harness_cli

BOARD = Path(__file__).parents[2] / "leaderboard" / "real"


def test_tables_are_printed_or_written_a_file_each(tmp_path):
    options = ("report", "--board", BOARD, "--format", "latex", "--tables", "verdicts,curves")
    printed = harness_cli(*options)
    assert (printed.code, printed.err) == (0, "")
    assert printed.out.count(r"\begin{tabular}") == 2
    written = harness_cli(*options, "--out", tmp_path / "tables")
    assert written.code == 0
    names = ["curves-countries-smollm2.tex", "verdicts-countries-smollm2.tex"]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == names
    text = "\n".join((tmp_path / "tables" / name).read_text() for name in reversed(names))
    assert text.strip() == printed.out.strip()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--tables", "verdict"), "no table named 'verdict'. Did you mean 'verdicts'"),
        (("--results", "r"), "Give --results or --board, and not both."),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(options, says):
    ended = harness_cli("report", "--board", BOARD, *options)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert says in line


def test_a_board_that_is_not_there_is_named(tmp_path):
    ended = harness_cli("report", "--board", tmp_path)
    assert ended.code == 2
    assert "There is no" in ended.err


def test_two_targets_of_one_name_have_files_of_their_own(tmp_path):
    """Of two boards of one benchmark and model, such as before and after its facts changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    board = shutil.copytree(BOARD, tmp_path / "board")
    table = pq.read_table(board / "leaderboard.parquet")
    place = table.column_names.index("data")
    other = table.set_column(place, table.schema.field("data"), pa.array(["f" * 64] * table.num_rows))
    pq.write_table(pa.concat_tables([table, other]), board / "leaderboard.parquet")
    ended = harness_cli("report", "--board", board, "--tables", "verdicts", "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    names = ["verdicts-countries-smollm2-2.md", "verdicts-countries-smollm2.md"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
