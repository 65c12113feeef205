"""`harness submit`: results as a folder that a pull request brings to the leaderboard."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.names import CONTROLS
from ..errors import PluginError, StoreError
from ..plugins.selection import split
from ..report.console import note, say
from .leaderboard import RESULTS, Results
from .review import COMMITTED, Committed

if TYPE_CHECKING:
    from ..runner.options import RunOptions


def submit(
    out: Annotated[
        Path, typer.Option(help="The folder to write; its last part is the name of the submission.")
    ],
    results: Results = None,
    methods: Annotated[
        str, typer.Option(help="Only these methods and the controls, separated by commas.")
    ] = "all",
    cells: Committed = None,
) -> None:
    """Write a folder for a pull request: cells, resolved options, plugins, environment; then look at it."""
    from ..runner import config, mirrors
    from ..store import packed, submission
    from .review import cells_of, reviewed, stored_in

    places = [mirrors.here(place) for place in results or RESULTS]
    stores = packed.stores(places)
    rows = [row for store in stores for cell in store.stored().values() for row in cell.row.to_pylist()]
    wanted = {row["method"] for row in rows} if split(methods) == ("all",) else {*split(methods), *CONTROLS}
    rows = [row for row in rows if row["status"] == "ok" and row["method"] in wanted]
    runs = _runs(places, rows)
    plugins = _plugin_files(submission.owners(rows), runs)
    configs = [_portable(run) for run in runs]
    made = submission.write(
        out, stores, wanted, {config.file_name(each): config.text(each) for each in configs}, plugins
    )
    note(f"{len(made.files)} files in {out}: {len(rows)} cells of {', '.join(sorted(wanted))}.")
    if problems := reviewed(out, cells_of(stored_in(cells or COMMITTED))).problems:
        for problem in problems:
            say(f"{out.name}: {problem}", stderr=True)
        say(f"It would be refused; mend that, take {out} away, and write it again.", stderr=True)
        raise typer.Exit(1)
    note("It keeps the rules. Send it as a pull request that adds this folder and nothing else.")


def _runs(places: Sequence[Path], rows: Sequence[Mapping[str, Any]]) -> list[RunOptions]:
    """The runs that made these cells. Raises StoreError where none is known."""
    from ..core.files import ours
    from ..leaderboard.submissions import is_of
    from ..runner import config

    paths = [path for place in places for path in sorted(ours((place / config.FOLDER).glob("*.yaml")))]
    options = [config.read(path) for path in paths]
    configs = [(run, _portable(run)) for run in options]
    found = [run for run, plain in configs if any(is_of(row, plain) for row in rows)]
    if not found:
        raise StoreError(
            f"No configuration of a run in {', '.join(str(place / config.FOLDER) for place in places)} makes "
            "these cells; give the --results that `harness run` wrote, or what `harness leaderboard merge` "
            "made of them: a pack holds none."
        )
    return found


def _portable(run: RunOptions) -> dict[str, Any]:
    """The options of a run as plain data; of a path on this machine its name alone is anybody's business."""
    from ..runner.resolve import PLACES

    return {name: _named(value) for name, value in run.model_dump(mode="json", exclude=PLACES).items()}


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _named(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_named(part) for part in value]
    if isinstance(value, str) and (os.path.isabs(value) or (os.sep in value and os.path.lexists(value))):
        return Path(value).name
    return value


def _plugin_files(owners: Iterable[tuple[str, str]], runs: Sequence[RunOptions]) -> dict[str, bytes]:
    """The plugin files of the cells, as they were then. Raises PluginError where one is not there."""
    there = {path.name: path.read_bytes() for run in runs for path in run.plugins if path.is_file()}
    from ..store.submission import DIGEST

    found = {}
    for name, version in owners:
        if not DIGEST.fullmatch(version):
            continue
        content = there.get(name, b"")
        if not name.endswith(".py"):
            raise PluginError(
                f"Not submitted: a class of {name} was handed to harness.run, and nobody else could run it; "
                "put it into a file or a package, and run with that."
            )
        if not hashlib.sha256(content).hexdigest().startswith(version):
            raise PluginError(
                f"Not submitted: the plugin file {name} is not where the run had it, or is another one now "
                f"than the one of these cells ({version}); put that one back, or run again."
            )
        found[name] = content
    return found
