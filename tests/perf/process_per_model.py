"""What a process for each unlearned model costs, and the looks at what a plugin leaves.

    python tests/perf/process_per_model.py [--methods gd,ssiuu] [--attacks quantize,prompt] [--rounds 3]

Seconds by the clock of the same cells, made by turns in three ways: in one process without looking, in one
process with, and in a process for each model, which the fork server starts as in any run. Targets are trained
before. Ratios are of one run of it, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from harness.engine.integrity import Intact
from harness.engine.surroundings import Surroundings
from harness.model import loading
from harness.runner.executors.local import LocalExecutor
from harness.runner.options import RunOptions
from harness.runner.plan import Plan
from harness.runner.pool import execute
from harness.runner.resolve import resolved
from harness.runner.worker import Worker


def main() -> None:
    """Print a line for each way, and the parts of the cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="gd,ssiuu")
    parser.add_argument("--attacks", default="quantize,prompt,private-data")
    parser.add_argument("--benchmarks", default="faithun-mini,tofu-mini")
    parser.add_argument("--utility", default="none")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=Path)
    given = vars(parser.parse_args())
    rounds = given.pop("rounds")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = resolved(RunOptions.of({**given, "results": Path(folder) / "first"}))
        execute(
            run.plan, run.context, LocalExecutor(run.context, 1), lambda event: None, set()
        )  # targets, and everything loaded once
        ways: dict[str, Callable[..., None]] = {"one process": unlooked, "looks": inside, "processes": apart}
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            for name, way in ways.items():
                context = replace(run.context, results=Path(folder) / f"{name}-{number}")
                begun = time.perf_counter()
                way(run.plan, context)
                spent[name].append(time.perf_counter() - begun)
        models = len(run.plan.groups)
        base = statistics.median(spent["one process"])
        print(
            f"{models} unlearned models, {len(run.plan.cells)} cells; seconds, median of {rounds} (and all)"
        )
        for name, taken in spent.items():
            middle = statistics.median(taken)
            every = " ".join(f"{one:.1f}" for one in taken)
            print(
                f"{name:12} {middle:7.1f}  x {middle / base:.3f}  {(middle - base) / models:+.3f} s a model"
                f"  ({every})"
            )
        parts(run.context.cache / "targets")


def unlooked(plan: Plan, context: Any) -> None:
    """All groups in one process, which looks at nothing."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(Intact, "check", lambda self, who: None))
        stack.enter_context(patch("harness.engine.cell.check_finite", lambda model, who: None))
        inside(plan, context)


def inside(plan: Plan, context: Any) -> None:
    """All groups in one process."""
    worker = Worker(context, lambda event: None)
    for group in plan.groups:
        worker.run_group(group)


def apart(plan: Plan, context: Any) -> None:
    """Each group in a process of its own."""
    execute(plan, context, LocalExecutor(context, 1), lambda event: None, set())


def parts(targets: Path) -> None:
    """Milliseconds of what every model and stage pays."""
    begun = time.perf_counter()
    loading.load(next(path for path in targets.iterdir() if (path / "config.json").is_file()))
    loaded = time.perf_counter()
    state = Surroundings()
    taken = time.perf_counter()
    state.changes()
    compared = time.perf_counter()
    print(
        f"loading the model {1000 * (loaded - begun):.0f} ms; the state of the process "
        f"{1000 * (taken - loaded):.0f} ms to take and {1000 * (compared - taken):.0f} ms to compare"
    )


if __name__ == "__main__":
    main()
