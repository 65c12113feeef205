"""`harness leaderboard`: build it from results, look at it, hold it against results, merge parts."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.names import TINY
from ..errors import ConfigError, StoreError
from ..plugins.selection import split
from ..report.console import note, say
from .completion import listed

if TYPE_CHECKING:
    from ..leaderboard.compare import Difference
    from ..report.files import Published

RERENDER = "harness leaderboard pages"
REBUILD = "harness leaderboard build"
RESULTS = [Path("results")]
BESIDE = "leaderboard"
"""The directory of a leaderboard within the results that it is built from."""

Results = Annotated[list[Path] | None, typer.Option(help="Results directory, repeatable.")]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="DIGEST",
        help="Beginning of the digest to take, where results hold several versions of a code; repeatable. "
        "'any' takes the newest of each cell.",
    ),
]
Committed = Annotated[Path, typer.Option(help="The leaderboard to check.")]

Docs = Annotated[
    Path | None,
    typer.Option(
        help="Link methods, attacks, benchmarks and metrics to their pages in this directory, relatively."
    ),
]

app = typer.Typer(help="Build the leaderboard from results, look at it, and check it.", no_args_is_help=True)


@app.command("build")
def build(
    results: Results = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where the leaderboard goes. [default: leaderboard/ in the results directory]"),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Only these methods and the controls, separated by commas.",
            autocompletion=listed("method"),
        ),
    ] = "all",
    attacks: Annotated[
        str,
        typer.Option(
            help="Only these attacks, or 'none'; NAME:VARIANT for one.", autocompletion=listed("attack")
        ),
    ] = "all",
    force: Annotated[
        bool, typer.Option("--force", help="Replace a leaderboard although rows of it would be lost.")
    ] = False,
    source: Sources = None,
    docs: Docs = None,
) -> None:
    """Write the leaderboard's tables, README.md and index.html from result files alone."""
    from ..report import files, overwriting, parts
    from ..report.progress import tracked
    from ..runner import mirrors

    stores = mirrors.stores(results or RESULTS)
    if out is None and len(stores) > 1:
        raise ConfigError("There are several --results: say with --out where their leaderboard goes.")
    beside = (results or RESULTS)[0] / BESIDE
    out = mirrors.local(out or beside)
    choice = parts.Choice(source or (), split(methods), split(attacks))
    made, unsound = parts.build(stores, choice, tracked)
    for cell, sentence in unsound:
        say(f"Counted as failed: {cell}: {sentence}", stderr=True)
    if docs:
        made = made.documented(docs, out)
    if not force:
        overwriting.refuse_loss(made, out, beside)
    written = made.files()
    files.write(written, out)
    rows, points = made.board.num_rows, made.curves.num_rows
    note(f"{rows} rows, {points} points of curves: {files.listed(written)} in {out}.")


@app.command("open")
def open_page(
    directory: Annotated[Path, typer.Argument(help="Where the leaderboard is.")] = RESULTS[0] / BESIDE,
) -> None:
    """Open a leaderboard's index.html in the default browser; builds nothing."""
    from ..report import files

    path = files.page(directory)
    say(str(path))
    if not webbrowser.open(path.as_uri()):
        say("No browser could be started here; open that file in one.", stderr=True)


@app.command("check")
def check(
    results: Results = None,
    committed: Committed = Path("leaderboard"),
    part: Annotated[
        bool, typer.Option("--part", help="Compare only the rows that the results hold.")
    ] = False,
    source: Sources = None,
    again: Annotated[
        int, typer.Option(min=0, help="In place of that, make so many drawn cells of the results again.")
    ] = 0,
    seed: Annotated[int | None, typer.Option(help="Draw the cells of this seed.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Take trained models for --again from here.")] = None,
) -> None:
    """Hold a committed leaderboard against results; exits with 1 where they differ beyond the intervals.

    A leaderboard that was built from these very results is refused: it would agree with itself.
    """
    if again:
        from .again import agree

        if not agree(results or RESULTS, again, fresh(seed), cache):
            raise typer.Exit(1)
        return
    if not agrees(committed, results or RESULTS, part, sources=source or ()):
        raise typer.Exit(1)


