"""`harness report`: tables of what results hold, for a paper, a page or a spreadsheet."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError, unknown
from ..plugins.selection import split
from ..report.console import note, say
from .leaderboard import RESULTS, Results, Sources

KINDS = ("verdicts", "attacks", "curves")


class Format(StrEnum):
    """What tables are written as."""

    latex = "latex"
    markdown = "markdown"
    csv = "csv"
    html = "html"


class Interval(StrEnum):
    """How an interval is written; CSV has its ends in columns."""

    brackets = "brackets"
    plus_minus = "plus-minus"


def report(
    results: Results = None,
    board: Annotated[Path | None, typer.Option(help="A leaderboard in place of --results.")] = None,
    format: Annotated[Format, typer.Option(help="What tables are written as.")] = Format.markdown,
    tables: Annotated[
        str, typer.Option(help="Of verdicts, attacks, curves; separated by commas.")
    ] = "verdicts,attacks",
    interval: Annotated[Interval, typer.Option(help="How intervals are written.")] = Interval.brackets,
    out: Annotated[
        Path | None, typer.Option(help="Directory for a file of each table. [default: print them]")
    ] = None,
    source: Sources = None,
) -> None:
    """Print the tables of results or of a leaderboard: as LaTeX, Markdown, CSV or HTML."""
    from .. import api
    from ..report import files
    from ..report.escape import file_name
    from ..report.printed_tables import WRITERS
    from ..report.printed_tables import tables as made
    from ..store.atomic import write_atomically

    kinds = split(tables)
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(unknown("table named", kind, KINDS))
    if board is not None and results:
        raise ConfigError("Give --results or --board, and not both.")
    if board is not None:
        rows, points, *_ = files.read(board)
    else:
        found = api.load(results or RESULTS, source=tuple(source or ()))
        rows, points = found.leaderboard, found.curves
    ending, write = WRITERS[format.value]
    written: dict[str, str] = {}
    for table in made(rows, points, kinds):
        # Two targets may have one name: their data or settings differ.
        written[file_name(table.name, written)] = write(table, interval.value)
    if out is None:
        say("\n".join(written.values()).rstrip("\n"))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        write_atomically(out / f"{name}.{ending}", text.encode())
    note(f"{len(written)} tables in {out}: {', '.join(f'{name}.{ending}' for name in written)}.")
