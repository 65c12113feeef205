"""What a run will write, and where: tried before anything is computed, and swept of what killed runs left."""

from __future__ import annotations

from pathlib import Path

from ..core import aside
from ..engine.keeping import kept_path
from ..engine.note import DONE
from ..engine.targets import trained_path
from ..errors import StoreError
from ..store import claims
from ..store.atomic import probe
from ..store.compacted import FOLDER as COMPACTED
from ..store.many import TABLES
from ..store.scores import read_samples
from .config import FOLDER
from .context import WorkerContext
from .plan import Plan

JOBS = "jobs"
"""Where a results directory keeps what a run and its jobs on a cluster tell each other."""


def to_train(plan: Plan, cache: Path, done: set[str]) -> list[str]:
    """Keys of the models that must be trained before the cells that are not ``done``."""
    needed = {key for group in plan.missing(done) for key in group.trained_models}
    return [key for key in plan.recipes if key in needed and not (trained_path(cache, key) / DONE).is_file()]


def is_read(plan: Plan, cache: Path, done: set[str]) -> bool:
    """Whether the model that the run was given is loaded: to be trained, or to be unlearned as it is."""
    taken = any(not group.trained for group in plan.missing(done))
    return taken or bool(to_train(plan, cache, done))


def to_convert(plan: Plan, cache: Path, done: set[str]) -> Path | None:
    """Where the model will be that has to be made of a GGUF file first; None where there is none."""
    source = plan.source
    if source.file is None or source.is_converted() or not is_read(plan, cache, done):
        return None
    return source.converted


def check(plan: Plan, context: WorkerContext, done: set[str]) -> None:
    """Raise StoreError where something has to be written and cannot be."""
    groups = plan.missing(done)
    if groups:
        analysed = any(cell.analysis for group in groups for cell in group.cells)
        for table in (name for name in TABLES if analysed or name != "analyses"):
            _try(context.results / table, "use another --results directory")
    cache = "use another --cache: what a run makes is kept there"
    if converted := to_convert(plan, context.cache, done):
        _try(converted.parent, cache)
    if context.keep != "none" and any(group.worth_keeping for group in groups):
        _try(kept_path(context.cache, groups[0].key).parent, "use another --cache, or --keep none")
    for key in to_train(plan, context.cache, done)[:1]:
        _try(trained_path(context.cache, key).parent, cache)
    scores = {reference.path(context.cache) for group in groups for reference in group.references}
    if any(read_samples(path) is None for path in scores):
        _try(scores.pop().parent, cache)


def sweep(context: WorkerContext) -> None:
    """Remove what processes that were killed have left: files written aside, and claims that nobody holds."""
    written = [context.results / name for name in (*TABLES, FOLDER, JOBS, COMPACTED)]
    kept = [context.cache / name for name in ("models", "targets", "twins", "unlearned")]
    for directory in (*written, context.cache, *kept):
        aside.sweep(directory)
    for directory in (context.results, context.cache):
        claims.sweep(directory / "claims")


def _try(directory: Path, otherwise: str) -> None:
    try:
        probe(directory)
    except OSError as error:
        raise StoreError(
            f"{directory} could not be written ({error.strerror or error}); make room, let this user write "
            f"there, or {otherwise}."
        ) from error
