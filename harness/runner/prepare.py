"""Fetch everything a run reads from the hub, once, and write down what it was."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core import hub
from ..core.names import TINY, UTILITY
from ..engine.source import Source
from ..plugins.registry import Registry
from ..store.atomic import write_atomically
from .plan import Spec
from .utility import Utility


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model or benchmark, where its files are, and what of them came from the hub (None: nothing)."""

    what: str
    place: str
    fetched: hub.Fetched | None = None


def prepare(
    benchmarks: Iterable[Spec], registry: Registry, source: Source, utility: Utility, cache: Path
) -> list[Prepared]:
    """Fetch the model, the facts of every benchmark and the items of lm-eval's tasks; record what they were.

    The record in the cache holds commits and checksums; of tasks, which the client of ``datasets`` keeps in
    a cache of its own, one SHA-256 over all that decides their scores. What was recorded of others stays; of
    these, the hub's present state is taken. Raises HarnessError for whatever a run could not use either.
    """
    found = [_model(source)]
    for spec in benchmarks:
        benchmark = spec.make(registry)
        benchmark.load()
        found += [
            Prepared(spec.name, str(place), hub.describe(kind, repo, asked, place))
            for (kind, repo, asked), place in benchmark.hub.fetched.items()
        ] or [Prepared(spec.name, str(spec.data or "the package"))]
    if resolved := utility.resolve(own=""):
        tasks = ", ".join(json.loads(resolved.config)["asked"])
        record = hub.Fetched("lm-eval", tasks, None, resolved.fingerprint, (), 0)
        found.append(Prepared(UTILITY, resolved.engine, record))
    entries = [*hub.recorded(cache), *(each.fetched for each in found if each.fetched)]
    latest = {(entry.kind, entry.repo, entry.asked): entry for entry in entries}
    write_atomically(cache / hub.RECORD, hub.as_json(latest.values()))
    return found


def _model(source: Source) -> Prepared:
    if source.spec == TINY:
        return Prepared("model tiny", "the package")
    from ..model import loading

    place = source.local()
    loading.check(place)
    if Path(source.spec).expanduser().is_dir():
        return Prepared("model", str(place))
    return Prepared("model", str(place), hub.describe("model", source.spec, source.revision, place))
