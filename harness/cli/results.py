"""`harness results`: what is in results directories, and their cells in few files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..report.console import say
from .leaderboard import RESULTS, Results, Sources
from .options import FIELDS, Details

app = typer.Typer()

Directory = Annotated[Path, typer.Option("--results", help=FIELDS["results"].description)]


@app.callback(invoke_without_command=True)
def results(
    context: typer.Context, results: Results = None, details: Details = False, source: Sources = None
) -> None:
    """Show what runs found: a verdict on each method, and what follows; runs nothing."""
    if context.invoked_subcommand:
        return
    from ..report import terminal
    from ..report.results import Results as Tables
    from ..runner import mirrors
    from ..store import store

    stores = mirrors.stores(results or RESULTS)
    found = Tables(lambda: store.tables(stores), sources=source or ())
    terminal.show_results(found.leaderboard.to_pylist(), details, requested=True)
    for cell, sentence in store.unsound(found.cells):
        say(f"Counted as failed: {cell}: {sentence}", stderr=True)
    if failed := found.failed.num_rows:
        say(f"{failed} of {found.cells.num_rows} cells failed; the next run tries them again.", stderr=True)


@app.command()
def compact(results: Directory = RESULTS[0]) -> None:
    """Bring the cells that worked into a few files; runs may go on meanwhile, and read them as before."""
    from ..errors import StoreError
    from ..runner import mirrors
    from ..store import compaction
    from ..store.store import Store

    place = mirrors.here(results)
    if not place.is_dir():
        raise StoreError(f"There is no results directory {results}; name another by --results.")
    done = compaction.compact(Store(place))
    left = f" {done.left} stay alone: they failed, or something is wrong with them." if done.left else ""
    say(f"{done.moved} cells went into {results / 'compacted'}, which has {done.files} files.{left}")
