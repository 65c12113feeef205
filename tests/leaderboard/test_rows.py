"""Rows that read columns are the rows of their table."""

from __future__ import annotations

import pyarrow as pa

from harness.leaderboard.identity import GroupId
from harness.leaderboard.rows import Columns, group_of
from harness.store.store import Store
from support.cells import world


def test_a_row_is_what_its_table_says():
    table = pa.table({"text": ["a", None, "a"], "number": [1.5, 2.5, None], "names": [["x"], [], None]})
    rows = Columns(table).rows()
    assert rows == table.to_pylist()
    assert [dict(row) for row in rows] == table.to_pylist()
    assert rows[0]["text"] is rows[2]["text"]
    assert rows[1].get("absent") is None


def test_no_column_is_read_that_is_not_asked_for():
    columns = Columns(pa.table({"a": [1, 2], "b": ["x", "y"]}))
    assert [row["b"] for row in columns.rows()] == ["x", "y"]
    assert columns.keys() == {"b"}


def test_columns_of_several_chunks_are_one():
    table = pa.concat_tables([pa.table({"a": ["x", "y"]}), pa.table({"a": ["y", None]})])
    assert [row["a"] for row in Columns(table).rows()] == ["x", "y", "y", None]


def test_cells_that_differ_in_their_seed_are_of_one_group(tmp_path):
    store = Store(tmp_path)
    for each in world():
        store.commit(*each)
    rows = Columns(store.cells()).rows()
    groups = {}
    for row in rows:
        assert group_of(row) == GroupId.of(dict(row)) == group_of(dict(row))
        groups.setdefault(group_of(row), set()).add(row["seed"])
    assert len(rows) == sum(map(len, groups.values()))
