"""What a cell says of where it came from."""

from __future__ import annotations

import os
import re

import pyarrow as pa

from harness.store import provenance, store


def test_provenance_tells_the_commit_and_neither_host_nor_place():
    record = provenance.collect(gpu="NVIDIA H200")
    text = repr(record)
    assert record.gpu == "NVIDIA H200"
    assert record.packages["pyarrow"] == pa.__version__
    assert record.commit is None or re.fullmatch("[0-9a-f]{40,64}", record.commit)
    assert (record.commit is None) == (record.dirty is None)
    assert record.cores >= 1
    assert record.started_at.endswith("+00:00")
    assert os.uname().nodename not in text or len(os.uname().nodename) < 4
    assert str(store.Path.home()) not in text


def test_a_package_that_git_does_not_track_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance._checkout.__wrapped__() == (None, None)
