"""What another version of the code has measured counts as done where the user says so, and only then."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.store import integrity
from harness.store.decided import key_of
from harness.store.store import Store
from support.command import harness_cli

OTHER = "e" * 64


def made_by_another_engine(results):
    """Have every cell be one that another engine has measured, under the key that it would have there."""
    store = Store(results)
    for key, cell in store.stored().items():
        (row,) = cell.row.to_pylist()
        row["engine"] = OTHER
        row["key"] = key_of(row)
        tables = [_under(table, row["key"]) for table in (cell.metrics, cell.samples, cell.analyses)]
        row["content"] = integrity.digest(row, *(table.to_pydict() for table in tables))
        for name, table in zip(("metrics", "samples"), tables[:2], strict=True):
            pq.write_table(table, results / name / f"{row['key']}.parquet")
            (results / name / f"{key}.parquet").unlink()
        pq.write_table(
            pa.Table.from_pylist([row], cell.row.schema), results / "cells" / f"{row['key']}.parquet"
        )
        (results / "cells" / f"{key}.parquet").unlink()


def _under(table, key):
    return table.set_column(0, table.schema.field(0), pa.array([key] * len(table), pa.string()))


@pytest.fixture
def measured(world):
    """A run of one method whose cells another engine made."""
    arguments = ("gd", "nudge", "stub")
    assert world.run(*arguments, seeds=1).code == 0
    made_by_another_engine(world.path())
    assert all(not cell.wrong for cell in Store(world.path()).stored().values())
    return arguments


def test_cells_of_another_version_are_measured_again(world, measured):
    ended = world.run(*measured, "--dry-run", seeds=1)
    assert "of which 0 are in" in ended.out


def test_unless_any_source_is_good(world, measured):
    before = {path.name for path in (world.path() / "cells").iterdir()}
    ended = world.run(*measured, "--any-source", seeds=1)
    assert ended.code == 0, ended.err
    assert {path.name for path in (world.path() / "cells").iterdir()} == before
    assert "stub" in ended.out
    assert "gd" in ended.out


def test_what_they_lack_is_added_and_both_stand_in_one_row(world, measured):
    ended = world.run(*measured, "--any-source", seeds=2)
    assert ended.code == 0, ended.err
    engines = {row["engine"] for row in Store(world.path()).cells().to_pylist()}
    assert len(engines) == 2
    build = ("leaderboard", "build", "--results", world.path())
    refused = harness_cli(*build)
    assert refused.code == 2
    assert "they hold cells of 2 versions of the engine" in refused.sentence
    assert harness_cli(*build, "--source", "any").code == 0
    table = pq.read_table(world.path() / "leaderboard" / "leaderboard.parquet")
    ours = next(iter(engines - {OTHER}))
    assert set(table["engine"].to_pylist()) == {"+".join(sorted((OTHER[:12], ours[:12])))}
    assert set(table["seeds"].to_pylist()) == {2}


def test_other_settings_are_other_cells(world, measured):
    ended = world.run(*measured, "--any-source", "--set", "gd.gamma=0.5", "--dry-run", seeds=1)
    others = [row for row in Store(world.path()).columns("method") if row["method"] != "gd"]
    assert f"of which {len(others)} are in" in ended.out
