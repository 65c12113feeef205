"""A cell is stored whole or not at all, whatever happens to the process, the disk or the directory."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
from dataclasses import fields

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.core.types import Metric, Outcome, Sample, as_row
from harness.errors import StoreError
from harness.store import atomic, store
from harness.store import schema as schema_module
from harness.store.schema import PROTOCOL, SCHEMA_VERSION, CellRow
from harness.store.store import Store
from support.sound import row_of

A, B = "a" * 64, "b" * 64


def row(key=A, **changes):
    return row_of(**{"key": key, "method_plugin": "unlearning-harness 0.1.0"} | changes)


def outcome(value=0.5):
    return Outcome([Metric("forget", "accuracy", value)], [Sample("forget", "accuracy", "f1", value)])


def failed(key=A):
    return row(key, status="failed", error_type="OutOfMemoryError", error_message="no room")


def test_what_was_committed_comes_back(tmp_path):
    cell = row(notes='{"chance": 0.25}', seconds=1.5, steps=7, variant="p=0.1")
    Store(tmp_path).commit(cell, outcome())
    again = Store(tmp_path)
    assert again.statuses() == {A: "ok"}
    (found,) = again.cells().to_pylist()
    assert found == as_row(cell) | {"content": found["content"]}
    assert re.fullmatch("[0-9a-f]{64}", found["content"])
    assert again.metrics().to_pylist() == [{"key": A, **as_row(outcome().metrics[0])}]
    assert again.samples().to_pylist() == [{"key": A, **as_row(outcome().samples[0])}]


def test_a_directory_is_made_by_the_first_commit(tmp_path):
    results = Store(tmp_path / "new" / "results")
    assert not (tmp_path / "new").exists()
    assert results.cells().num_rows == results.metrics().num_rows == results.samples().num_rows == 0
    results.commit(row(), outcome())
    assert results.statuses() == {A: "ok"}


def test_tables_are_ordered_by_key_and_not_by_time(tmp_path):
    for folder, keys in (("1", [A, B]), ("2", [B, A])):
        for key in keys:
            Store(tmp_path / folder).commit(row(key), outcome())
    one, two = Store(tmp_path / "1"), Store(tmp_path / "2")
    assert one.cells().equals(two.cells())
    assert one.cells()["key"].to_pylist() == [A, B]
    assert one.samples().equals(two.samples())


def test_a_second_commit_replaces_the_first(tmp_path):
    results = Store(tmp_path)
    results.commit(failed())
    assert results.statuses() == {A: "failed"}
    results.commit(row(), outcome(0.1))
    results.commit(row(), outcome(0.2))
    assert results.cells().num_rows == 1
    assert results.metrics()["value"].to_pylist() == [0.2]


def test_a_failed_cell_is_a_row_without_results(tmp_path):
    results = Store(tmp_path)
    results.commit(row(), outcome())
    results.commit(row(B), outcome())
    results.commit(failed())
    assert results.cells()["error_type"].to_pylist() == ["OutOfMemoryError", None]
    assert results.metrics()["key"].to_pylist() == results.samples()["key"].to_pylist() == [B]


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the program catches it."""


@pytest.mark.parametrize("moment", range(6))
def test_killed_at_any_moment_the_cell_is_not_there_and_can_be_run_again(tmp_path, monkeypatch, moment):
    results = Store(tmp_path)
    results.commit(row(B), outcome())
    calls = iter(range(100))

    def dies(call):
        def function(*args):
            if next(calls) == moment:
                raise Killed
            return call(*args)

        return function

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "replace", dies(os.replace))
        patch.setattr(atomic, "_flush", dies(atomic._flush))
        with pytest.raises(Killed):
            results.commit(row(), outcome(0.1))
    again = Store(tmp_path)
    assert again.statuses() == {B: "ok"}
    assert again.metrics()["key"].to_pylist() == again.samples()["key"].to_pylist() == [B]
    again.commit(row(), outcome(0.2))
    assert again.metrics()["value"].to_pylist() == [0.2, 0.5]


