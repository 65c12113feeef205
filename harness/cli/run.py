"""`harness run` and `harness check-benchmark`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.names import CONTROLS
from ..report.console import note, say
from ..runner.options import RunOptions
from ..runner.ranks import follows
from . import scorings
from .completion import named
from .options import Details, run_options


@run_options(*RunOptions.model_fields)
def run(
    options: RunOptions,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with these options by name; what is typed wins over it."),
    ] = None,
    details: Details = False,
    yes: Annotated[bool, typer.Option("--yes", help="Begin a long run without asking.")] = False,
) -> None:
    """Run methods against attacks; what is there already is not run again. Exits with 1 if a cell failed.

    On a terminal a run of more than half an hour is begun when you say so.
    """
    from .. import api
    from ..report import terminal
    from ..runner import config as configurations
    from ..store.urls import as_written

    if config is not None:
        options = options.over(configurations.read(config))
    results = api.carry_out(options, confirm=note if yes else ask)
    if options.dry_run or follows():
        return
    terminal.show_results(results.leaderboard.to_pylist(), details)
    note(f"\nThe cells are in {as_written(options.results)}, and `harness results` shows them again.")
    if results.failed.num_rows:
        raise typer.Exit(1)


def ask(sentence: str) -> None:
    """Ask on a terminal whether to begin what takes long, and end the command where not."""
    if sys.stdin is None or not sys.stdin.isatty():
        note(f"{sentence} Nobody is at a terminal to be asked: it begins.")
    elif not typer.confirm(f"{sentence} Continue?", err=True):
        say("Nothing was begun; all that is there is kept.")
        raise typer.Exit


@run_options("results", "cache", "model", "settings", "data", "seeds", "jobs", "plugins")
def check_benchmark(
    options: RunOptions,
    name: Annotated[str, typer.Argument(help="A benchmark.", autocompletion=named("benchmark"))],
) -> None:
    """Check that a benchmark tells its controls apart; exits with 1 where it does not.

    Where its scoring cannot tell the original from chance it says which of its others can.
    """
    from .. import api
    from ..leaderboard import board, controls
    from ..leaderboard.groups import grouped

    options = RunOptions.of({"methods": CONTROLS, "benchmarks": [name], "utility": "none"}).over(options)
    results = api.carry_out(options)
    groups = grouped(results.cells, results.metrics, results.samples)
    rows = results.leaderboard.to_pylist()
    checks = controls.check(rows, board.verdicts(groups))
    for result in checks:
        say(f"{'ok  ' if result.passed else 'FAIL'}  {result.name}: {result.detail}")
    if not controls.not_chance(rows).passed:
        for sentence in scorings.others(options, name):
            say(f"      {sentence}")
    if not all(result.passed for result in checks):
        raise typer.Exit(1)