@app.command("regenerate")
def regenerate(
    committed: Committed = Path("leaderboard"),
    minutes: Annotated[float, typer.Option(min=0, help="Budget, on two quiet cores.")] = 4,
    seed: Annotated[
        int | None, typer.Option(help="Draw the part of this seed. [default: a fresh one]")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Take trained models from here. [default: train them, too]")
    ] = None,
    model: Annotated[str, typer.Option(help="Draw rows of this model.")] = TINY,
    frame: Annotated[str, typer.Option(help="How it was asked, as in the run that is made again.")] = "auto",
) -> None:
    """Draw a part of the grid, run it from nothing, and check the committed rows; exits with 1 like check."""
    from .. import api
    from ..leaderboard.subset import pick
    from ..report import files
    from ..runner.options import RunOptions
    from .again import at_cpu_pace, describe

    seed = fresh(seed)
    rows = files.read(committed).board.to_pylist()
    part = pick(at_cpu_pace(rows), 60 * minutes, seed, model)
    describe(part, [row for row in rows if row["attack"] != "none"], minutes, seed)
    folder = Path(tempfile.mkdtemp(prefix="harness-"))
    options = RunOptions.of(
        {
            "methods": part.methods,
            "attacks": part.attacks,
            "benchmarks": [part.benchmark],
            "seeds": part.seeds,
            "targets": part.targets,
            "results": folder / "results",
            "cache": cache or folder / "cache",
            "controls": False,
            "model": model,
            "frame": frame,
        }
    )
    api.carry_out(options)
    if agrees(committed, [options.results], part=True, rows=part.rows):
        shutil.rmtree(folder)
        return
    say(f"The results are kept in {folder}. Draw the same part again with --seed {seed}.", stderr=True)
    raise typer.Exit(1)


@app.command("merge")
def merge(
    sources: Annotated[list[Path], typer.Argument(help="Results directories.")],
    out: Annotated[Path, typer.Option(help="Where all cells go; it may hold some already.")],
) -> None:
    """Bring the cells of several results directories into one; build the leaderboard from that."""
    from ..runner import config, mirrors
    from ..store import merge

    directories, place = [store.root for store in mirrors.stores(sources)], mirrors.here(out)
    merged = merge.merge(place, directories)
    config.copy(directories, place)
    mirrors.send(place)
    for sentence in merged.left_out:
        say(f"Left out: {sentence}", stderr=True)
    again = f"; {merged.failed} have failed and will be tried again by the next run" if merged.failed else ""
    say(f"{out}: {merged.cells} cells, {merged.copied} of them new{again}.")


@app.command("pack")
def pack(
    sources: Annotated[list[Path], typer.Argument(help="Results directories.")],
    out: Annotated[Path, typer.Option(help="Where the pack goes; it may hold cells already.")],
) -> None:
    """Put the cells that worked into a few small files, to keep and pass on; a pack is a --results, too."""
    from ..runner import mirrors
    from ..store import packed

    made = packed.pack(mirrors.local(out), mirrors.stores(sources))
    again = f"; left out, because they failed: {made.failed}" if made.failed else ""
    say(f"{out}: {made.cells} cells, {made.added} of them new{again}.")


@app.command("pages")
def pages(
    out: Annotated[Path, typer.Option(help="The leaderboard.")] = Path("leaderboard"),
    docs: Docs = None,
) -> None:
    """Write README.md and index.html again from the tables beside them; needs no results."""
    from ..report import files

    there = files.read(out)
    made = there.documented(docs, out).files() if docs else there.pages()
    files.write(made, out)
    for name in made:
        say(f"{out / name}")


def fresh(seed: int | None) -> int:
    """The seed that was asked for, or one that nobody knows beforehand."""
    return secrets.randbelow(2**32) if seed is None else seed


def agrees(
    committed: Path,
    results: Sequence[Path],
    part: bool = False,
    rows: int = 1,
    sources: Sequence[str] = (),
) -> bool:
    """Say whether a committed leaderboard is what the results give, and its pages what its table gives.

    ``rows`` is how many rows must be there to compare: without any, nothing differs.
    """
    from ..leaderboard import board, compare, origin
    from ..leaderboard.consistency import inconsistent
    from ..leaderboard.groups import grouped
    from ..report import files, terminal
    from ..runner import mirrors
    from ..store import store

    theirs = files.read(committed)
    tables = store.tables(mirrors.stores(results))
    groups = grouped(*tables, sources)
    ours = origin.marked(board.build(groups), groups)
    pairs, missing, _ = compare.matched(theirs.board.to_pylist(), ours.to_pylist())
    own = origin.same_cells(theirs.board, ours)
    if own and len(own) == len(pairs) and (part or not missing):
        raise StoreError(
            f"{committed} would be compared with itself: every row that these results hold was built from "
            "exactly their cells; give --results that were measured apart, or another board by --committed."
        )
    found = compare.compare(theirs.board.to_pylist(), ours.to_pylist(), compare.spreads(groups), part)
    found.differences += [
        compare.Difference(cell, sentence, "run it again") for cell, sentence in store.unsound(tables[0])
    ]
    found.differences += [
        compare.Difference(where, what, REBUILD) for where, what in inconsistent(theirs.board.to_pylist())
    ]
    found.differences += stale(committed, theirs)
    if own:
        found.notes.append(f"rows that were built from these very cells, and so agree: {len(own)}.")
    terminal.show_comparison(found, committed, rows)
    return found.rows >= rows and not found.differences


def stale(directory: Path, made: Published) -> Iterator[Difference]:
    """The pages beside the tables that are not what the tables give."""
    from ..leaderboard.compare import Difference

    for name, content in made.pages().items():
        path = directory / name
        if not path.is_file():
            yield Difference(name, "not there", RERENDER)
        elif path.read_bytes() != content:
            yield Difference(name, "not what the tables beside it give", RERENDER)