@pytest.mark.parametrize("table", ["metrics", "samples", "cells"])
def test_a_full_disk_is_one_sentence_and_touches_nothing(tmp_path, monkeypatch, table):
    results = Store(tmp_path)
    results.commit(row(B), outcome())
    results.commit(failed())
    before = results.cells()

    def full(file):
        if f"/{table}/" in file.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "_flush", full)
    with pytest.raises(StoreError, match=rf"{table}/.*No space left on device.*another --results"):
        results.commit(row(), outcome())
    assert results.cells().equals(before)
    assert results.metrics()["key"].to_pylist() == [B]
    assert not list(tmp_path.rglob("*.tmp"))


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut, empty])
def test_a_damaged_cell_is_named_when_the_store_is_opened_and_is_kept(tmp_path, harm):
    Store(tmp_path).commit(row(), outcome())
    path = tmp_path / "cells" / f"{A}.parquet"
    harm(path)
    with pytest.raises(StoreError, match=rf"{A}.parquet is damaged.*another --results"):
        Store(tmp_path)
    assert path.exists()


@pytest.mark.parametrize("table", ["metrics", "samples"])
def test_a_damaged_table_is_named_with_the_cell_to_run_again(tmp_path, table):
    Store(tmp_path).commit(row(), outcome())
    cut(tmp_path / table / f"{A}.parquet")
    with pytest.raises(StoreError, match=rf"{table}/{A}.parquet is damaged.*move .*cells/{A}.parquet away"):
        getattr(Store(tmp_path), table)()


@pytest.mark.parametrize(("name", "ours"), [("protocol", PROTOCOL), ("schema_version", SCHEMA_VERSION)])
def test_what_another_version_wrote_is_refused_with_both_versions(tmp_path, name, ours):
    Store(tmp_path).commit(row(), outcome())
    path = tmp_path / "cells" / f"{A}.parquet"
    table = pq.ParquetFile(path).read()
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, name.encode(): b"0"}), path)
    with pytest.raises(
        StoreError, match=rf"{name.split('_')[0]}.* 0 and this .* {ours}; use another --results"
    ):
        Store(tmp_path)
    assert path.exists()


def test_a_foreign_parquet_file_is_not_taken_for_a_cell(tmp_path):
    (tmp_path / "cells").mkdir()
    pq.write_table(pa.table({"status": ["ok"]}), tmp_path / "cells" / "x.parquet")
    with pytest.raises(StoreError, match=r"x\.parquet is no result: it does not name its protocol"):
        Store(tmp_path)


def test_a_file_is_not_a_directory(tmp_path):
    (tmp_path / "results").write_text("")
    for root in (tmp_path / "results", tmp_path / "results" / "below"):
        with pytest.raises(StoreError, match=r"is not a directory; use another --results"):
            Store(root)


def test_a_directory_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(store.os, "access", lambda path, mode: False)
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path} cannot be written")):
        Store(tmp_path / "new")


def commit_many(root, value):
    for i in range(20):
        Store(root).commit(row(f"{i:064x}"), outcome(value))


def test_two_processes_commit_the_same_cells_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=commit_many, args=(tmp_path, 0.5)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    results = Store(tmp_path)
    assert len(results.statuses()) == results.metrics().num_rows == results.samples().num_rows == 20


def test_every_column_says_what_it_is_and_the_footer_which_version_wrote_it(tmp_path):
    Store(tmp_path).commit(row(), outcome())
    for table in ("cells", "metrics", "samples"):
        schema = pq.read_schema(tmp_path / table / f"{A}.parquet")
        assert schema.metadata[b"protocol"] == schema_module.PROTOCOL.encode()
        assert schema.metadata[b"schema_version"] == schema_module.SCHEMA_VERSION.encode()
        assert all(column.metadata[b"description"] for column in schema)
    assert schema_module.CELLS.names == [f.name for f in fields(CellRow)]
    assert schema_module.METRICS.names == ["key", *(f.name for f in fields(Metric))]
    assert schema_module.SAMPLES.names == ["key", *(f.name for f in fields(Sample))]
    assert schema_module.CELLS.field("peak_memory_mib").metadata[b"unit"] == b"MiB"


def test_an_ok_cell_needs_results(tmp_path):
    with pytest.raises(ValueError, match="needs an outcome"):
        Store(tmp_path).commit(row())


def test_one_that_the_run_has_opened_is_not_read_again(tmp_path):
    Store(tmp_path).commit(row(A), outcome())
    (tmp_path / "cells" / f"{A}.parquet").write_bytes(b"damaged")
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path)
    Store(tmp_path, opened=True).commit(row(B), outcome())
    assert (tmp_path / "cells" / f"{B}.parquet").is_file()
