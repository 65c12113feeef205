"""A pack holds cells as they were committed, in a few files, and is read as a results directory is."""

from __future__ import annotations

import pytest

from harness.errors import StoreError
from harness.store import packed, store
from harness.store.merge import merge
from harness.store.packed import Pack, Packed
from harness.store.store import Store
from support.sound import row_of, scored, sound


def commit(place, method, value=0.5, seed=0):
    """A cell with two facts; None as value makes a failed one."""
    failed = {"status": "failed", "error_type": "E", "error_message": "no room"} if value is None else {}
    row = sound(row_of(method=method, seed=seed, **failed))
    Store(place).commit(row, None if failed else scored("forget", "accuracy", [value, 1.0]))
    return row.key


@pytest.fixture
def results(tmp_path):
    for seed in range(3):
        commit(tmp_path / "results", "gd", 0.25 * seed, seed)
    commit(tmp_path / "results", "npo")
    return tmp_path / "results"


def test_what_is_packed_reads_as_it_was_committed(results, tmp_path):
    out = tmp_path / "pack"
    assert packed.pack(out, packed.stores([results])) == Pack(cells=4, added=4, failed=0)
    assert sorted(path.name for path in out.iterdir()) == ["world-gd.parquet", "world-npo.parquet"]
    there, again = (store.tables(packed.stores([place])) for place in (results, out))
    for one, other in zip(there, again, strict=True):
        assert one.equals(other)
        assert one.schema.equals(other.schema)
    assert all(not cell.wrong for cell in Packed(out).stored().values())


def test_the_same_cells_give_the_same_bytes_and_other_files_stay(results, tmp_path):
    out = tmp_path / "pack"
    packed.pack(out, packed.stores([results]))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert packed.pack(out, packed.stores([results])) == Pack(cells=4, added=0, failed=0)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    commit(results, "npo", seed=1)
    assert packed.pack(out, packed.stores([results])) == Pack(cells=5, added=1, failed=0)
    changed = {path.name for path in out.iterdir() if path.read_bytes() != before[path.name]}
    assert changed == {"world-npo.parquet"}


def test_cells_of_an_earlier_sitting_stay(results, tmp_path):
    out, later = tmp_path / "pack", tmp_path / "later"
    packed.pack(out, packed.stores([results]))
    commit(later, "gd", 0.9, seed=7)
    commit(later, "rmu", None)
    assert packed.pack(out, packed.stores([later])) == Pack(cells=5, added=1, failed=1)
    assert {*Store(results).statuses()} < {*Packed(out).statuses()}


def test_a_pack_is_merged_into_a_results_directory_and_that_is_gone_on_with(results, tmp_path):
    out, fresh = tmp_path / "pack", tmp_path / "fresh"
    packed.pack(out, packed.stores([results]))
    assert merge(fresh, [out]).cells == 4
    assert Store(fresh).sound(Store(results).statuses()).keys() == Store(results).done()
    for key in Store(results).statuses():
        assert all(
            a.equals(b) for a, b in zip(*(s.numbers(key) for s in map(Store, (fresh, results))), strict=True)
        )


def test_a_changed_number_is_noticed(results, tmp_path, monkeypatch):
    out = tmp_path / "pack"
    whole = packed._packed

    def changed(store, key):
        row = whole(store, key)
        row["samples"][0]["value"] = 0.125
        return row

    monkeypatch.setattr(packed, "_packed", changed)
    packed.pack(out, packed.stores([results]))
    assert {cell.status for cell in Packed(out).stored().values()} == {"unsound"}


@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing else", None])
def test_a_damaged_file_is_one_sentence(damage, results, tmp_path):
    out = tmp_path / "pack"
    packed.pack(out, packed.stores([results]))
    path = out / "world-gd.parquet"
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    with pytest.raises(
        StoreError, match=r"world-gd\.parquet is damaged or cannot be read .*: fetch it again"
    ):
        packed.stores([out])


def test_a_file_of_results_is_no_pack(results, tmp_path):
    with pytest.raises(StoreError, match="it lacks the column 'metrics'"):
        packed.stores([results / "cells"])


def test_nothing_is_committed_to_a_pack(results, tmp_path):
    out = tmp_path / "pack"
    packed.pack(out, packed.stores([results]))
    [store_of_results], [there] = packed.stores([results]), packed.stores([out])
    with pytest.raises(StoreError, match="is a pack of cells, and nothing is committed to it"):
        store_of_results.copy(next(iter(there.statuses())), there)


def test_a_run_does_not_take_a_pack_for_its_results(results, tmp_path, monkeypatch):
    out = tmp_path / "pack"
    packed.pack(out, packed.stores([results]))
    with pytest.raises(StoreError, match="is a pack of cells"):
        Store(out)
