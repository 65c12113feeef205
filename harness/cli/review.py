"""A submission looked at as data: its files, its cells, and the configurations that made them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.composition import JOINED
from ..core.names import CONTROLS, NO_ATTACK, SMOLLM2, TINY, UTILITY
from ..errors import HarnessError

if TYPE_CHECKING:
    from ..leaderboard.reading import Cell
    from ..runner.options import RunOptions
    from ..store.store import Stored, Tables
    from ..store.submission import Submission

COMMITTED = (Path("leaderboard/cells"), Path("leaderboard/cells-tiny"))
"""Where the cells of the committed boards are."""

Committed = Annotated[
    list[Path] | None,
    typer.Option(
        "--cells",
        help="Cells of maintainers to hold it against, repeatable. [default: those of the committed boards]",
    ),
]

MOST_PLANNED = 100_000
"""Cells of a plan that is made to look at keys."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What is wrong with a submission, what could not be looked at, and what it holds where it was read."""

    name: str
    problems: Sequence[str]
    notes: Sequence[str] = ()
    submission: Submission | None = None
    runs: Sequence[RunOptions] = ()
    cells: Sequence[Cell] = ()
    stored: Mapping[str, Stored] = field(default_factory=dict)


def reviewed(folder: Path, committed: Sequence[Cell]) -> Reviewed:
    """Look at the submission in a folder. Nothing of it is imported, and no link in it is followed."""
    from ..leaderboard.groups import grouped
    from ..leaderboard.submissions import Submitted, problems
    from ..leaderboard.versions import ANY
    from ..runner import config
    from ..store import submission

    try:
        made = submission.opened(folder)
        stored = made.cells().stored()
        runs = [config.read(path) for path in made.of_kind(submission.RUNS)]
    except HarnessError as error:
        return Reviewed(folder.name, str(error).splitlines())
    unsound = {key: [*cell.wrong] or ["it failed"] for key, cell in stored.items() if cell.status != "ok"}
    if unsound:
        wrong = [f"the cell {key[:12]}: {sentence}" for key, found in unsound.items() for sentence in found]
        return Reviewed(folder.name, wrong)
    cells, rows = cells_of(stored), [row for cell in stored.values() for row in cell.row.to_pylist()]
    plain = [run.model_dump(mode="json") for run in runs]
    wrong = [*submission.disagreements(made, rows)]
    wrong += problems(Submitted(cells, plain, committed, built_in()))
    notes: list[str] = []
    if not wrong:
        wrong += other_keys(rows, runs, notes)
        try:
            grouped(*tables_of(stored), (ANY,))
        except HarnessError as error:  # what would stop the board of all
            wrong.append(str(error))
    return Reviewed(folder.name, wrong, notes, made, runs, cells, stored)


def stored_in(directories: Sequence[Path]) -> dict[str, Stored]:
    """The cells in results directories or packs; none where there is no such directory."""
    from ..store.packed import opened

    there = [opened(directory) for directory in directories if directory.is_dir()]
    return {key: cell for store in there for key, cell in store.stored().items()}


def cells_of(stored: Mapping[str, Stored]) -> list[Cell]:
    """Those that nothing is wrong with, with their numbers."""
    from ..leaderboard.reading import read

    cells, metrics, samples = tables_of(stored)
    return read([row for row in cells.to_pylist() if row["status"] == "ok"], metrics, samples)


def tables_of(stored: Mapping[str, Stored]) -> Tables:
    """The tables of cells that have been read."""
    import pyarrow as pa

    from ..store.schema import CELLS, METRICS, SAMPLES

    parts = zip(
        (CELLS.empty_table(), METRICS.empty_table(), SAMPLES.empty_table()),
        *(stored[key].tables(key) for key in sorted(stored)),
        strict=True,
    )
    cells, metrics, samples = (pa.concat_tables(part).combine_chunks() for part in parts)
    return cells, metrics, samples


