"""What makes a drawn cell of a submission again: the one place that runs a submission's code."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.composition import JOINED
from ..core.names import ANALYSIS, NO_ATTACK
from ..errors import HarnessError, PluginError
from ..plugins.discovery import DISTRIBUTION
from ..report.console import say
from .again import agreeing

if TYPE_CHECKING:
    from ..runner.options import RunOptions
    from ..store.submission import Submission
    from .review import Reviewed


def reproduced(reviewed: Reviewed, model: str, seed: int, cache: Path | None) -> bool:
    """Draw a cell, run it from nothing with the submission's code, and say how its numbers come out.

    Where the model is another than that of the cell, all that is shown is that the code runs.
    """
    made = reviewed.submission
    assert made is not None
    folder = Path(tempfile.mkdtemp(prefix="harness-"))
    try:
        fine = _again(reviewed, made, model, seed, folder, cache or folder / "cache")
    except HarnessError as error:
        say(f"{made.name}: not run: {error}", stderr=True)
        fine = False
    if fine:
        shutil.rmtree(folder)
    else:
        say(f"{made.name}: not reproduced; what was made of it is kept in {folder}.", stderr=True)
    return fine


def _again(reviewed: Reviewed, made: Submission, model: str, seed: int, folder: Path, cache: Path) -> bool:
    from .. import api
    from ..leaderboard.again import sample
    from ..leaderboard.submissions import is_of
    from ..store.decided import identity_of
    from ..store.schema import cell_name

    rows = [cell.row for cell in reviewed.cells if cell.row["stage"] != ANALYSIS]
    [row] = sample(rows, 1, seed)
    say(f"{made.name}: drawn with --seed {seed}: {cell_name(row)}. Its code runs now, with your rights.")
    _check_installed(row)
    run = next(run for run in reviewed.runs if is_of(row, run.model_dump(mode="json")))
    options = _options(run, row, model, made)
    results = api.carry_out(options.model_copy(update={"results": folder / "results", "cache": cache}))
    cells = results.cells.to_pylist()
    if failed := [cell for cell in cells if cell["status"] != "ok"]:
        say(f"{made.name}: {cell_name(failed[0])} failed: {failed[0]['error_message']}", stderr=True)
        return False
    again = {cell["key"] for cell in cells if identity_of(cell) == identity_of(row)}
    if not again:
        say(f"{made.name}: its code runs on {Path(model).name}; none of its numbers were made again there.")
        return True
    values = [metric for metric in results.metrics.to_pylist() if metric["key"] in again]
    if not agreeing(reviewed.stored[row["key"]].metrics.to_pylist(), values):
        return False
    entry = json.dumps({made.name: {"badge": "reproduced", "content": made.content}})
    say(f"{made.name}: reproduced; for badges.json: {entry}")
    return True


def _check_installed(row: Mapping[str, Any]) -> None:
    """Raise PluginError where a distribution of the cell's plugins is not here, or in another version."""
    from ..store.submission import DIGEST, owners

    for name, version in owners([row]):
        if name == DISTRIBUTION or DIGEST.fullmatch(version):
            continue  # it is this version that it is held against, and a file is in the submission itself
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "not"
        if installed != version:
            raise PluginError(
                f"{name} {version} is needed, and {installed} installed: pip install {name}=={version}"
            )


def _options(run: RunOptions, row: Mapping[str, Any], model: str, made: Submission) -> RunOptions:
    """The run of one cell, with the settings of the run that it is of, and nothing of its places."""
    from ..store.submission import PLUGINS

    same = Path(model).name == row["model"]
    # Code that was measured on a model which is not here is tried on the embedded one's benchmark.
    benchmark = row["benchmark"] if same else type(run).model_fields["benchmarks"].default[0]
    attack = ":".join(filter(None, (row["attack"], row["variant"])))
    names = {*row["method"].split(JOINED), row["attack"], benchmark}
    return run.model_copy(
        update={
            "methods": (row["method"],),
            "attacks": (NO_ATTACK,) if row["attack"] == NO_ATTACK else (attack,),
            "benchmarks": (benchmark,),
            "analyses": ("none",),
            "settings": {n: value for n, value in run.settings.items() if n.partition(".")[0] in names},
            "plugins": tuple(made.of_kind(PLUGINS)),
            "model": model,
            **dict.fromkeys(("original", "retrain", "revision", "utility_tasks", "threads", "jobs")),
            **dict.fromkeys(("controls", "trust_remote_code", "trust_code"), False),
            **({} if same else {"frame": "auto", "dtype": "float32"}),
            **{"seeds": 1, "targets": 1, "data": {}, "utility": ()},
        }
    )
