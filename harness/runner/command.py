"""What the commands of the command line do, once their options are read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core import hub
from ..core.config import MethodConfig
from ..core.names import CONTROLS, TINY
from ..engine.source import Source
from ..engine.targets import cache_directory
from ..errors import ConfigError
from ..leaderboard import controls
from ..plugins import files
from ..plugins.files import PluginFile
from ..plugins.registry import Selection
from ..plugins.settings import parse, resolve
from ..report.console import note, say, table
from ..report.progress import Shown
from ..report.results import Results
from ..store.store import Store, chosen
from .context import WorkerContext
from .plan import Plan, spec
from .planner import make
from .pool import execute
from .record import display_name
from .utility import Utility

DTYPES = ("float32", "bfloat16", "float16")
COUNTS = ("seeds", "jobs", "threads", "micro_batch", "utility_limit")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of ``harness run``."""

    methods: str = "all"
    attacks: str = "all"
    benchmarks: str = "faithun-mini,tofu-mini"
    model: str = TINY
    seeds: int = 3
    settings: Sequence[str] = ()
    data: Sequence[str] = ()
    results: Path = Path("results")
    cache: Path | None = None
    jobs: int | None = None
    threads: int = 1
    dtype: str = "float32"
    revision: str | None = None
    trust_remote_code: bool = False
    micro_batch: int | None = None
    lora: str | None = None
    controls: bool = True
    utility: str | None = None
    utility_limit: int | None = None
    utility_tasks: Path | None = None
    dry_run: bool = False
    plugins: tuple[PluginFile, ...] = ()
    """Files with plugins that are not installed."""


def run(wanted: Wanted) -> Results:
    """Plan, say what will be done, and do what is missing. All that is there of the plan then.

    Raises HarnessError for everything that is wrong with the options, before anything runs.
    """
    plan, store = prepare(wanted)
    done = store.done()
    cache = wanted.cache or cache_directory()
    describe(plan, done, wanted, cache)
    if not wanted.dry_run:
        carry_out(plan, done, wanted, cache)
    keys = [cell.key for cell in plan.cells]
    return Results(lambda: chosen(store, keys), len(keys))


def prepare(wanted: Wanted) -> tuple[Plan, Store]:
    """The plan and the store. Raises HarnessError for everything that is wrong, before anything runs."""
    for option in COUNTS:
        count = getattr(wanted, option)
        if count is not None and (not isinstance(count, int) or count < 1):
            raise ConfigError(f"--{option.replace('_', '-')} {count}: it must be a whole number from 1 on.")
    if wanted.dtype not in DTYPES:
        raise ConfigError(f"--dtype {wanted.dtype}: it must be one of {', '.join(DTYPES)}.")
    registry = files.registry(wanted.plugins)
    methods = wanted.methods
    if wanted.controls:
        methods = ",".join([*CONTROLS, methods])
    selection = registry.select(methods, wanted.attacks, wanted.benchmarks)
    overrides = parse([*wanted.settings, *lora_settings(wanted.lora, selection)], selection, registry)
    prepared = hub.recorded(wanted.cache or cache_directory())
    source = Source(wanted.model, wanted.dtype, wanted.revision, wanted.trust_remote_code, prepared)
    if wanted.model != TINY:
        from ..model import loading

        loading.check(source.local())
    directories = data_directories(wanted.data, selection)
    plan = make(registry, selection, overrides, source, range(wanted.seeds), directories, utility_of(wanted))
    for broken in registry.broken:
        say(f"Left out: {broken}", stderr=True)
    return plan, Store(wanted.results)


def utility_of(wanted: Wanted) -> Utility:
    """``--utility a,b`` names tasks, and ``none`` none; without it the directory or the benchmark does."""
    names = None if wanted.utility in (None, "none") else tuple(wanted.utility.replace(",", " ").split())
    return Utility(() if wanted.utility == "none" else names, wanted.utility_limit, wanted.utility_tasks)


def lora_settings(text: str | None, selection: Selection) -> list[str]:
    """``--lora r=16,alpha=32`` as settings of every method that trains.

    Raises ConfigError for anything else, and for methods whose definition leaves no room for LoRA.
    """
    if text is None:
        return []
    given = dict(part.partition("=")[::2] for part in text.split(","))
    if "r" not in given or given.keys() - {"r", "alpha"}:
        raise ConfigError(f"--lora {text}: write r=16, or r=16,alpha=32.")
    training = [entry for entry in selection.methods if issubclass(entry.load().Config, MethodConfig)]
    unfit = [entry.name for entry in training if not entry.load().lora]  # type: ignore[attr-defined]
    if unfit:
        raise ConfigError(f"--lora {text}: the definition of {', '.join(unfit)} says which weights train.")
    return [f"{entry.name}.lora_{name}={value}" for entry in training for name, value in given.items()]


