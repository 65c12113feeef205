"""Cells in files of many are read as those that lie alone, whoever commits, reads or is killed meanwhile."""

from __future__ import annotations

import os

import pytest

import harness.store.compaction
from harness.errors import StoreError
from harness.store import claims, compacted, index, integrity, packed, store
from harness.store.atomic import parquet_bytes
from harness.store.compaction import Compaction, compact
from harness.store.many import ManyCells, table_of
from harness.store.merge import merge
from harness.store.store import Store
from support.command import harness_cli
from support.sound import row_of, scored, sound


def commit(place, seed=0, value=0.5, method="gd"):
    """A cell with two facts; None as value makes a failed one."""
    failed = {"status": "failed", "error_type": "E", "error_message": "no room"} if value is None else {}
    row = sound(row_of(method=method, seed=seed, **failed))
    Store(place).commit(row, None if failed else scored("forget", "accuracy", [value, 1.0]))
    return row.key


@pytest.fixture
def results(tmp_path):
    """Seven cells, one of which failed."""
    for seed in range(6):
        commit(tmp_path / "results", seed, seed / 8)
    commit(tmp_path / "results", 6, None)
    return tmp_path / "results"


def alone(place):
    return sum(1 for _ in place.glob("*/*.parquet")) - sum(1 for _ in place.glob("compacted/*.parquet"))


def read(place):
    """All that is there, and that nothing is wrong with it."""
    there = Store(place)
    assert all(not cell.wrong for cell in there.stored().values())
    return [table.to_pylist() for table in store.tables([there])]


def test_all_that_is_read_is_what_was_committed(results):
    before, status = read(results), Store(results).statuses()
    columns = Store(results).columns("seed", "status")
    assert compact(Store(results), most=4) == Compaction(moved=6, files=2, left=1)
    assert alone(results) == 1  # the row of the cell that failed
    assert read(results) == before
    assert Store(results).statuses() == status
    assert Store(results).columns("seed", "status") == columns
    assert {*Store(results).sound(status)} == {key for key, of in status.items() if of == "ok"}
    assert [len(file.keys) for file in Store(results).compacted.files()] == [4, 2]


def test_opening_reads_no_cell_of_a_file_of_many(results, monkeypatch):
    compact(Store(results))

    def unread(*arguments):
        raise AssertionError("a cell is read")

    monkeypatch.setattr(ManyCells, "cell", unread)
    assert len(Store(results).done()) == 6


def test_what_comes_later_goes_before_and_is_compacted_too(results):
    compact(Store(results), most=4)
    commit(results, 1, 0.75)  # measured again
    commit(results, 6, 0.5)  # the one that failed
    commit(results, 7)
    before = read(results)
    assert len(before[0]) == 8
    assert compact(Store(results), most=4) == Compaction(moved=3, files=3, left=0)
    assert read(results) == before
    assert compact(Store(results), most=4).moved == 0
    assert alone(results) == 0
    # A store that was open before sees it all, too.
    opened = Store(results, opened=True)
    assert opened.done() == {row["key"] for row in before[0]}


def test_an_open_store_goes_on_reading(results):
    there = Store(results)
    before = [table.to_pylist() for table in store.tables([there])]
    compact(Store(results), most=4)
    assert [table.to_pylist() for table in store.tables([there])] == before
    commit(results, 8)
    compact(Store(results), most=100)  # the small files go into one
    assert len(store.tables([there])[0]) == 8


@pytest.mark.parametrize("dies", [1, 2, 3, 5, 8, 15])
def test_one_that_is_killed_loses_nothing_and_is_finished_by_the_next(results, monkeypatch, dies):
    """It dies before files that it would remove or write: of many, of one, and the index at the end."""
    before, count = read(results), 0

    class Killed(BaseException):
        pass

    def counted(function):
        def call(*arguments, **more):
            nonlocal count
            count += 1
            if count == dies:
                raise Killed
            return function(*arguments, **more)

        return call

    monkeypatch.setattr(harness.store.compaction, "write_atomically", counted(store.write_atomically))
    monkeypatch.setattr(harness.store.compaction, "remove_as_read", counted(compacted.remove_as_read))
    monkeypatch.setattr(index, "write", counted(index.write))
    with pytest.raises(Killed):
        compact(Store(results), most=4)
    assert read(results) == before
    count = 100
    compact(Store(results), most=4)
    assert read(results) == before
    assert alone(results) == 1


