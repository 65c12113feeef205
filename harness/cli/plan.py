"""`harness plan`: what a run would do, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..report.console import say, table
from ..runner.options import RunOptions
from .options import run_options

if TYPE_CHECKING:
    from ..runner.grid_cost import GridCost

HOUR = 3600


@run_options(*(name for name in RunOptions.model_fields if name != "dry_run"))
def plan(
    options: RunOptions,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with these options by name; what is typed wins over it."),
    ] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Estimate device hours, memory and bytes, and say how well.")
    ] = False,
    on: Annotated[
        str | None,
        typer.Option("--on", help="The device to estimate for, as 'NVIDIA H200'. [default: this one]"),
    ] = None,
    tflops: Annotated[
        float | None,
        typer.Option("--tflops", help="Its sustained speed in TFLOP/s, where nothing was measured on it."),
    ] = None,
) -> None:
    """Show what `harness run` would do with these options, and what it costs; nothing is run."""
    from .. import api, foreseen
    from ..errors import ConfigError
    from ..runner import config as configurations

    if config is not None:
        options = options.over(configurations.read(config))
    if (on is not None or tflops is not None) and not cost:
        raise ConfigError("--on and --tflops are of --cost: give that as well.")
    if tflops is not None and not 0 < tflops < float("inf"):
        raise ConfigError(f"--tflops {tflops:g}: it must be a number above 0.")
    if not cost:
        api.carry_out(options.model_copy(update={"dry_run": True}))
        return
    found = foreseen.cost(options, on, tflops)
    if not found.lines:
        say("Nothing is left to do: all cells are there.")
        return
    shown = [
        (benchmark, method, str(cells), hours(seconds, unknown, cells), memory(most))
        for benchmark, method, cells, seconds, unknown, most in found.lines
    ]
    say(table(f"what is left, on {found.device}", ("benchmark", "method", "cells", "hours", "GiB"), shown))
    for line in summary(found):
        say(line)


def hours(seconds: float, unknown: int, cells: int) -> str:
    """Device hours, and how many cells are not in them."""
    known = f"{seconds / HOUR:.2g}" if unknown < cells else "?"
    return f"{known} (+ {unknown} cells)" if unknown and unknown < cells else known


def memory(size: float) -> str:
    """GiB at the most."""
    return f"{size / 2**30:.1f}" if size else "?"


def summary(cost: GridCost) -> Iterator[str]:
    """The whole, a line each."""
    from ..report.time_left import duration, many
    from ..runner.cost import SHARE, within
    from ..runner.keeping import gib

    left = cost.estimate
    whole = sum(filter(None, [*left.cells.values(), *left.models]))
    measured = len(left.cells) - cost.fitted - left.unknown
    spread = f"about {duration(left.seconds)} on {many(left.workers, 'worker')}"
    yield f"device hours: {whole / HOUR:.2g}; {spread}"
    yield f"cells with seconds that were measured: {measured}; that are fitted: {cost.fitted}"
    if left.unknown or None in left.models:
        yield (
            f"not in it: {many(left.unknown, 'cell')} and {many(left.models.count(None), 'model')} of which "
            "nothing is known (lm-eval, analyses, training)"
        )
    for factors, what in (
        (cost.kinds, "of methods and attacks that are new to it"),
        (cost.sizes, "of larger models than it has seen"),
    ):
        if factors:
            share = f"{SHARE:.0%} of {many(len(factors), 'kind')} of cells"
            yield f"error of the fit: within x{within(factors):.1f} for {share} {what}"
    kept = f"; kept models: {cost.kept}" if cost.kept.models else ""
    targets = f"; models trained first: {gib(cost.targets)}" if cost.targets else ""
    yield f"on disk: results of about {gib(cost.results)}{targets}{kept}"
    if cost.memory:
        yield f"memory: at most {gib(cost.memory.most)} for each worker ({cost.memory.largest})"
