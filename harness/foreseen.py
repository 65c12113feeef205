"""What a run will do, take and need, said before it begins: by what is planned and what was measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .engine.keeping import is_kept
from .report import terminal
from .report.time_left import duration, expected
from .runner import estimate, keeping, memory, mirrors, places
from .runner.estimate import Estimate
from .runner.keeping import Room
from .runner.options import RunOptions
from .runner.record import display_name
from .runner.resolve import ResolvedRun, resolved, workers
from .store.provenance import cores
from .store.store import Store
from .store.urls import as_written

if TYPE_CHECKING:
    from .runner.grid_cost import GridCost


def summary(
    run: ResolvedRun, options: RunOptions, done: set[str], left: Estimate, room: Room
) -> terminal.PlanSummary:
    """What a run consists of and what of it is there already, in words."""
    plan = run.plan
    attacks = (" ".join(filter(None, (c.attack.name, c.variant))) for c in plan.cells if c.attack)
    tasks = dict.fromkeys(cell.tasks for cell in plan.cells if cell.tasks)
    return terminal.PlanSummary(
        benchmarks=list(dict.fromkeys(group.benchmark.name for group in plan.groups)),
        model=", retrain: ".join(map(display_name, run.context.sources)),
        seeds=options.seeds,
        methods=list(dict.fromkeys(group.method.name for group in plan.groups)),
        attacks=list(dict.fromkeys(attacks)),
        analyses=list(dict.fromkeys(cell.analysis.name for cell in plan.cells if cell.analysis)),
        utility={measured.engine: json.loads(measured.config)["asked"] for measured in tasks},
        cells=len(plan.cells),
        done=sum(cell.key in done for cell in plan.cells),
        results=as_written(options.results),
        to_train=[plan.recipes[key].name for key in places.to_train(plan, run.context.cache, done)],
        left_out=plan.left_out,
        time=in_words(left) if left.cells else "",
        to_convert=_conversion(run, done),
        to_keep=str(room) if room.models else "",
        kept=len(_kept(run, done)),
        memory=_memory(run, options, done),
    )


def time_left(run: ResolvedRun, options: RunOptions, store: Store, done: set[str]) -> Estimate:
    """What is left to do, by what is known of the seconds of cells."""
    plan, known = run.plan, []
    if plan.missing(done):
        known = [estimate.measured(store.columns(*estimate.COLUMNS)), estimate.shipped()]
    # More workers than cores do not do more.
    number = workers(options) if options.executor != "local" else min(workers(options), cores())
    if run.context.rank:  # all do one task
        number = 1
    to_train = places.to_train(plan, run.context.cache, done)
    kept = _kept(run, done)
    return estimate.estimate(plan, display_name(plan.source), done, to_train, number, known, kept)


def _memory(run: ResolvedRun, options: RunOptions, done: set[str]) -> str:
    """What a cell takes at the most, for a dry run, or a warning. Raises ConfigError where none can fit."""
    found = memory.memory(run.plan, run.context, run.registry, done)
    if found is None:
        return ""
    room = None
    if options.executor == "local":
        number = min(workers(options), len(run.plan.missing(done)))
        room = memory.available(run.context.device, number)
    if warning := memory.check(found, room):
        return warning
    there = "" if room is None else f"; there are {keeping.gib(room)}"
    most = f"at most {keeping.gib(found.most)} for each worker ({found.largest}){there}"
    return most if options.dry_run else ""


def cost(options: RunOptions, on: str | None = None, tflops: float | None = None) -> GridCost:
    """What is left of a run costs on this device, or on the one named or of that speed. Nothing is run.

    Raises HarnessError for everything that is wrong with the options, and ConfigError where there is nothing
    to estimate from.
    """
    from .runner.grid_cost import grid_cost

    run = resolved(options)
    store = Store(mirrors.here(options.results))
    done = set(store.sound([cell.key for cell in run.plan.cells]))
    return grid_cost(run, store, done, workers(options), on, tflops)


def _kept(run: ResolvedRun, done: set[str]) -> set[str]:
    """Keys of the groups that start from a kept model."""
    return {group.key for group in run.plan.missing(done) if is_kept(run.context.cache, group.key)}


def _conversion(run: ResolvedRun, done: set[str]) -> str:
    """How long the model's GGUF file takes to be converted, where it must be."""
    file = run.plan.source.file
    if file is None or places.to_convert(run.plan, run.context.cache, done) is None:
        return ""
    return duration(file.stat().st_size / estimate.UNPACKED)


def in_words(left: Estimate) -> str:
    """How long what is left will take."""
    return expected(left.seconds, left.workers, left.unknown, left.models.count(None))
