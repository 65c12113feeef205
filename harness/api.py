"""What a notebook calls: the command line's nouns and options, as functions that return what they found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from .plugins import files
from .plugins.settings import as_text
from .report.console import Level, telling
from .report.results import Results
from .runner import command
from .store import store

Names = str | Sequence[str]
"""``"a,b"`` or ``["a", "b"]``."""

Place = str | Path


def run(
    methods: Names = "all",
    attacks: Names = "all",
    benchmarks: Names = "faithun-mini,tofu-mini",
    *,
    model: Place = "tiny",
    seeds: int = 3,
    settings: Mapping[str, Any] | Sequence[str] = (),
    data: Mapping[str, Place] | Sequence[str] | Place = (),
    results: Place = "results",
    cache: Place | None = None,
    jobs: int | None = None,
    threads: int = 1,
    dtype: str = "float32",
    revision: str | None = None,
    trust_remote_code: bool = False,
    micro_batch: int | None = None,
    lora: Mapping[str, int] | str | None = None,
    controls: bool = True,
    utility: Names | None = None,
    utility_limit: int | None = None,
    utility_tasks: Place | None = None,
    dry_run: bool = False,
    plugins: Sequence[Place] = (),
    progress: bool = True,
) -> Results:
    """Run methods against attacks; what is in ``results`` already is not run again.

    Every argument is the option of ``harness run`` of that name, with the same meaning and default. A list
    may stand for a comma list, and a mapping for what is repeatable: ``settings={"npo.beta": 0.2}`` is
    ``--set npo.beta=0.2``, ``data={"tofu": "DIR"}`` is ``--data tofu=DIR``, and ``lora={"r": 16}`` is
    ``--lora r=16``; ``plugins`` are the files that ``--plugin`` takes. ``progress=False`` prints nothing but
    failures, as ``--quiet`` does. A cell that fails raises nothing: it is in ``failed`` of what is returned,
    and tried again by the next call.

    Raises HarnessError, before anything runs, for everything that is wrong in the arguments.
    """
    wanted = command.Wanted(
        methods=_comma(methods),
        attacks=_comma(attacks),
        benchmarks=_comma(benchmarks),
        model=str(model),
        seeds=seeds,
        settings=_assignments(settings),
        data=[str(data)] if isinstance(data, str | Path) else _assignments(data),
        results=Path(results),
        cache=None if cache is None else Path(cache),
        jobs=jobs,
        threads=threads,
        dtype=dtype,
        revision=revision,
        trust_remote_code=trust_remote_code,
        micro_batch=micro_batch,
        lora=lora if lora is None or isinstance(lora, str) else _comma(_assignments(lora)),
        controls=controls,
        utility=None if utility is None else _comma(utility),
        utility_limit=utility_limit,
        utility_tasks=None if utility_tasks is None else Path(utility_tasks),
        dry_run=dry_run,
        plugins=files.read(map(Path, plugins)),
    )
    import torch

    before = torch.get_num_threads()
    try:
        with nullcontext() if progress else telling(Level.QUIET):
            return command.run(wanted)
    finally:
        torch.set_num_threads(before)  # with one job the work is done here, with threads of its own


def load(results: Place | Iterable[Place] = "results") -> Results:
    """What is in one or more results directories, without running anything; a cell in two of them once.

    Raises StoreError where there is no such directory, or where another version wrote it.
    """
    places = [results] if isinstance(results, str | Path) else [*results]
    stores = store.stores([Path(place) for place in places])
    return Results(lambda: store.tables(stores))


def _comma(names: Names) -> str:
    return names if isinstance(names, str) else ",".join(map(str, names))


def _assignments(given: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """``NAME=VALUE``, as the command line takes them."""
    if not isinstance(given, Mapping):
        return [given] if isinstance(given, str) else [str(text) for text in given]
    return [
        f"{name}={json.dumps(value) if isinstance(value, Mapping) else as_text(value)}"
        for name, value in given.items()
    ]
