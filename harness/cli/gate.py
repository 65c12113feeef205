"""What the commands about leaderboards do: build, open, check, regenerate, merge, pages."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..leaderboard import board, compare
from ..leaderboard.compare import Comparison, Difference
from ..leaderboard.groups import grouped
from ..leaderboard.subset import JOBS, SETUP, Subset, pick
from ..report import files
from ..report.console import note, say, table
from ..report.files import Published
from ..runner import command
from ..store import store
from ..store.merge import merge as merged

SHOWN = 5
"""Numbers shown that agree: the furthest apart."""

RERENDER = "harness leaderboard pages"


def build(results: Sequence[Path], out: Path) -> None:
    """Write the leaderboard of one or more results directories."""
    made = files.build(grouped(*store.tables(store.stores(results))))
    written = made.files()
    files.write(written, out)
    note(
        f"{made.board.num_rows} rows, {made.curves.num_rows} points of curves: {', '.join(written)} in {out}."
    )


def open_page(place: Path) -> None:
    """Show the page of a leaderboard in the default browser, and say where it is."""
    path = files.page(place)
    say(str(path))
    if not webbrowser.open(path.as_uri()):
        say("No browser could be started here; open that file in one.", stderr=True)


def check(committed: Path, results: Sequence[Path], part: bool = False, rows: int = 1) -> bool:
    """Say whether a committed leaderboard is what the results give, and its pages what its table gives.

    ``rows`` is how many rows must be there to compare: without any, nothing differs.
    """
    theirs = files.read(committed)
    groups = grouped(*store.tables(store.stores(results)))
    ours = board.build(groups)
    found = compare.compare(theirs.board.to_pylist(), ours.to_pylist(), compare.spreads(groups), part)
    found.differences += stale(committed, theirs)
    show(found, committed, rows)
    return found.rows >= rows and not found.differences


def regenerate(committed: Path, minutes: float, seed: int | None) -> bool:
    """Draw a part of the grid, run it from nothing, and hold it against the committed rows."""
    seed = secrets.randbelow(2**32) if seed is None else seed
    rows = files.read(committed).board.to_pylist()
    part = pick(rows, 60 * minutes, seed)
    describe(part, sum(row["attack"] != "none" for row in rows), minutes, seed)
    place = Path(tempfile.mkdtemp(prefix="harness-"))
    wanted = command.Wanted(
        methods=",".join(part.methods),
        attacks=",".join(part.attacks),
        benchmarks=part.benchmark,
        seeds=part.seeds,
        results=place / "results",
        cache=place / "cache",
        controls=False,
    )
    command.run(wanted)
    agrees = check(committed, [wanted.results], part=True, rows=part.rows)
    if agrees:
        shutil.rmtree(place)
    else:
        say(f"The results are kept in {place}. Draw the same part again with --seed {seed}.", stderr=True)
    return agrees


def describe(part: Subset, rows: int, minutes: float, seed: int) -> None:
    """Say what was drawn and what it will take."""
    say(f"drawn with --seed {seed}: {part.benchmark}, seeds: {part.seeds}")
    say(f"methods: {', '.join(part.methods)}   attacks: {', '.join(part.attacks)}")
    say(
        f"about {part.seconds / 60:.1f} minutes on {JOBS} cores, {SETUP / 60:.1f} of them for the targets; "
        f"{part.eligible} of {rows} rows under attacks fit into {minutes:g} minutes and may be drawn\n"
    )


def merge(out: Path, sources: Sequence[Path]) -> None:
    """Bring the cells of several results directories together."""
    store.stores(sources)
    done = merged(out, sources)
    failed = f"; {done.failed} have failed and will be tried again by the next run" if done.failed else ""
    say(f"{out}: {done.cells} cells, {done.copied} of them new{failed}.")


def pages(place: Path) -> None:
    """Write the pages of a leaderboard again, from its tables."""
    made = files.read(place).pages()
    files.write(made, place)
    for name in made:
        say(f"{place / name}")


def stale(place: Path, made: Published) -> Iterator[Difference]:
    """The pages beside the tables that are not what the tables give."""
    for name, content in made.pages().items():
        path = place / name
        if not path.is_file():
            yield Difference(name, "not there", RERENDER)
        elif path.read_bytes() != content:
            yield Difference(name, "not what the tables beside it give", RERENDER)


def show(found: Comparison, committed: Path, rows: int) -> None:
    """Say how much was compared, what came close, and what differs."""
    say(
        f"\n{committed}: {found.rows} rows and {len(found.numbers)} numbers of {found.models} unlearned "
        f"models compared; each pair may be {found.limit:.2f} joint margins of its intervals apart."
    )
    apart = [number for number in found.numbers if number.share][:SHOWN]
    lines = [
        (n.where, n.name, *map("{:.3f}".format, (n.committed, n.rebuilt)), f"{n.share:.0%}") for n in apart
    ]
    if lines:
        say(table("furthest apart", ("row", "number", "committed", "rebuilt", "of what is allowed"), lines))
    elif found.numbers:
        say("All numbers are equal.")
    for told in found.notes:
        say(f"note: {told}")
    if found.differences:
        say(table("differences", ("where", "what", "what to do"), gathered(found.differences)))
    if found.rows < rows:
        say(f"Too little to compare: the results hold {found.rows} of its rows, needed: {rows}.", stderr=True)
    elif found.differences:
        count = len(found.differences)
        say(f"{count} {'difference' if count == 1 else 'differences'}.", stderr=True)
    else:
        say("They agree.")


def gathered(differences: Sequence[Difference]) -> list[tuple[str, str, str]]:
    """A line for each thing to say, with the first row it is said of and the number of others."""
    where: dict[tuple[str, str], list[str]] = {}
    for each in differences:
        where.setdefault((each.what, each.todo), []).append(each.where)
    return [
        (first if not others else f"{first} and {len(others)} more", *told)
        for told, (first, *others) in where.items()
    ]
