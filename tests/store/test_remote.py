"""Results on an object store are those of a directory, whatever becomes of the network."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import pytest

from harness.core.events import Event
from harness.errors import StoreError
from harness.runner import mirrors
from harness.store import store
from harness.store.compaction import compact
from harness.store.remote import Remote
from harness.store.store import Store
from harness.store.urls import as_written, url_of
from support.command import harness_cli
from support.lume_files import write_lume
from support.sound import row_of, scored, sound


@pytest.fixture
def url():
    """A place on an object store in memory, which every test has for itself."""
    return f"memory://{uuid.uuid4().hex}/results"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Go to a machine, by name; each has a cache of its own."""

    def go(name):
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / name))

    go("first")
    return go


def commit(place, seed=0, value=0.5):
    """A cell with two facts, told of as a run does; None as value makes a failed one."""
    failed = {"status": "failed", "error_type": "E", "error_message": "no room"} if value is None else {}
    row = sound(row_of(seed=seed, **failed))
    Store(place).commit(row, None if failed else scored("forget", "accuracy", [value, 1.0]))
    told = []
    event = Event("a cell", status=row.status, cell=True, key=row.key)
    mirrors.sending(place, told.append)(event)
    assert told == [event]
    return row.key


def read(*places):
    return [table.to_pylist() for table in store.tables(mirrors.stores(places))]


def objects(url):
    fs, base = fsspec.core.url_to_fs(url)
    return {name.removeprefix(f"{base}/"): fs.cat_file(name) for name in fs.find(base)}


def test_a_path_that_was_a_url_is_one():
    assert url_of("s3://bucket/prefix") == url_of(Path("s3://bucket/prefix")) == "s3://bucket/prefix"
    assert url_of(Path("file:///tmp/results")) == "file:///tmp/results"
    assert as_written(Path("s3://bucket/prefix")) == "s3://bucket/prefix"
    assert as_written(Path("/tmp/results")) == "/tmp/results"
    assert [url_of(name) for name in ("results", "/tmp/results", "a/b:/c", "C:/results")] == [None] * 4


def test_what_one_machine_commits_another_reads(url, machine):
    here = mirrors.here(url)
    keys = {commit(here, seed) for seed in range(2)}
    before = read(here)
    assert {Path(name).stem for name in objects(url)} == keys
    machine("second")
    there = mirrors.here(url)
    assert there != here
    assert read(url) == read(there) == before
    commit(there, 2)
    machine("first")
    assert len(read(url)[0]) == 3


def test_the_row_of_a_cell_comes_last(url, machine, monkeypatch):
    here, written = mirrors.here(url), []
    monkeypatch.setattr(Remote, "put", lambda self, path, content: written.append(path))
    commit(here)
    assert [path.parent.name for path in written] == ["metrics", "samples", "cells"]


def test_a_cell_that_failed_gives_way_to_one_that_worked_elsewhere(url, machine):
    key = commit(mirrors.here(url), value=None)
    machine("second")
    commit(mirrors.here(url))
    machine("first")
    assert mirrors.stores([url])[0].statuses() == {key: "ok"}


def test_without_a_network_a_cell_is_kept_and_goes_later(url, machine, monkeypatch):
    here = mirrors.here(url)
    commit(here, 0, None)
    with monkeypatch.context() as broken:
        fs = fsspec.filesystem("memory")

        def fails(*arguments, **more):
            raise ConnectionError("no route")

        broken.setattr(type(fs), "pipe_file", fails)
        key = commit(here)
        with pytest.raises(StoreError, match=r"cannot be reached .*no route.* is kept in .*; run again"):
            mirrors.send(here)
    assert mirrors.stores([url])[0].statuses() == {key: "ok"}  # what failed is older, and stays there
    mirrors.send(here)
    machine("second")
    assert mirrors.stores([url])[0].statuses() == {key: "ok"}