def fetch(wanted: Wanted) -> None:
    """Fetch what a run with these options reads from the hub, and say what it was."""
    from .prepare import prepare as fetched

    registry = files.registry(wanted.plugins)
    cache = wanted.cache or cache_directory()
    selection = Selection([], [], registry.select_benchmarks(wanted.benchmarks))
    overrides = parse(wanted.settings, selection, registry)
    directories = data_directories(wanted.data, selection)
    specs = [
        spec(entry, resolve(entry.load(), overrides.get(entry, {})), directories.get(entry.name))
        for entry in selection.benchmarks
    ]
    source = Source(wanted.model, revision=wanted.revision)
    rows = [
        (
            each.what,
            each.fetched.repo,
            each.fetched.revision[:12],
            f"{each.fetched.size / 2**20:.1f}" * bool(each.fetched.size),
        )
        if each.fetched
        else (each.what, each.place, "", "")
        for each in fetched(specs, registry, source, utility_of(wanted), cache)
    ]
    note(table("prepared", ("what", "where", "revision", "MiB"), rows))
    note(f"Recorded in {cache / hub.RECORD}; runs with this cache use these revisions, with no network.")


def data_directories(given: Sequence[str], selection: Selection) -> dict[str, Path]:
    """``DIR`` for the one benchmark that reads files, ``NAME=DIR`` for each of several."""
    names = [entry.name for entry in selection.benchmarks if entry.load().needs_data]  # type: ignore[attr-defined]
    found: dict[str, Path] = {}
    for text in given:
        name, equals, place = text.partition("=")
        if not equals:
            if len(names) != 1:
                those = (
                    f"several do ({', '.join(names)}): write NAME=DIR" if names else "none of this run does"
                )
                raise ConfigError(f"--data {text}: it goes to the benchmark that reads files, and {those}.")
            name, place = names[0], text
        if name not in names:
            raise ConfigError(f"--data {text}: '{name}' is no benchmark of this run that reads files.")
        if not Path(place).is_dir():
            raise ConfigError(f"--data {text}: there is no directory {place}.")
        found[name] = Path(place)
    return found


def describe(plan: Plan, done: set[str], wanted: Wanted, cache: Path) -> None:
    """Say what the run consists of and what is there already."""
    tell = say if wanted.dry_run else note  # the plan is all that a dry run was asked for
    cells = plan.cells
    there = sum(cell.key in done for cell in cells)
    benchmarks = {group.benchmark.name: None for group in plan.groups}
    methods = {group.method.name: None for group in plan.groups}
    attacks = dict.fromkeys(" ".join(filter(None, (c.attack.name, c.variant))) for c in cells if c.attack)
    tell(f"benchmarks: {', '.join(benchmarks)}   model: {display_name(plan.source)}   seeds: {wanted.seeds}")
    tell(f"methods: {', '.join(methods)}")
    tell(f"attacks: {', '.join(attacks) or 'none'}")
    for tasks in dict.fromkeys(cell.tasks for cell in cells if cell.tasks):
        tell(f"utility: {', '.join(json.loads(tasks.config)['asked'])} ({tasks.engine})")
    tell(f"cells: {len(cells)}, of which {there} are in {wanted.results} already")
    needed = {key for group in plan.missing(done) for key in group.models}
    train = [
        role
        for key, (_, role) in plan.recipes.items()
        if key in needed and not (cache / "targets" / key).is_dir()
    ]
    if train and plan.trained:
        tell(f"models to train first: {', '.join(train)}")
    for sentence in plan.left_out:
        tell(f"left out: {sentence}")


def carry_out(plan: Plan, done: set[str], wanted: Wanted, cache: Path) -> None:
    """Run what is missing. Ctrl-C loses the cells in flight and says what is kept."""
    missing = sum(len(group.cells) for group in plan.missing(done))
    if not missing:
        return
    context = WorkerContext(
        plan.source, wanted.results, cache, wanted.threads, wanted.micro_batch, wanted.plugins
    )
    with Shown(missing) as shown:
        try:
            execute(plan, context, wanted.jobs or default_jobs(), shown, done)
        except KeyboardInterrupt:
            # Counted where they are: a cell may be committed and its news still on the way.
            there = Store(wanted.results).done()
            kept = sum(cell.key in there for cell in plan.cells)
            say(f"\nInterrupted: {kept} cells are kept in {wanted.results}. Run again to go on.", stderr=True)
            raise
    if shown.failed:
        say(
            f"{shown.failed} of {missing} cells failed; they will be tried again by the next run.",
            stderr=True,
        )


def default_jobs() -> int:
    """One worker for each core this process may use; one in all where there is a GPU to share."""
    import torch

    if torch.cuda.is_available():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check(
    name: str,
    model: str,
    seeds: int,
    data: Sequence[str],
    results: Path,
    cache: Path | None,
    jobs: int | None,
    plugins: tuple[PluginFile, ...] = (),
) -> bool:
    """Run the controls under every attack, and say whether the benchmark tells them apart."""
    wanted = Wanted(methods=",".join(CONTROLS), benchmarks=name, model=model, seeds=seeds, utility="none")
    wanted = replace(wanted, data=data, results=results, cache=cache, jobs=jobs, plugins=plugins)
    checks = controls.check(run(wanted).leaderboard.to_pylist())
    for each in checks:
        say(f"{'ok  ' if each.passed else 'FAIL'}  {each.name}: {each.detail}")
    return all(each.passed for each in checks)
