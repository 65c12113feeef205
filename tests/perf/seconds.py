"""What cells take and do, from the cells that are committed: the table that estimates begin with.

python tests/perf/seconds.py > build/seconds.csv && mv build/seconds.csv harness/runner/seconds.csv

A kind of cell that none of them is of keeps the line that it has there: those of the embedded model that a
committed leaderboard had, and `llama-1b`, whose steps and evaluation were timed by themselves
(docs/performance.md).
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.core.names import ANALYSIS, ATTACK, EVALUATION, NO_ATTACK, TINY, UTILITY
from harness.engine.keeping import skeleton_of
from harness.engine.protocol import EMBEDDED, SMALL
from harness.engine.source import Source
from harness.engine.targets import recipes
from harness.model import models
from harness.plugins.kinds import Kind
from harness.plugins.registry import Registry
from harness.runner.cost import CPU
from harness.runner.estimate import TABLE
from harness.runner.workload import Workload, of_attack, of_unlearning, texts_in
from harness.store.packed import opened

BOARDS = Path(__file__).parents[2] / "leaderboard"
CELLS = (BOARDS / "cells", BOARDS / "cells-tiny", BOARDS / "studies" / "left-out")
COLUMNS = ("device", "model", "dtype", "benchmark", "stage", "method", "attack", "variant", "seconds")
WORK = ("parameters", "steps", "budget", "looks", "trained", "scored")
TARGET, SMOLLM2 = 59.0, 134_515_008
"""Seconds of a target (docs/performance.md): no cell is one. And the parameters of the pretrained model."""

HEAD = f"""\
# Seconds of a cell, and what was done in it: `seconds`, `steps` and `tokens` of the committed cells (core
# seconds of a CPU; a GPU was shared by 14 workers); those of targets, and the steps of `llama-1b`, from
# docs/performance.md. A line without a method is the mean of all methods.
# Made by: python tests/perf/{Path(__file__).name}
"""

REGISTRY = Registry()


@cache
def facts(benchmark: str) -> tuple[Any, Any]:
    """A benchmark and its splits."""
    made = REGISTRY.benchmarks[benchmark].load()()
    return made, made.load()


@cache
def parameters(model: str, benchmark: str) -> int:
    """Of a model; the words of a benchmark decide how many the embedded one has."""
    if model != TINY:
        return SMOLLM2
    return models.size(skeleton_of(recipes(*facts(benchmark), Source())["original"]))


def most(row: dict[str, Any]) -> Workload:
    """What a cell may do."""
    texts = texts_in(facts(row["benchmark"])[1])
    if row["stage"] == ATTACK:
        cls = REGISTRY.get(Kind.ATTACK, row["attack"]).load()
        return of_attack(cls, cls.Config.model_validate_json(row["attack_config"]), texts, None)
    cls = REGISTRY.get(Kind.METHOD, row["method"]).load()
    protocol = EMBEDDED if row["model"] == TINY else SMALL
    return of_unlearning(cls.Config.model_validate_json(row["method_config"]), texts, protocol, None)


def of_cells(place: Path) -> Iterator[tuple[tuple[str, ...], tuple[float, ...]]]:
    """What cells took, each with its kind."""
    for row in opened(place).cells().to_pylist():
        if row["status"] != "ok" or row["stage"] == ANALYSIS:
            continue
        work = [0.0] * len(WORK)
        if row["stage"] != UTILITY:
            may = most(row)
            done = may.after(row["steps"], row["tokens"])
            size = parameters(row["model"], row["benchmark"])
            work = [size, done.steps, may.steps, done.looks, done.trained, done.scored + done.once]
        yield kind(row), (row["seconds"], *work)


def of_before() -> Iterator[tuple[tuple[str, ...], tuple[float, ...]]]:
    """The lines of the table as it is."""
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    for line in list(csv.reader(lines))[1:]:
        yield tuple(line[: len(COLUMNS) - 1]), tuple(map(float, line[len(COLUMNS) - 1 :]))


def kind(row: dict[str, Any]) -> tuple[str, ...]:
    """What of a cell decides how long it takes, as far as estimates know: the columns before the seconds."""
    device, stage = json.loads(row["provenance"])["gpu"] or CPU, row["stage"]
    of = (row["method"], NO_ATTACK, "") if stage == EVALUATION else ("", row["attack"], row["variant"])
    return device, row["model"], row["dtype"], row["benchmark"], stage, *of


def main() -> None:
    """Print a line for each kind of cell."""
    taken: dict[tuple[str, ...], list[tuple[float, ...]]] = defaultdict(list)
    for place in CELLS:
        for named, measured in of_cells(place):
            taken[named].append(measured)
    for on in {named[:4] for named in taken if named[1] == TINY and named[0] == CPU}:
        taken[*on, "target", "", NO_ATTACK, ""] = [(TARGET, *[0.0] * len(WORK))]
    for named, measured in of_before():
        taken.setdefault(named, [measured])
    sys.stdout.write(HEAD)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow([*COLUMNS, *WORK])
    for named in sorted(taken):
        seconds, *work = map(fmean, zip(*taken[named], strict=True))
        digits = 3 if named[4] == "step" else 2
        table.writerow([*named, f"{seconds:.{digits}f}", *(round(value) for value in work)])


if __name__ == "__main__":
    main()