def test_files_of_many_are_read_and_take_the_place_of_single_cells(url, machine, tmp_path):
    here = mirrors.here(url)
    for seed in range(3):
        commit(here, seed)
    before = read(url)
    with pytest.raises(StoreError, match="on an object store, where nothing is compacted: bring its"):
        compact(Store(here))
    for key in Store(here).done():
        Store(here).copy(key, Store(tmp_path / "own"))
    compact(Store(tmp_path / "own"))
    fs, base = fsspec.core.url_to_fs(url)
    fs.rm(base, recursive=True)
    fs.put(str(tmp_path / "own" / "compacted"), f"{base}/compacted", recursive=True)
    assert read(url) == before
    assert not [*(here / "cells").glob("*.parquet")]
    mirrors.send(here)
    assert not [name for name in objects(url) if name.startswith("cells")]


def test_what_cannot_be_used_is_a_sentence(machine, monkeypatch):
    with pytest.raises(StoreError, match=r"^zz://a/b has a protocol that fsspec does not know; use s3://"):
        mirrors.here("zz://a/b")
    with pytest.raises(StoreError, match=r"^Nothing is written to s3://a/b but cells: name a directory"):
        mirrors.local(Path("s3://a/b"))
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(StoreError, match=r"^gs://a/b needs gcsfs: install it with pip\.$"):
        mirrors.here("gs://a/b")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FileNotFoundError("The specified bucket does not exist"), "is not there: make the bucket first"),
        (PermissionError("Forbidden"), "cannot be used with these credentials"),
        (TimeoutError(), "cannot be reached"),
    ],
)
def test_what_the_store_refuses_is_a_sentence(url, machine, monkeypatch, error, says):
    def fails(*arguments, **more):
        raise error

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", fails)
    with pytest.raises(StoreError, match=f"^{url} {says}"):
        mirrors.here(url)


@pytest.fixture
def server(monkeypatch):
    """The URL of a bucket of a server on this machine that speaks S3."""
    pytest.importorskip("s3fs", reason="s3fs, of the extra [s3], is not installed")
    moto = pytest.importorskip("moto.server", reason="moto's server, which speaks S3, is not installed")
    served = moto.ThreadedMotoServer("127.0.0.1", 0)
    served.start()
    host, port = served.get_host_and_port()
    told = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s"}
    for name, value in (told | {"DEFAULT_REGION": "us-east-1", "EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = f"bucket-{uuid.uuid4().hex}"  # of one process all its servers have the same
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # they know the server of an earlier test
    fsspec.filesystem("s3").mkdir(bucket)
    yield f"s3://{bucket}/results"
    served.stop()


def test_s3(server, machine, monkeypatch):
    key = commit(mirrors.here(server))
    machine("second")
    assert mirrors.stores([server])[0].statuses() == {key: "ok"}
    commit(mirrors.here(server), 1)
    mirrors.send(mirrors.here(server))
    machine("first")
    assert len(read(server)[0]) == 2
    with pytest.raises(StoreError, match=r"^s3://other/results is not there: make the bucket first"):
        mirrors.here("s3://other/results")


def test_a_run_on_s3(server, machine, tmp_path):
    data = write_lume(tmp_path / "lume", 2)
    run = (
        *("run", "--benchmarks", "lume", "--data", data, "--methods", "none", "--attacks", "quantize"),
        *("--seeds", 1, "--no-controls", "--utility", "none", "--jobs", 1, "--results", server),
        *("--set", "lume.epochs=1", "--set", "lume.max_new_tokens=2"),
    )
    begun = harness_cli(*run)
    assert begun.code == 0, begun.err
    assert f"of which 0 are in {server} already" in begun.out
    assert f"The cells are in {server}, and" in begun.out
    cells = {name.split("/")[-1] for name in objects(server) if name.startswith("cells/")}
    assert len(cells) == 3
    machine("second")
    again = harness_cli(*run)
    assert (again.code, again.err) == (0, "")
    assert f"cells: 3, of which 3 are in {server} already" in again.out
    assert harness_cli("results", "--results", server).out.splitlines()[0].startswith("lume")
    assert harness_cli("plan", "--cost", *run[1:]).out.startswith("Nothing is left to do")
