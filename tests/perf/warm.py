"""What the two commands of `make run` take where every cell is there, in processor seconds of this machine.

    harness run --methods ga --attacks relearn-retain,prompt:paraphrase,quantize --seeds 1 --results SOME
    python tests/perf/warm.py SOME FULL

FULL is filled first, with the cells of the whole command: the numbers of one that SOME lacks are those of its
like there, of another method or seed. So it needs no ten minutes, and what it shows says nothing of methods.
"""

from __future__ import annotations

import re
import resource
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from harness.core.names import CONTROLS
from harness.core.types import Metric, Outcome, Sample
from harness.runner.options import RunOptions
from harness.runner.record import Recorder
from harness.runner.resolve import resolved
from harness.store.schema import CellRow
from harness.store.store import Store

MAKEFILE = Path(__file__).parents[2] / "Makefile"
HARNESS = Path(sys.executable).with_name("harness")
COST = ("notes", "seconds", "steps", "tokens", "peak_memory_mib", "target_weights")
TIMES = 3


def command() -> list[str]:
    """The options of the run in the Makefile."""
    found = re.search(r"^run:.*\n\t\$\(BIN\)/harness run (.*)", MAKEFILE.read_text(), re.M)
    assert found
    return shlex.split(found[1])


def fill(some: Store, full: Path) -> int:
    """Commit every cell of the command to ``full``; how many they are."""
    words = command()
    given = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    run = resolved(RunOptions.of(given | {"results": full}))
    recorder = Recorder(run.context.source, Store(full), lambda event: None)
    like = {place(row): row for row in some.cells().to_pylist() if row["status"] == "ok"}
    for group in run.plan.groups:
        for cell in group.cells:
            made = recorder.row(group, cell)
            measured = like.get(place(made)) or like[place(replace(made, method="ga"))]
            metrics, samples, _ = (table.drop("key").to_pylist() for table in some.numbers(measured["key"]))
            outcome = Outcome([Metric(**row) for row in metrics], [Sample(**row) for row in samples])
            recorder.store.commit(replace(made, **{name: measured[name] for name in COST}), outcome)
    return len(run.plan.cells)


def place(row: CellRow | dict) -> tuple[str, ...]:
    """Where a cell is looked for: by all but its seed."""
    names = ("benchmark", "method", "stage", "attack", "variant")
    return tuple(row[name] if isinstance(row, dict) else getattr(row, name) for name in names)


def taken(*words: str) -> tuple[float, float]:
    """Processor seconds of a command and its children, and seconds by the clock: the least of some times."""
    found = []
    for _ in range(TIMES):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([HARNESS, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((used, time.perf_counter() - began))
    return min(used for used, _ in found), min(clock for _, clock in found)


def main(some: Path, full: Path) -> None:
    """Fill the directory, and print a line for each command."""
    print(f"{fill(Store(some), full)} cells in {full}, controls {', '.join(CONTROLS)} among them")
    commands = ("run", *command(), "--results", str(full)), ("leaderboard", "build", "--results", str(full))
    for words in commands:
        used, clock = taken(*words)
        print(f"harness {words[0]}: {used:.1f} processor seconds, {clock:.1f} s by the clock")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
