"""The fuzz scripts find nothing in a few cases, and say so in a line; by hand they run thousands."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from support.paths import ROOT

COUNT = int(os.environ.get("HARNESS_TEST_FUZZ", "40"))
"""Cases of each script."""


def script(name, *arguments):
    line = [sys.executable, ROOT / "tests" / "system" / name, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=600)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each case is a forked process")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fuzz_commands.py", rf"{COUNT} command lines of seed 0: \d+ exit with 0, .*; the slowest took .* s"),
        ("fuzz_files.py", rf"{COUNT} damaged files of seed 0: \d+ refused in a sentence, .*"),
    ],
)
def test_random_input_gives_no_traceback(name, says):
    ended = script(name, COUNT)
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
    assert re.fullmatch(says, ended.stdout.strip()), ended.stdout
