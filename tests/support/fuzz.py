"""What the fuzz scripts share: their arguments, and a case run in a process of its own with a time limit."""

from __future__ import annotations

import argparse
import os
import pickle
import random
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 30
"""What no case may take."""

DEFECT = 70
"""How a child of a case ends that found a traceback, after it told it."""


def arguments(about: str) -> argparse.ArgumentParser:
    """COUNT, ``--seed``, and ``--case`` to repeat one."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("count", type=int, help="how many cases")
    parser.add_argument("--seed", type=int, default=0, help="of the cases; the same gives the same ones")
    parser.add_argument("--case", type=int, help="do this one alone, the one with that number")
    return parser


def numbers(given: argparse.Namespace) -> range:
    """The numbers of the cases."""
    return range(given.count) if given.case is None else range(given.case, given.case + 1)


def rng(seed: int, case: int) -> random.Random:
    """The random numbers of a case."""
    return random.Random(f"{seed}/{case}")


@dataclass(frozen=True)
class Tried:
    """How a case went: what it gave, or what is wrong."""

    value: Any
    problem: str
    seconds: float


def attempt(case: Callable[[], Any]) -> Tried:
    """Run a case in a forked process. A traceback, a signal and a process that does not end are problems."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            _run(case, said)
        status = _wait(child, begun + SECONDS)
        seconds = time.monotonic() - begun
        said.seek(0)
        content = said.read()
    if status is None:
        return Tried(None, f"it did not end within {SECONDS} seconds", seconds)
    if status == 0:
        return Tried(pickle.loads(content), "", seconds)
    return Tried(None, content.decode(errors="replace") or f"the process ended with {status}", seconds)


def _run(case: Callable[[], Any], said: Any) -> None:
    code = 0
    try:
        said.write(pickle.dumps(case()))
    except BaseException:
        said.seek(0)
        said.truncate()
        said.write(traceback.format_exc().encode(errors="replace"))
        code = DEFECT
    said.flush()
    os._exit(code)


def _wait(child: int, end: float) -> int | None:
    """The exit code of a child; None where it had to be killed."""
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def told(script: str, seed: int, case: int, what: str, problem: str) -> str:
    """A finding, and how to repeat it."""
    again = f"python tests/system/{Path(script).name} 1 --seed {seed} --case {case}"
    return f"FOUND by `{again}`:\n{what}\n{problem}"
