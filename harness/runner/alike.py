"""Cells that another version of the code has measured, in the place of those that this one would."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow.compute as pc

from ..core.events import Event
from ..store.decided import identity_of
from ..store.store import Store, tables
from .plan import Plan
from .record import Recorder


def alike(plan: Plan, store: Store, done: set[str]) -> dict[str, str]:
    """By the key of a planned cell that is not done, that of one that differs in nothing but the code."""
    cells, _, _ = tables([store])
    worked = cells.filter(pc.equal(cells["status"], "ok")).to_pylist()
    measured = {identity_of(row): row["key"] for row in worked}
    recorder = Recorder(plan.source, store, _nobody)
    planned = {
        cell.key: identity_of(asdict(recorder.row(group, cell)))
        for group in plan.groups
        for cell in group.cells
        if cell.key not in done
    }
    return {key: measured[identity] for key, identity in planned.items() if identity in measured}


def _nobody(event: Event) -> None:
    """Nothing is told: nothing is committed."""
