"""The tables of a leaderboard as files."""

from __future__ import annotations

import pytest

from harness.leaderboard import curves
from harness.leaderboard.groups import grouped
from harness.report import files
from harness.store.store import Store
from support.cells import board, world
from support.paths import ROOT


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return board(tmp_path_factory.mktemp("results"), world())


def test_building_twice_gives_the_same_bytes_whatever_the_order_of_rows(tmp_path):
    store = Store(tmp_path / "results")
    for row, outcome in world():
        store.commit(row, outcome)
    tables = [store.cells(), store.metrics(), store.samples()]
    for folder, step in (("1", 1), ("2", -1)):
        turned = [t.take(list(range(t.num_rows))[::step]) for t in tables]
        files.write(files.build(grouped(*turned)).files(), tmp_path / folder)
    for name in ("leaderboard.parquet", "curves.parquet", "README.md", "index.html"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_the_written_tables_explain_their_columns(tmp_path, table):
    made = files.Published(table, curves.SCHEMA.empty_table())
    files.write(made.files(), tmp_path)
    for again, written in zip(files.read(tmp_path), made, strict=True):
        assert again.equals(written)
        assert all(column.metadata[b"description"] for column in again.schema)


@pytest.mark.parametrize("name", [files.README, "index.html"])
def test_the_committed_pages_are_what_the_committed_tables_give(name):
    committed = ROOT / "leaderboard"
    assert files.read(committed).pages()[name] == (committed / name).read_bytes()
