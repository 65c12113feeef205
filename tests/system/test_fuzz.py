"""The fuzz scripts find nothing in some cases, and do where something is wrong; by hand many more run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import fuzz
from support.paths import ROOT

COUNT = int(os.environ.get("HARNESS_TEST_FUZZ", "50"))
"""Cases of each script."""

BLIND = """
import runpy, sys
import harness.store.integrity
harness.store.integrity.wrong = lambda *cell: []
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""
"""A harness that looks at no cell."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="cases run in forked processes")


def script(name, *arguments, before=()):
    line = [sys.executable, *before, ROOT / "tests" / "system" / name, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=600)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fuzz_commands.py", r"command lines of seed 0 \(.*\): \d+ exit with 0, .*"),
        ("fuzz_files.py", r"damaged files of seed 0 \(.*\): \d+ left out and listed, .*"),
    ],
)
def test_random_input_gives_no_traceback_and_no_other_board(name, says):
    ended = script(name, COUNT)
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
    assert re.fullmatch(rf"{COUNT} {says}; 0 findings; the slowest took .*", ended.stdout.strip()), (
        ended.stdout
    )


def test_a_board_that_is_another_one_without_a_word_is_a_finding():
    ended = script("fuzz_files.py", COUNT, before=("-c", BLIND))
    assert ended.returncode == 1, f"{ended.stdout}{ended.stderr}"
    assert "these cells are other ones without a word" in ended.stdout
    assert re.search(r"FOUND by `python tests/system/fuzz_files.py 1 --seed 0 --case \d+`", ended.stdout)


class TestCases:
    """In a process that they share."""

    def problems(self, case, count=3):
        return {tried.number: tried.ended.problem for tried in fuzz.tries(case, range(count))}

    def test_one_that_raises_disturbs_no_other(self):
        found = self.problems(lambda number: fuzz.Ended(what=str(1 // (number - 1))))
        assert (found[0], found[2]) == ("", "")
        assert "ZeroDivisionError" in found[1]

    def test_one_that_ends_its_process_is_named_and_the_others_are_tried(self):
        def case(number):
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return fuzz.Ended()

        assert self.problems(case) == {0: "", 1: "its process died with -9", 2: ""}

    def test_one_that_does_not_end_is_named(self, monkeypatch):
        monkeypatch.setattr(fuzz, "SECONDS", 0.3)
        found = self.problems(lambda number: time.sleep(9 * (number == 1)) or fuzz.Ended())
        assert found == {0: "", 1: "it did not end within 0.3 seconds", 2: ""}

    def test_specimens_are_as_they_were(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("kept").mkdir()
        Path("kept/one").write_text("1")
        Path("kept/two").write_text("2")
        specimens = fuzz.Specimens()
        Path("kept/one").write_text("3")
        Path("kept/two").unlink()
        Path("more/deep").mkdir(parents=True)
        Path("more/deep/three").write_text("3")
        specimens.restore()
        assert {str(path): path.is_file() and path.read_text() for path in Path().rglob("*")} == {
            "kept": False,
            "kept/one": "1",
            "kept/two": "2",
        }
