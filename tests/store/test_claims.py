"""One process at a time holds a claim, and none that has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from harness.store import claims

HOLD = """
import sys, time
from pathlib import Path
from harness.store import claims
print(claims.take(Path(sys.argv[1])) is not None, flush=True)
time.sleep(60)
"""


def holder(path):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    return child


def test_what_another_process_holds_cannot_be_taken_until_it_ends(tmp_path):
    path = tmp_path / "claims" / "task"
    child = holder(path)
    assert claims.take(path) is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert path.exists(), "what a killed process leaves"
    claim = claims.take(path)
    assert claim is not None
    claim.release()
    assert not path.parent.exists()


def test_a_claim_that_is_given_back_can_be_taken_again(tmp_path):
    path = tmp_path / "claims" / "task"
    for _ in range(2):
        claim = claims.take(path)
        assert claim is not None
        assert path.exists()
        claim.release()
        assert os.listdir(tmp_path) == []


def test_the_directory_stays_while_another_claim_is_there(tmp_path):
    one, other = (claims.take(tmp_path / "claims" / name) for name in "ab")
    assert one is not None
    assert other is not None
    one.release()
    assert (tmp_path / "claims" / "b").exists()
    other.release()
    assert os.listdir(tmp_path) == []


def test_only_claims_that_nobody_holds_are_swept(tmp_path):
    child = holder(tmp_path / "claims" / "held")
    (tmp_path / "claims" / "stale").touch()
    claims.sweep(tmp_path / "claims")
    assert os.listdir(tmp_path / "claims") == ["held"]
    child.kill()
    child.wait()
    claims.sweep(tmp_path / "claims")
    assert os.listdir(tmp_path) == []
    claims.sweep(tmp_path / "claims")  # not there: nothing to do


def test_a_directory_of_which_the_last_claim_is_gone_is_swept(tmp_path):
    """The process that gave it back was killed before it removed the directory."""
    (tmp_path / "claims").mkdir()
    claims.sweep(tmp_path / "claims")
    assert os.listdir(tmp_path) == []


def test_taking_and_giving_back_side_by_side_never_gives_two_the_same(tmp_path):
    """A claim is removed when it is given back: nobody may hold a file that is gone."""
    code = """
import os, sys, time
from pathlib import Path
from harness.store import claims
path, held = Path(sys.argv[1]), Path(sys.argv[2])
taken = 0
end = time.monotonic() + 1.5
while time.monotonic() < end:
    claim = claims.take(path)
    if claim is not None:
        os.close(os.open(held, os.O_CREAT | os.O_EXCL))  # raises where another holds it, too
        held.unlink()
        claim.release()
        taken += 1
print(taken)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "claims" / "task"), str(tmp_path / "held")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    taken = [int(child.communicate(timeout=60)[0]) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert min(taken) > 0
