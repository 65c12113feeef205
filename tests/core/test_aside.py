"""What a process writes aside is its own while it runs, and is removed when it has ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.core import aside

LEAVE = """
import sys
from pathlib import Path
from harness.core import aside
aside.aside(Path(sys.argv[1]) / "cell.parquet").write_bytes(b"half")
aside.aside(Path(sys.argv[1]) / "target").mkdir()
"""


def test_what_an_ended_process_left_is_removed_and_nothing_else(tmp_path):
    subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path)], check=True)
    assert len(os.listdir(tmp_path)) == 2
    mine = aside.aside(tmp_path / "cell.parquet")
    for path in (mine, tmp_path / "cell.parquet", tmp_path / ".hidden.part", tmp_path / "other.part"):
        path.write_bytes(b"whole")
    aside.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([mine.name, "cell.parquet", ".hidden.part", "other.part"])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux says that a process has ended")
def test_a_process_that_has_ended_and_waits_to_be_asked_how_has_left_it(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked
    mine = aside.aside(tmp_path / "table")
    left = tmp_path / mine.name.replace(f"-{os.getpid()}-", f"-{child.pid}-")
    for path in (mine, left):
        path.write_text("half")
    aside.sweep(tmp_path)
    assert (mine.exists(), left.exists()) == (True, False)
    child.wait()


def test_another_machine_has_a_day(tmp_path, monkeypatch):
    monkeypatch.setattr(aside, "_machine", lambda: "0123abcd")
    fresh, old = (aside.aside(tmp_path / name) for name in ("fresh", "old"))
    for path in (fresh, old):
        path.touch()
    os.utime(old, (time.time() - 2 * aside.OLD,) * 2)
    monkeypatch.setattr(aside, "_machine", lambda: "ffff0000")
    aside.sweep(tmp_path)
    assert os.listdir(tmp_path) == [fresh.name]


def test_a_directory_that_is_not_there_needs_no_sweeping(tmp_path):
    aside.sweep(tmp_path / "nowhere")
    assert os.listdir(tmp_path) == []


def test_a_container_is_another_machine(monkeypatch):
    """Its processes have numbers of their own, which say nothing about those of its host."""
    machine = aside._machine.__wrapped__
    here = machine()
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[1]")
    assert machine() != here
