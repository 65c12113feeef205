"""`harness figures`: pictures of what results directories hold, as files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import HarnessError
from ..report.console import note, say
from .leaderboard import RESULTS, Results, Sources

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..report.results import Results as Tables

FORMATS = {"svg": "Date", "pdf": "CreationDate"}
"""For pages and for papers, each with what would make two files of one picture differ."""


def figures(
    results: Results = None,
    out: Annotated[Path, typer.Option(help="Directory that the pictures go to.")] = Path("figures"),
    source: Sources = None,
) -> None:
    """Draw what results hold, as SVG and PDF: relearning, trade-off, and what analyses found."""
    from .. import api

    found = api.load(results or RESULTS, source=tuple(source or ()))
    written = 0
    for name, figure in pictures(found):
        keep(figure, out, re.sub(r"[^A-Za-z0-9._=-]+", "-", name))
        written += 1
    if not written:
        raise HarnessError("These results hold nothing to draw: run attacks that train, or --analyses.")
    note(f"{written} pictures, each as {' and '.join(FORMATS)}, in {out}.")


def pictures(tables: Tables) -> Iterator[tuple[str, Figure]]:
    """Every picture that results allow, each with a name."""
    from ..report import analysis_plots

    for benchmark in dict.fromkeys(tables.leaderboard["benchmark"].to_pylist()):
        for name, draw in (("relearning", tables.plot_relearning), ("tradeoff", tables.plot_tradeoff)):
            try:
                yield f"{benchmark}-{name}", draw(benchmark)
            except HarnessError as error:
                say(f"Left out: {benchmark}-{name}: {error}", stderr=True)
    yield from analysis_plots.every(analysis_plots.joined(tables.cells, tables.analyses))


def keep(figure: Figure, out: Path, name: str) -> None:
    """Write a picture in all formats; the same results give the same bytes."""
    from matplotlib import rc_context

    out.mkdir(parents=True, exist_ok=True)
    for kind, date in FORMATS.items():
        with rc_context({"svg.hashsalt": name, "pdf.fonttype": 42}):  # text stays text
            figure.savefig(out / f"{name}.{kind}", metadata={date: None})
