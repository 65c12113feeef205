"""Several results directories become one, without a number lost, doubled or silently chosen."""

from __future__ import annotations

import pytest

from harness.errors import StoreError
from harness.store import store as store_module
from harness.store.merge import Merged, merge
from harness.store.store import Store
from support.sound import row_of, scored, sound


def commit(place, name, value=0.5, status="ok", seconds=1.0):
    """A cell of the method ``name``; None as value makes a failed one."""
    failed = {"status": "failed", "error_type": "E", "error_message": "no room"} if value is None else {}
    row = sound(row_of(method=name, seconds=seconds, **failed))
    Store(place).commit(row, None if failed else scored("forget", "accuracy", [value]))
    return row.key


@pytest.fixture
def places(tmp_path):
    """Two results directories, and where they go."""
    return tmp_path / "a", tmp_path / "b", tmp_path / "out"


def values(place):
    found = Store(place)
    numbers = {row["key"]: row["value"] for row in found.metrics().to_pylist()}
    assert numbers == {row["key"]: row["value"] for row in found.samples().to_pylist()}
    return {
        row["method"]: numbers[row["key"]] if row["status"] == "ok" else row["status"]
        for row in found.cells().to_pylist()
    }


def test_all_cells_are_there_afterwards_and_the_sources_unchanged(places):
    a, b, out = places
    commit(a, "a", 0.1)
    commit(b, "b", 0.2)
    assert merge(out, [a, b]) == Merged(cells=2, copied=2, failed=0)
    assert values(out) == {"a": 0.1, "b": 0.2}
    assert (values(a), values(b)) == ({"a": 0.1}, {"b": 0.2})


def test_a_cell_that_is_there_twice_is_kept_once_whatever_it_cost(places):
    a, b, out = places
    commit(a, "a", 0.1, seconds=1)
    commit(b, "a", 0.1, seconds=2)
    assert merge(out, [a, b]) == Merged(cells=1, copied=1, failed=0)
    assert Store(out).cells()["seconds"].to_pylist() == [1]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_cell_that_failed_gives_way_to_one_that_worked(places, order):
    out = places[2]
    commit(places[0], "a", None)
    commit(places[1], "a", 0.1)
    assert merge(out, [places[i] for i in order]) == Merged(cells=1, copied=1, failed=0)
    assert values(out) == {"a": 0.1}


def test_a_cell_that_failed_in_out_gives_way_too(places):
    a, _, out = places
    commit(out, "a", None)
    commit(a, "a", 0.1)
    assert merge(out, [a]) == Merged(cells=1, copied=1, failed=0)
    assert values(out) == {"a": 0.1}


def test_a_cell_that_failed_everywhere_stays_a_row(places):
    a, b, out = places
    commit(a, "a", None)
    commit(b, "a", None)
    assert merge(out, [a, b]) == Merged(cells=1, copied=1, failed=1)
    assert values(out) == {"a": "failed"}


@pytest.mark.parametrize("into", [False, True])
def test_different_numbers_under_one_key_are_refused_by_name_and_nothing_is_written(places, into):
    a, b, out = places
    key = commit(a, "a", 0.1)
    commit(out if into else b, "a", 0.2)
    commit(a, "c", 0.3)
    before = values(out)
    with pytest.raises(StoreError) as refused:
        merge(out, [a] if into else [a, b])
    assert f"{key[:12]} (world a none seed 0) in {out if into else a} and {a if into else b}" in str(
        refused.value
    )
    assert "leave out" in str(refused.value)
    assert values(out) == before


def test_of_many_conflicts_the_first_are_named(places):
    a, b, out = places
    for name in "abcdefgh":
        commit(a, name, 0.1)
        commit(b, name, 0.2)
    with pytest.raises(StoreError, match="and 3 more"):
        merge(out, [a, b])


def test_a_merge_that_was_stopped_is_finished_by_the_same_command(places, monkeypatch):
    """Stopped at every write in turn: what lies in out is whole cells, and the next try does the rest."""
    a, b, out = places
    commit(a, "a", 0.1)
    commit(b, "b", 0.2)
    write = store_module.write_atomically
    for last in range(6):
        writes = iter(range(6))

        def stopping(path, content, last=last, writes=writes):
            if next(writes) == last:
                raise KeyboardInterrupt
            write(path, content)

        with monkeypatch.context() as patched:
            patched.setattr(store_module, "write_atomically", stopping)
            with pytest.raises(KeyboardInterrupt):
                merge(out.with_name(f"out{last}"), [a, b])
        found = values(out.with_name(f"out{last}"))
        assert found.items() <= {"a": 0.1, "b": 0.2}.items()
        assert merge(out.with_name(f"out{last}"), [a, b]).copied == 2 - len(found)
        assert values(out.with_name(f"out{last}")) == {"a": 0.1, "b": 0.2}


def test_merging_again_copies_nothing(places):
    a, b, out = places
    commit(a, "a", 0.1)
    commit(b, "b", 0.2)
    merge(out, [a, b])
    assert merge(out, [a, b]) == Merged(cells=2, copied=0, failed=0)


def test_out_is_no_source(places):
    commit(places[0], "a")
    with pytest.raises(StoreError, match="name another"):
        merge(places[0], [places[0]])
