"""Fetch everything a run reads from the hub, once, and write down what it was; convert a GGUF file."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from ..core import hub
from ..core.names import TINY, UTILITY
from ..engine.source import Source
from ..store.atomic import write_atomically
from .models import cache_of, models_of
from .options import RunOptions
from .resolve import benchmarks_of, utility_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model or benchmark, where its files are, and what of them came from the hub (None: nothing)."""

    what: str
    path: str
    fetched: hub.Fetched | None = None


def prepare(options: RunOptions) -> list[Prepared]:
    """Fetch models, the facts of every benchmark and the items of lm-eval's tasks; record what they were.

    A model that comes in a GGUF file is converted.

    The record in the cache holds commits and checksums; of tasks, which the client of ``datasets`` keeps in
    a cache of its own, one SHA-256 over all that decides their scores. What was recorded of others stays; of
    these, the hub's present state is taken. Raises HarnessError for whatever a run could not use either.
    """
    specs, registry = benchmarks_of(options)
    utility = utility_of(options)
    source, pair = models_of(options)
    prepared = [_model(replace(part, prepared=())) for part in (pair.sources if pair else [source])]
    for spec in specs:
        benchmark = spec.make(registry)
        benchmark.load()
        prepared += [
            Prepared(spec.name, str(path), hub.describe(kind, repo, revision, path))
            for (kind, repo, revision), path in benchmark.hub.fetched.items()
        ] or [Prepared(spec.name, str(spec.data or "the package"))]
    if measured := utility.resolve(builtin=""):
        tasks = ", ".join(json.loads(measured.config)["asked"])
        record = hub.Fetched("lm-eval", tasks, None, measured.fingerprint, (), 0)
        prepared.append(Prepared(UTILITY, measured.engine, record))
    cache = cache_of(options)
    entries = [*hub.recorded(cache), *(part.fetched for part in prepared if part.fetched)]
    latest = {(entry.kind, entry.repo, entry.requested): entry for entry in entries}
    write_atomically(cache / hub.RECORD, hub.as_json(latest.values()))
    return prepared


def _model(source: Source) -> Prepared:
    if source.spec == TINY:
        return Prepared("model tiny", "the package")
    from ..model import loading

    if source.file:
        from transformers.utils import logging

        logging.disable_progress_bar()
        return Prepared(f"model {source.file.name}", str(source.planned().local()))
    path = source.local()
    loading.check(path)
    if Path(source.spec).expanduser().is_dir():
        return Prepared("model", str(path))
    return Prepared("model", str(path), hub.describe("model", source.spec, source.revision, path))
