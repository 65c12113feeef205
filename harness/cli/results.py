"""`harness results`: what is in results directories, without running anything."""

from __future__ import annotations

from ..report.console import say
from .leaderboard import RESULTS, Results, Sources
from .options import Details


def results(results: Results = None, details: Details = False, source: Sources = None) -> None:
    """Show what runs found: a verdict on each method, and what follows; runs nothing."""
    from ..report import terminal
    from ..report.results import Results as Tables
    from ..store import packed, store

    stores = packed.stores(results or RESULTS)
    found = Tables(lambda: store.tables(stores), sources=source or ())
    terminal.show_results(found.leaderboard.to_pylist(), details, requested=True)
    for cell, sentence in store.unsound(found.cells):
        say(f"Counted as failed: {cell}: {sentence}", stderr=True)
    if failed := found.failed.num_rows:
        say(f"{failed} of {found.cells.num_rows} cells failed; the next run tries them again.", stderr=True)