def test_a_cell_that_is_committed_anew_meanwhile_stays(results, monkeypatch):
    key = sorted(Store(results).done())[0]
    seed = Store(results).cell(key)["seed"][0].as_py()
    remove = compacted.remove_as_read

    def late(path, read):
        if path.stem == key and path.parent.name == "cells":
            commit(results, seed, 0.875)
        remove(path, read)

    monkeypatch.setattr(harness.store.compaction, "remove_as_read", late)
    compact(Store(results))
    [row] = [metric for metric in read(results)[1] if metric["key"] == key]
    assert row["value"] == (0.875 + 1) / 2


def test_what_is_wrong_stays_alone_and_is_told(results):
    key = sorted(Store(results).done())[0]
    (results / "samples" / f"{key}.parquet").unlink()
    assert compact(Store(results)).left == 2
    assert Store(results).stored([key])[key].status == "unsound"


def test_only_one_at_a_time_compacts(results):
    claim = claims.take(results / "claims" / "compact")
    with pytest.raises(StoreError, match="Another process compacts"):
        compact(Store(results))
    claim.release()
    assert compact(Store(results)).moved == 6


def test_a_cell_is_looked_at_once_and_again_by_other_code(results, monkeypatch):
    before, looked = read(results), []
    wrong = integrity.wrong

    def look(key, *rest):
        looked.append(key)
        return wrong(key, *rest)

    monkeypatch.setattr(integrity, "wrong", look)
    compact(Store(results), most=4)
    assert len(looked) == 7
    looked.clear()

    def reads():
        assert [table.to_pylist() for table in store.tables([Store(results)])] == before
        return len(looked)

    assert reads() == 1  # the one that failed lies alone
    monkeypatch.setattr(index, "checks", lambda: "other code")
    assert reads() == 1 + 7
    looked.clear()
    assert compact(Store(results), most=4).moved == 0
    assert reads() == 7 + 1


@pytest.mark.parametrize("seen_by", ["its size", "its digest"])
def test_a_cell_that_was_changed_in_a_file_of_many_is_not_taken_and_its_neighbours_are(results, seen_by):
    compact(Store(results))
    path = results / "compacted" / "000001.parquet"
    rows = ManyCells(path).rows().to_pylist()
    rows[2]["samples"][0]["value"] += 0.25
    path.write_bytes(parquet_bytes(table_of(rows)))
    if seen_by == "its digest":
        keys = [row["key"] for row in rows]
        told = index.Indexed(keys, path.stat().st_size, "0" * 64, frozenset(keys))
        index.write(path.parent, {path.name: told})
        assert [*index.read(path.parent)] == [path.name]
    cells, metrics, _ = store.tables([Store(results)])
    wrong = {row["key"] for row in cells.to_pylist() if row["error_type"] == store.UNSOUND}
    assert wrong == {rows[2]["key"]}
    assert {*metrics["key"].to_pylist()} == {row["key"] for row in rows} - wrong


@pytest.mark.parametrize("damage", ["gone", "no table", "another's"])
def test_the_index_holds_nothing_that_does_not_stand_elsewhere(results, tmp_path, damage):
    before = read(results)
    compact(Store(results))
    path = results / "compacted" / index.NAME
    if damage == "gone":
        path.unlink()
    elif damage == "no table":
        path.write_bytes(b"no table")
    else:
        commit(tmp_path / "other", 9)
        compact(Store(tmp_path / "other"))
        path.write_bytes((tmp_path / "other" / "compacted" / index.NAME).read_bytes())
    assert read(results) == before


def test_a_damaged_file_is_a_sentence(results):
    compact(Store(results))
    path = results / "compacted" / "000001.parquet"
    os.truncate(path, 100)
    with pytest.raises(StoreError, match=r"000001.parquet is damaged or cannot be read .*: fetch it again"):
        Store(results)


def test_packs_merges_and_the_command_line_read_it(results, tmp_path):
    before = read(results)
    ended = harness_cli("results", "compact", "--results", results)
    assert ended.out == (
        f"6 cells went into {results / 'compacted'}, which has 1 files. 1 stay alone: they failed, or "
        "something is wrong with them.\n"
    )
    assert packed.pack(tmp_path / "pack", packed.stores([results])).cells == 6
    merge(tmp_path / "merged", [results])
    assert read(tmp_path / "merged") == before
    assert not (tmp_path / "merged" / "compacted").exists()  # they lie alone again
    assert harness_cli("results", "compact", "--results", tmp_path / "no").code == 2
