"""A task on another machine: whether that fits, the process that does it, and what is sent back.

A machine that sees the directories of the run uses them. Another works in a directory of its own: what the
task needs of the cache is sent there before, and what it writes is sent back as soon as it is whole.
"""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing import connection
from pathlib import Path

from ...core import aside
from ...core.events import Event
from ...core.fingerprint import engine_fingerprint
from ...errors import HarnessError
from ...plugins.files import PluginFile
from ...store.provenance import PACKAGES, collect
from ..context import WorkerContext
from ..executor import Ended, Order, Unfit
from ..plan import plugins_of
from ..process import TaskProcess
from .parcels import Parcel, things

PERIOD = 0.1
"""Seconds for which news are gathered before they are sent: each step of training is one."""

LOOK = 1.0
"""Seconds after which something is sent, if only that there is no news."""


@dataclass(frozen=True, slots=True)
class Died:
    """A process ended without a last word."""

    code: int


@dataclass(frozen=True, slots=True)
class NoSharedDisk:
    """The machine shares no disk with the run: it must be sent what the task needs."""


Message = Event | Ended | Parcel | Died | NoSharedDisk
Fetch = Callable[[str], Parcel | None]
"""Gets what is at a path of the cache, where it is there."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """An order with what another machine must know of the run and of the machine that began it."""

    context: WorkerContext
    order: Order
    directory: str
    """Where the run was started: paths are relative to it."""
    marks: tuple[Path, ...]
    """Files that are there for whoever shares the directories of the run."""
    files: tuple[Path, ...]
    """Models, data sets and plugins that the run names by path."""
    versions: Mapping[str, str]


def assigned(context: WorkerContext, order: Order, marks: tuple[Path, ...] = ()) -> Assignment:
    """The order for another machine."""
    here = Path.cwd()
    away = replace(context, results=here / context.results, cache=here / context.cache, elsewhere=True)
    given = [Path(source.spec).expanduser() for source in context.sources]
    given += [spec.data for spec in plugins_of(order.task) if spec.data]
    given += [plugin.path for plugin in context.plugins if isinstance(plugin, PluginFile)]
    files = tuple(here / path for path in given if path.exists())
    return Assignment(away, order, str(here), marks, files, versions())


@lru_cache
def versions() -> dict[str, str]:
    """What must be alike on all machines: builds of one version, for a CPU or a GPU, count as alike."""
    found = collect().packages
    packages = {name: (found[name] or "not installed").partition("+")[0] for name in PACKAGES}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, **packages, "the harness's code": engine_fingerprint()[:12]}


def perform(
    assignment: Assignment, fetch: Fetch | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[list[Message]]:
    """Do what was assigned, in a process of its own; all that it tells, in lists that may be empty.

    Where the machine shares no disk with the run, ``fetch`` gets what it needs of the cache.
    """
    try:
        _check(assignment)
        if all(mark.exists() for mark in assignment.marks):
            yield from _done(assignment, None, environment)
        elif fetch is None:
            yield [NoSharedDisk()]
        else:
            with Room(assignment.context, assignment.order, fetch) as room:
                yield from _done(assignment, room, environment)
    except OSError as error:
        yield [Ended(Unfit(f"a file could not be written ({error.strerror or error})"))]
    except HarnessError as error:
        full = isinstance(error.__cause__, OSError)
        yield [Ended(Unfit(str(error)) if full else error)]


def _check(assignment: Assignment) -> None:
    """Raise Unfit where this machine has other versions, or lacks a file that the run names."""
    mine = versions()
    for name, version in assignment.versions.items():
        if mine[name] != version:
            raise Unfit(f"{name} is {mine[name]} there and {version} here: install the same on all machines")
    for path in assignment.files:
        if not path.exists():
            raise Unfit(f"it has no {path}: put that there, too, or give what all machines can see")


def _done(
    assignment: Assignment, room: Room | None, environment: Mapping[str, str] | None
) -> Iterator[list[Message]]:
    """The messages of the process that does the task."""
    context = room.context if room else assignment.context
    process = TaskProcess(context, assignment.order, environment, assignment.directory)
    try:
        while not (process.ended or process.over):
            connection.wait([*process.places()], LOOK)
            time.sleep(PERIOD)
            told = [*process.hear()]
            yield [*(room.fresh() if room and any(e.cell for e in told) else ()), *thinned(told)]
        told, last = [*process.hear()], process.ended or Died(process.code)
        yield [*(room.fresh() if room else ()), *told, last]
    finally:
        process.close()


def thinned(events: list[Event]) -> list[Event]:
    """The events without those that only say how far a task was, where the next one says so as well."""
    later = [*events[1:], Event("")]
    return [
        event
        for event, after in zip(events, later, strict=False)
        if event.status or event.key or event.value is not None or event.task != after.task
    ]


@dataclass
class Room:
    """A directory of this machine for a task, with what it needs of the cache. Raises StoreError and OSError.

    The cache in there is kept for the next task of the same process.
    """

    whole: WorkerContext
    order: Order
    fetch: Fetch
    context: WorkerContext = field(init=False)
    sent: set[tuple[str, str]] = field(default_factory=set, init=False)

    def __enter__(self) -> Room:
        base = _base()
        cache, results = base / "cache", Path(tempfile.mkdtemp(prefix="results-", dir=base))
        for path in self.whole.needs(self.order.task):
            if not (cache / path).exists() and (parcel := self.fetch(path)):
                parcel.put(cache)
        self.sent = {("cache", path) for path in things(cache)}
        self.context = self.whole.placed(results, cache)
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.context.results, ignore_errors=True)

    def fresh(self) -> Iterator[Parcel]:
        """What the task has written since."""
        for root, directory in (("cache", self.context.cache), ("results", self.context.results)):
            for path in things(directory):
                if (root, path) not in self.sent:
                    self.sent.add((root, path))
                    yield Parcel.of(root, directory, path)


@lru_cache
def _base() -> Path:
    """The directory of this process for what it shares with no other; what ended ones left is removed."""
    place = Path(tempfile.gettempdir()) / "unlearning-harness"
    place.mkdir(parents=True, exist_ok=True)
    aside.sweep(place)
    base = aside.aside(place / "node")
    base.mkdir()
    return base
