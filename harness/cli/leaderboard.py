"""``harness leaderboard ...``: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Build the leaderboard from results, look at it, and check it.", no_args_is_help=True)


@app.command("build")
def build(
    results: Annotated[list[Path] | None, typer.Option(help="Results directory, repeatable.")] = None,
    out: Annotated[Path, typer.Option(help="Where the leaderboard goes.")] = Path("leaderboard"),
) -> None:
    """Write the leaderboard's tables, README.md and index.html from result files alone."""
    from . import gate

    gate.build(results or [Path("results")], out)


@app.command("open")
def open_page(
    directory: Annotated[Path, typer.Argument(help="Where the leaderboard is.")] = Path("leaderboard"),
) -> None:
    """Open a leaderboard's index.html in the default browser; builds nothing."""
    from . import gate

    gate.open_page(directory)


@app.command("check")
def check(
    results: Annotated[list[Path] | None, typer.Option(help="Results directory, repeatable.")] = None,
    committed: Annotated[Path, typer.Option(help="The leaderboard to check.")] = Path("leaderboard"),
    part: Annotated[
        bool, typer.Option("--part", help="Compare only the rows that the results hold.")
    ] = False,
) -> None:
    """Hold a committed leaderboard against results; exits with 1 where they differ beyond the intervals."""
    from . import gate

    if not gate.check(committed, results or [Path("results")], part):
        raise typer.Exit(1)


@app.command("regenerate")
def regenerate(
    committed: Annotated[Path, typer.Option(help="The leaderboard to check.")] = Path("leaderboard"),
    minutes: Annotated[float, typer.Option(min=0, help="Budget, on two quiet cores.")] = 4,
    seed: Annotated[
        int | None, typer.Option(help="Draw the part of this seed. [default: a fresh one]")
    ] = None,
) -> None:
    """Draw a part of the grid, run it from nothing, and check the committed rows; exits with 1 like check."""
    from . import gate

    if not gate.regenerate(committed, minutes, seed):
        raise typer.Exit(1)


@app.command("merge")
def merge(
    sources: Annotated[list[Path], typer.Argument(help="Results directories.")],
    out: Annotated[Path, typer.Option(help="Where all cells go; it may hold some already.")],
) -> None:
    """Bring the cells of several results directories into one; build the leaderboard from that."""
    from . import gate

    gate.merge(out, sources)


@app.command("pages")
def pages(
    out: Annotated[Path, typer.Option(help="The leaderboard.")] = Path("leaderboard"),
) -> None:
    """Write README.md and index.html again from the tables beside them; needs no results."""
    from . import gate

    gate.pages(out)
