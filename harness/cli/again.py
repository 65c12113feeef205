"""What makes committed numbers again: `leaderboard check --again`, and what `regenerate` draws from."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.frame import FRAMES
from ..errors import StoreError
from ..report.console import say

if TYPE_CHECKING:
    from ..leaderboard.subset import Subset

SAME = 1e-4
"""A difference that is none: other hardware, and other versions of a library, round otherwise."""

MOST = 3
"""Numbers that moved within their intervals and are named."""


def agree(results: Sequence[Path], count: int, seed: int, cache: Path | None) -> bool:
    """Draw cells, run each from nothing, and say how far its numbers are from those that are kept.

    Raises StoreError for a cell that a plain run of this version does not make.
    """
    from .. import api
    from ..leaderboard.again import sample
    from ..leaderboard.versions import together
    from ..runner.mirrors import stores
    from ..runner.options import RunOptions
    from ..store.decided import identity_of
    from ..store.schema import cell_name
    from ..store.store import tables

    cells, metrics, _ = tables(stores(results))
    rows = together(cells.to_pylist())
    folder = Path(tempfile.mkdtemp(prefix="harness-"))
    fine = True
    for row in sample(rows, count, seed):
        say(f"drawn with --seed {seed}: {cell_name(row)}")
        options = RunOptions.of(
            {**_asked(row), "results": folder / "results", "cache": cache or folder / "cache"}
        )
        made = api.carry_out(options)
        again = [each["key"] for each in made.cells.to_pylist() if identity_of(each) == identity_of(row)]
        if not again:
            raise StoreError(
                f"{cell_name(row)} was made with settings or data that a plain run does not have, so its row "
                "alone does not make it again: run it with them, and compare by `harness leaderboard check`."
            )
        kept, values = (
            table.filter(pc.is_in(table["key"], pa.array(keys))).to_pylist()
            for table, keys in ((metrics, [row["key"]]), (made.metrics, again))
        )
        fine = agreeing(kept, values) and fine
    if fine:
        shutil.rmtree(folder)
    else:
        say(f"The results are kept in {folder}. Draw the same with --seed {seed}.", stderr=True)
    return fine


def agreeing(kept: Sequence[Mapping[str, Any]], made: Sequence[Mapping[str, Any]]) -> bool:
    """Say how many numbers of a cell came out as they are kept, and which did not; whether none left its
    interval."""
    from ..leaderboard.again import numbers

    compared = numbers(kept, made)
    moved = sorted((number for number in compared if number.moved > SAME), key=lambda number: -number.moved)
    outside = [number for number in compared if not number.agrees]
    same = len(compared) - len(moved)
    say(f"{len(compared)} numbers: {same} are as they are kept, {len(outside)} disagree.")
    for number in dict.fromkeys([*outside, *moved[:MOST]]):
        again = "not measured" if number.made is None else f"{number.made:.4g}"
        interval = (
            "" if number.low is None or number.high is None else f" [{number.low:.4g}, {number.high:.4g}]"
        )
        say(f"  {number.name}: {number.kept:.4g}{interval}, and {again} again")
    return not outside


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run that makes this cell, and whatever it hangs on."""
    from ..leaderboard.subset import Run

    frame = json.loads(row["notes"]).get("frame")
    run = Run.of(row)
    return {
        "methods": [run.method],
        "attacks": [run.attack],
        "benchmarks": [run.benchmark],
        "model": row["model"],
        "dtype": row["dtype"],
        "frame": frame if frame in FRAMES else "auto",
        "seeds": 1,
        "controls": False,
        "utility": "none",
    }


def at_cpu_pace(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the seconds that they take on a CPU: budgets are for one, and some were made on a GPU."""
    from ..runner.estimate import Work, seconds_of, shipped

    known = [shipped()]
    return [
        {**row, "seconds": max(row["seconds"], seconds_of(Work.of_row(row), known) or 0.0)}
        if row["seconds"]
        else dict(row)
        for row in rows
    ]


def describe(part: Subset, attacked: Sequence[Mapping[str, Any]], minutes: float, seed: int) -> None:
    """Say what was drawn from the rows under attacks, and what it will take."""
    from ..leaderboard.labels import computed_on
    from ..leaderboard.subset import JOBS, SETUP

    say(f"drawn with --seed {seed}: {part.benchmark}, seeds: {part.seeds}")
    say(f"methods: {', '.join(part.methods)}   attacks: {', '.join(part.attacks)}")
    setup = SETUP * part.targets
    say(
        f"about {part.seconds / 60:.1f} minutes on {JOBS} cores, {setup / 60:.1f} of them for the targets; "
        f"{part.eligible} of {len(attacked)} rows under attacks fit into {minutes:g} minutes and may be drawn"
    )
    say(f"The committed rows were {computed_on(attacked) or 'made nobody knows where'}.\n")
