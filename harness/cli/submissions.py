"""`harness leaderboard submissions`: look at what others have submitted, and show it on a board."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.names import ANALYSIS, TINY
from ..errors import ConfigError, StoreError, unknown
from ..plugins.discovery import DISTRIBUTION
from ..plugins.selection import split
from ..report.console import note, say
from .leaderboard import Docs, fresh
from .review import COMMITTED, Committed, Reviewed, cells_of, reviewed, stored_in, tables_of

if TYPE_CHECKING:
    from ..leaderboard.badges import Given
    from ..store.store import Stored

FOLDER = Path("leaderboard/submissions")
BESIDE = ("README.md", "badges.json")
"""The files that lie beside the submissions."""


def submissions(
    folder: Annotated[Path, typer.Argument(help="Where the submissions are.")] = FOLDER,
    only: Annotated[str, typer.Option(help="Only these, separated by commas.")] = "all",
    cells: Committed = None,
    out: Annotated[
        Path | None, typer.Option(help="Build the board of --cells and of the submissions here.")
    ] = None,
    docs: Docs = None,
    requirements: Annotated[
        Path | None, typer.Option(help="Write here what pip needs to install for --run-plugins.")
    ] = None,
    run_plugins: Annotated[
        bool,
        typer.Option(
            "--run-plugins",
            help="RUN CODE of each submission, to make a drawn cell again. Only where it can do no harm.",
        ),
    ] = False,
    model: Annotated[str, typer.Option(help="The model on which --run-plugins makes it again.")] = TINY,
    seed: Annotated[int | None, typer.Option(help="Draw the cell of this seed.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Take trained models for --run-plugins from here.")
    ] = None,
) -> None:
    """Check every submission as data, running no code of it; exits with 1 where something is wrong."""
    from ..leaderboard import badges

    committed = stored_in(cells or COMMITTED)
    given = badges.read(folder)
    folders = [*_folders(folder, split(only))]
    known = cells_of(committed) if folders else []
    found = [reviewed(path, known) for path in folders]
    fine = [_said(each, given) for each in found]
    sound = [each for each in found if not each.problems]
    if requirements is not None:
        _require(requirements, sound)
    if run_plugins:
        from .rerun import reproduced

        drawn = fresh(seed)
        fine += [reproduced(each, model, drawn, cache) for each in sound]
    if out is not None:
        _build(out, docs, committed, sound, given)
    if not all(fine):
        raise typer.Exit(1)


def _require(path: Path, sound: Sequence[Reviewed]) -> None:
    """Write the distributions of plugins of submissions as pip reads them."""
    from ..store.atomic import write_atomically
    from ..store.submission import requirements

    lines = {
        line for each in sound if each.submission for line in requirements(each.submission, DISTRIBUTION)
    }
    write_atomically(path, "".join(f"{line}\n" for line in sorted(lines)).encode())


def _folders(folder: Path, only: Sequence[str]) -> Iterator[Path]:
    """The folders of submissions. Raises StoreError or ConfigError where there is none of that name."""
    if not folder.is_dir():
        raise StoreError(f"There is no directory {folder}; name that of the submissions.")
    there = {path.name: path for path in sorted(folder.iterdir()) if path.name not in BESIDE}
    for name in there if tuple(only) == ("all",) else only:
        if name not in there:
            raise ConfigError(unknown("submission named", name, there))
        yield there[name]


def _said(each: Reviewed, given: Given) -> bool:
    """Say what is wrong with a submission, or that nothing is and which badge it has; whether it is fine."""
    from ..leaderboard.badges import SELF_REPORTED

    problems = list(each.problems)
    badge, content = given.get(each.name, (SELF_REPORTED, ""))
    if each.submission is not None and content not in ("", each.submission.content):
        problems.append(f"its badge '{badge}' was given for another content: look at it again")
    for problem in problems:
        say(f"{each.name}: {problem}", stderr=True)
    for sentence in each.notes:
        note(f"{each.name}: not looked at: {sentence}.")
    if not problems:
        say(f"{each.name}: {len(each.cells)} cells keep the rules; badge: {badge}.")
    return not problems


def _build(
    out: Path,
    docs: Path | None,
    committed: Mapping[str, Stored],
    sound: Sequence[Reviewed],
    given: Given,
) -> None:
    """Write the board of the maintainers' cells and those of submissions, each row with its badge."""
    import pyarrow as pa

    from ..leaderboard import badges
    from ..leaderboard.groups import grouped
    from ..leaderboard.submissions import admitted
    from ..leaderboard.versions import ANY
    from ..report import files

    def badge_of(each: Reviewed) -> str:
        badge, content = given.get(each.name, (badges.SELF_REPORTED, ""))
        known = each.submission is not None and each.submission.content == content
        return badge if known else badges.SELF_REPORTED

    stored, cells, of_cell = dict(committed), cells_of(committed), dict[str, str]()
    # Those that more is known of come first: where two hold the same, theirs stays.
    for each in sorted(sound, key=lambda each: -badges.BADGES.index(badge_of(each))):
        new = admitted(each.cells, cells)
        if left := len(each.cells) - len(new):
            note(f"{each.name}: {left} cells only compared, and not shown: the board holds such cells.")
        cells += new
        stored |= {cell.row["key"]: each.stored[cell.row["key"]] for cell in new}
        of_cell |= {cell.row["key"]: badge_of(each) for cell in new}
    tables = tables_of(stored)
    looked = [cell.analyses for cell in stored.values() if cell.row["stage"][0].as_py() == ANALYSIS]
    groups = grouped(*tables, (ANY,))
    made = files.build(groups, pa.concat_tables(looked) if looked else files.NOTHING)
    if of_cell:
        made = made._replace(board=badges.marked(made.board, groups, of_cell))
    if docs:
        made = made.documented(docs, out)
    files.write(made.files(), out)
    shown = json.dumps(sorted({*of_cell.values()})) if of_cell else "none"
    note(f"{made.board.num_rows} rows in {out}; badges of submissions: {shown}.")
