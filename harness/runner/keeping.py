"""Which unlearned models a run keeps (``--keep``), and whether there is room for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.events import Event, Tell
from ..core.fingerprint import engine_fingerprint
from ..engine.keeping import (
    KeptModel,
    Standing,
    bytes_of,
    discard,
    expected_bytes,
    full_weights,
    is_kept,
    keep,
    kept,
    kept_path,
)
from ..engine.targets import recipes
from ..errors import ConfigError, HarnessError, one_line
from ..plugins.registry import Registry
from ..store import claims
from .context import WorkerContext
from .plan import Group, Plan, task_name
from .planner import loaded
from .record import display_name

if TYPE_CHECKING:
    from torch import Tensor

    from ..engine.cell import UnlearnedModel

GIB = 2**30


def keep_of(model: UnlearnedModel, group: Group, context: WorkerContext, seconds: float, tell: Tell) -> None:
    """Keep a group's model, if the run is told to. What goes wrong is told: its cells need no kept model.

    ``best`` keeps one of the seeds of a method, the first in :class:`Standing`; it takes the place of one
    that an earlier seed, or run, kept for the same reason.
    """
    if context.keep == "none" or not group.worth_keeping:
        return
    weights = full_weights(model.job.model)
    retained = model.retained() if context.keep == "best" else None
    if not context.leads:  # it had its part in both
        return
    try:
        if context.keep == "all":
            _keep(model, group, context, seconds, weights)
            return
        standing = Standing(model.job.notes.get("forgotten") is True, retained, group.seed)
        with claims.held(context.cache / "claims" / f"best-{group.siblings}"):
            others = list(_siblings(group, context.cache))
            if all(standing.order > other.order for _, other in others):
                _keep(model, group, context, seconds, weights, standing)
                for path, _ in others:
                    discard(path)
    except (HarnessError, OSError, TypeError, ValueError) as error:
        why = str(error) if isinstance(error, HarnessError) else one_line(error)
        name = task_name(group)
        tell(Event(name, status="warning", message=f"The model of {name} is not kept: {why}"))


def _keep(
    model: UnlearnedModel,
    group: Group,
    context: WorkerContext,
    seconds: float,
    weights: Mapping[str, Tensor] | None,
    standing: Standing | None = None,
) -> None:
    account = KeptModel(
        benchmark=group.benchmark.name,
        method=group.method.name,
        settings=json.loads(group.method.settings),
        seed=group.seed,
        model=display_name(context.source),
        dtype=context.source.dtype,
        engine=engine_fingerprint(),
        siblings=group.siblings,
        seconds=seconds,
        standing=standing,
        notes=model.job.notes,
        metrics=tuple(model.job.metrics),
        cost=model.job.cost,
    )
    path = kept_path(context.cache, group.key)
    if path.exists():  # what was there could not be used
        discard(path)
    keep(model.job, path, account, weights)


def _siblings(group: Group, cache: Path) -> Iterator[tuple[Path, Standing]]:
    """Models of the same method that are kept as the best, where they are and how they stand."""
    for path, account in kept(cache):
        if account and account.siblings == group.siblings and account.standing and path.name != group.key:
            yield path, account.standing


@dataclass(frozen=True, slots=True)
class Room:
    """What a run will keep: so many models, and the bytes of the largest and of all."""

    models: int
    largest: int
    bytes: int

    def __str__(self) -> str:
        """It, for people."""
        count = f"{self.models} unlearned model{'s' * (self.models != 1)}"
        return f"{count}, {gib(self.bytes)} (the largest {gib(self.largest)})"


def room(plan: Plan, context: WorkerContext, registry: Registry, done: set[str]) -> Room:
    """What is to be kept of the cells that are not ``done``: of several seeds one, where it is the best."""
    if context.keep == "none":
        return Room(0, 0, 0)
    sizes: dict[str, int] = {}
    for group in plan.missing(done):
        if group.worth_keeping and not is_kept(context.cache, group.key):
            benchmark, splits = loaded(group.benchmark, registry)
            original = recipes(benchmark, splits, context.source, group.replicate)["original"]
            rank = None if context.most_damage else json.loads(group.method.config).get("lora_r")
            size = expected_bytes(original, context.source.dtype, rank)
            sizes[group.key if context.keep == "all" else group.siblings] = size
    return Room(len(sizes), max(sizes.values(), default=0), sum(sizes.values()))


def check(room: Room, context: WorkerContext, budget: float | None) -> None:
    """Raise ConfigError where a run would keep more than its budget in GiB, or than fits on the disk.

    All that is kept counts towards the budget. A better model is written before the other one goes, so that
    one more must fit on the disk.
    """
    if not room.models:
        return
    said = f"--keep {context.keep}: this run would keep {room}"
    instead = "keep fewer (--keep best, fewer methods or seeds), remove some (harness models prune), or"
    if budget is not None:
        there = sum(bytes_of(path) for path, _ in kept(context.cache))
        if room.bytes + there > budget * GIB:
            beside = f" beside {gib(there)} that are kept already" if there else ""
            raise ConfigError(f"{said}{beside}, and --keep-budget is {budget:g} GiB: {instead} allow more.")
    free = _free(context.cache)
    most = room.bytes + (room.largest if context.keep == "best" else 0)
    if free is not None and most > free:
        raise ConfigError(f"{said}, and {context.cache} has {gib(free)} left: {instead} use another --cache.")


def gib(size: float) -> str:
    """Bytes, for people."""
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:.2f} MiB"


def _free(directory: Path) -> int | None:
    """Bytes that are free where a directory is, or will be; None where nobody knows."""
    there = next((path for path in (directory, *directory.absolute().parents) if path.is_dir()), None)
    with suppress(OSError):
        return shutil.disk_usage(there).free if there else None
    return None
