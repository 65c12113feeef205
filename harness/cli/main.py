"""The command line: a thin layer that parses, calls the rest, and prints.

Import what is heavy inside the command that needs it: ``harness --help`` and ``harness list`` load no torch.
"""

from __future__ import annotations

import gc
import sys
from importlib import metadata
from typing import Annotated

import typer

from ..errors import HarnessError
from ..plugins.discovery import DISTRIBUTION
from ..report.console import Level, say, telling
from . import (
    figures,
    leaderboard,
    models,
    plan,
    planted,
    plugins,
    prepare,
    publish,
    report,
    results,
    run,
    submissions,
    submit,
)
from .process import Commands, open_streams, stop, stop_for_system

EXIT_CODES = (
    "Exit codes: 0 all is done; 1 done, but a cell failed or a check does not hold; "
    "2 stopped, and the sentence says what you can mend; 130 interrupted."
)

app = typer.Typer(
    cls=Commands,
    help="Tell erasing from hiding: run unlearning methods against attacks that bring the knowledge back.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("list")(plugins.list_plugins)
app.command("show")(plugins.show)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("figures")(figures.figures)
app.command("report")(report.report)
app.command("submit")(submit.submit)
app.command("prepare")(prepare.prepare)
app.command("check-benchmark")(run.check_benchmark)
app.command("check-analysis")(planted.check_analysis)
app.command("new")(plugins.new)
app.command("check")(plugins.check)
app.add_typer(results.app, name="results")
app.add_typer(models.app, name="models")
leaderboard.app.command("submissions")(submissions.submissions)
app.add_typer(leaderboard.app, name="leaderboard")
app.add_typer(publish.app, name="publish")


def main() -> None:
    """The console script. What the user can mend is printed as ``Error: ...`` and exits with 2."""
    # Loading libraries and reading cells makes objects by the million, which stay: to look through them each
    # 700 takes an eighth of a run that has all its cells.
    gc.set_threshold(100_000, 50, 50)
    open_streams()
    try:
        app(prog_name="harness")
    except HarnessError as error:
        stop(str(error))
    except OSError as error:
        stop_for_system(error)
    except KeyboardInterrupt:
        sys.exit(130)


def _version(requested: bool) -> None:
    if requested:
        say(f"harness {metadata.version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say only what was asked for, and what went wrong.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say which cells run, how long, and how they fail.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""
    if quiet and verbose:
        raise typer.BadParameter("choose one of --quiet and --verbose.")
    level = Level.QUIET if quiet else Level.VERBOSE if verbose else Level.NORMAL
    context.with_resource(telling(level))
