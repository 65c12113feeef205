"""What the fuzz scripts share: arguments, cases run in forked processes with a time limit, and figures."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

SECONDS = 60.0
"""What no case may take."""

BATCH = 100
"""Cases of one process. What one of them leaves behind in memory, as a long run does, meets the others."""

SHOWN = 4_000
"""Letters of a finding that are printed."""


@dataclass(frozen=True)
class Ended:
    """How a case ended: of which kind it was, what it did, what became of it, and what is wrong."""

    kind: str = "?"
    what: str = ""
    outcome: str = ""
    problem: str = ""


@dataclass
class Tried:
    """A case, what became of it, and how long it took."""

    number: int
    ended: Ended
    seconds: float


Case = Callable[[int], Ended]
"""A case by its number. What it raises is a finding, too."""


def arguments(about: str) -> argparse.ArgumentParser:
    """COUNT, ``--seed``, and ``--case`` to repeat one."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("count", type=int, help="how many cases")
    parser.add_argument("--seed", type=int, default=0, help="of the cases; the same gives the same ones")
    parser.add_argument("--case", type=int, help="do this one alone, the one with that number")
    return parser


def rng(seed: int, case: int) -> random.Random:
    """The random numbers of a case."""
    return random.Random(f"{seed}/{case}")


def run(script: str, noun: str, given: argparse.Namespace, case: Case) -> int:
    """Do all cases, print what was found and one line of figures. The exit code: 1 with a finding."""
    begun = time.monotonic()
    numbers = range(given.count) if given.case is None else [given.case]
    figures = Figures()
    for tried in tries(case, numbers):
        figures.add(tried)
        if tried.ended.problem:
            again = f"python tests/system/{Path(script).name} 1 --seed {given.seed} --case {tried.number}"
            told = f"FOUND by `{again}`:\n{tried.ended.what}\n{tried.ended.problem}"
            print(told.encode(errors="backslashreplace").decode()[:SHOWN], flush=True)
    print(figures.line(noun, given.seed, time.monotonic() - begun))
    return 1 if figures.findings else 0


@dataclass
class Figures:
    """What became of the cases, counted."""

    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: int = 0
    slowest: float = 0.0

    def add(self, tried: Tried) -> None:
        """Count one."""
        self.kinds[tried.ended.kind] += 1
        self.findings += bool(tried.ended.problem)
        if not tried.ended.problem:
            self.outcomes[tried.ended.outcome] += 1
        self.slowest = max(self.slowest, tried.seconds)

    def line(self, noun: str, seed: int, seconds: float) -> str:
        """All figures in one line."""
        kinds, outcomes = (
            ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))
            for counted in (self.kinds, self.outcomes)
        )
        return (
            f"{self.kinds.total()} {noun} of seed {seed} ({kinds}): {outcomes}; {self.findings} findings; "
            f"the slowest took {self.slowest:.1f} s, all {seconds:.0f} s"
        )


def tries(case: Case, numbers: Iterable[int]) -> Iterator[Tried]:
    """Every case in a forked process that it shares with others.

    A traceback, a process that dies and one that does not go on are problems of the case they happened in.
    """
    left = iter(numbers)
    while batch := list(itertools.islice(left, BATCH)):
        while batch:
            for tried in _batch(case, [*batch]):
                batch.remove(tried.number)
                yield tried


def _batch(case: Case, numbers: list[int]) -> Iterator[Tried]:
    """Cases in one process, until one of them ends it."""
    here, there = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if not child:
        here.close()
        _serve(case, numbers, there)
    there.close()
    with here:
        for number in numbers:
            begun = time.monotonic()
            ended = None
            if in_time := here.poll(SECONDS):
                with contextlib.suppress(EOFError):
                    ended = here.recv()
            if ended is None:
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                died = f"its process died with {os.waitstatus_to_exitcode(status)}"
                ended = Ended(problem=died if in_time else f"it did not end within {SECONDS:g} seconds")
                yield Tried(number, ended, time.monotonic() - begun)
                return
            yield Tried(number, ended, time.monotonic() - begun)
    os.waitpid(child, 0)


def _serve(case: Case, numbers: list[int], there: Connection) -> None:
    """Do the cases and tell of each, in the child, which ends here."""
    try:
        for number in numbers:
            try:
                ended = case(number)
            except BaseException:
                ended = Ended(problem=traceback.format_exc())
            there.send(ended)
        os._exit(0)
    finally:
        os._exit(1)


class Specimens:
    """The files below the current directory, remembered, to be there again before each case."""

    def __init__(self) -> None:
        self.files = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        self.folders = {path for path in Path().rglob("*") if path.is_dir()}

    def restore(self, below: str = ".") -> None:
        """Put back what is not as it was, and remove what was not there."""
        for folder, _, names in os.walk(below, topdown=False):
            for path in (Path(folder) / name for name in names):
                if path not in self.files:
                    path.unlink()
            if Path(folder) not in self.folders and Path(folder) != Path(below):
                os.rmdir(folder)
        for path, content in self.files.items():
            if path.is_relative_to(below) and not (path.is_file() and path.read_bytes() == content):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