def built_in() -> dict[str, set[str]]:
    """By kind, the names of the harness's own plugins; nobody else's are loaded."""
    from ..plugins.discovery import DISTRIBUTION, load_plugins
    from ..plugins.hookspecs import PROJECT
    from ..plugins.kinds import Kind

    names: dict[str, set[str]] = {kind.value: set() for kind in Kind}
    installed = metadata.entry_points(group=PROJECT)
    own = [entry for entry in installed if entry.dist and entry.dist.name == DISTRIBUTION]
    for entry in load_plugins(own).entries:
        # A modifier is named as part of a method.
        names[(Kind.METHOD if entry.kind is Kind.MODIFIER else entry.kind).value].add(entry.name)
    return names


def other_keys(rows: Sequence[Row], runs: Sequence[RunOptions], notes: list[str]) -> Iterator[str]:
    """The cells whose key is not the one that their configuration gives with the code of this version.

    ``notes`` says why where that cannot be made: without the plugin's code, or the model's files, no plan is.
    """
    from ..core.fingerprint import engine_fingerprint
    from ..store.schema import cell_name

    current = [row for row in rows if row["engine"] == engine_fingerprint() and row["stage"] != UTILITY]
    if len(current) < len(rows):
        notes.append(
            f"{len(rows) - len(current)} of {len(rows)} cells are of another version of the engine, or of "
            "lm-eval: their keys follow from their rows, and were not made from the configuration"
        )
    planned: dict[tuple, set[str]] = defaultdict(set)
    for run in runs if current else ():
        try:
            _plan(run, current, planned)
        except HarnessError as error:
            notes.append(f"keys were not made from a configuration: {str(error).splitlines()[0]}")
    for row in current:
        keys = planned.get(_which(row))
        if keys and row["key"] not in keys:
            yield (
                f"{cell_name(row)} has the key {row['key'][:12]}, and its configuration gives "
                f"{' or '.join(sorted(key[:12] for key in keys))}"
            )


def _plan(run: RunOptions, rows: Sequence[Row], planned: dict[tuple, set[str]]) -> None:
    """Add the keys that a run gives. Raises HarnessError where it needs what is not the harness's own."""
    from ..runner.resolve import resolved

    own = built_in()
    used = {kind: {row[kind] for row in rows} for kind in ("method", "attack", "benchmark")}
    chosen = {
        f"{kind}s": tuple(n for n in getattr(run, f"{kind}s") if _is_own(n, own[kind], there))
        for kind, there in used.items()
    }
    seeds = 1 + max(row["seed"] for row in rows)
    texts = [value for value in run.settings.values() if isinstance(value, str)]
    if run.model not in (TINY, SMOLLM2) or run.original or run.data or any("/" in text for text in texts):
        raise HarnessError("its model, data or files are not here")
    if not chosen["benchmarks"] or not (chosen["methods"] or run.controls):
        raise HarnessError("its plugins are not the harness's own, and their code is not run here")
    if seeds * (3 + len(chosen["methods"])) * (1 + 10 * len(chosen["attacks"])) > MOST_PLANNED:
        raise HarnessError("it has too many cells")
    names = {part for kind in chosen.values() for name in kind for part in _parts(name)}
    names |= {*CONTROLS} if run.controls else set()
    settings = {name: value for name, value in run.settings.items() if name.partition(".")[0] in names}
    plain = {"plugins": (), "utility": (), "utility_tasks": None, "analyses": ("none",), "seeds": seeds}
    plain |= {"trust_remote_code": False, "trust_code": False, "settings": settings}
    chosen["attacks"] = chosen["attacks"] or ("none",)
    for group in resolved(run.model_copy(update={**chosen, **plain})).plan.groups:
        for cell in group.cells:
            attack = cell.attack.name if cell.attack else NO_ATTACK
            which = group.benchmark.name, group.method.name, cell.stage, attack, cell.variant, "", cell.seed
            planned[which].add(cell.key)


def _is_own(name: str, built_in: Collection[str], used: Collection[str]) -> bool:
    """Whether a name in a configuration is one of the harness's own that cells have."""
    return name.partition(":")[0] in used and {*built_in}.issuperset(_parts(name))


def _parts(name: str) -> list[str]:
    return name.partition(":")[0].split(JOINED)


def _which(row: Row) -> tuple[Any, ...]:
    """What tells the cells of one plan from each other."""
    names = ("benchmark", "method", "stage", "attack", "variant", "analysis", "seed")
    return tuple(row[name] for name in names)
