"""Run methods against attacks, and load what a run found: for scripts, notebooks and the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import foreseen
from .core.events import Tell
from .leaderboard.versions import ANY
from .plugins.classes import PluginClass, split
from .plugins.kinds import Kind
from .report import terminal
from .report.console import Level, note, say, telling
from .report.progress import RunProgress
from .report.results import Results
from .report.time_left import TimeLeft
from .report.tracking import tracked
from .runner import config as configurations
from .runner import keeping, mirrors, places
from .runner.alike import alike
from .runner.estimate import Estimate
from .runner.executors import chosen as executor_of
from .runner.options import RunOptions, as_command
from .runner.pool import execute
from .runner.ranks import Rank, started
from .runner.resolve import ResolvedRun, resolved
from .store import store
from .store.store import Store, analyses, chosen
from .store.urls import as_written

Names = str | type | Sequence[str | type]
"""``"a,b"``, ``["a", "b"]``, or with classes of your own ``["a", Mine]``."""


def run(
    methods: Names | None = None,
    attacks: Names | None = None,
    benchmarks: Names | None = None,
    *,
    config: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> Results:
    """Run methods against attacks; what is in ``results`` already is not run again.

    Every argument is the option of ``harness run`` of that name, with the same meaning and default. A list
    may stand for a comma list, and a mapping for what is repeatable: ``settings={"npo.beta": 0.2}`` or
    ``{"npo": {"beta": 0.2}}`` is ``--set npo.beta=0.2``, ``data={"tofu": "DIR"}`` is ``--data tofu=DIR``, and
    ``lora={"r": 16}`` is ``--lora r=16``. Classes of your own stand beside names, ``methods=["gd", Mine]``,
    wherever they were defined; ``plugins`` takes them, too, beside the files that ``--plugin`` takes.

    ``config`` is a YAML file with any of these; what is given as an argument wins over it. A results
    directory keeps one for each run in ``runs/``. ``progress=False`` prints nothing but failures, as
    ``--quiet`` does. A cell that fails raises nothing: it is in ``failed`` of what is returned, and tried
    again by the next call.

    Raises HarnessError, before anything runs, for everything that is wrong in the arguments.
    """
    named = {"methods": methods, "attacks": attacks, "benchmarks": benchmarks}
    given = {name: value for name, value in named.items() if value is not None} | options
    classes = _take_classes(given)
    chosen = RunOptions.of(given)
    if config is not None:
        chosen = chosen.over(configurations.read(Path(config)))
    with nullcontext() if progress else telling(Level.QUIET):
        return carry_out(chosen, classes)


def signature() -> inspect.Signature:
    """The arguments of :func:`run` with the options' defaults, which stand in ``RunOptions`` alone."""
    declared = inspect.signature(run)
    own = {name: part for name, part in declared.parameters.items() if part.kind is not part.VAR_KEYWORD}
    for name, field in RunOptions.model_fields.items():
        kind = own[name].kind if name in own else inspect.Parameter.KEYWORD_ONLY
        annotation = own[name].annotation if name in own else Any
        own[name] = inspect.Parameter(name, kind, default=field.default, annotation=annotation)
    order = [*RunOptions.model_fields, "config", "progress"]
    return declared.replace(parameters=[own[name] for name in order])


run.__signature__ = signature()  # type: ignore[attr-defined]


def load(
    results: str | Path | Iterable[str | Path] = "results", *, source: str | Sequence[str] = ()
) -> Results:
    """What is in one or more results directories, without running anything; a cell in two of them once.

    ``source`` is ``--source`` of ``harness leaderboard build``: where the cells are of several versions of a
    code, the beginnings of the digests to take. Raises StoreError where there is no such directory, or where
    another version wrote it.
    """
    paths = [results] if isinstance(results, str | Path) else [*results]
    stores = mirrors.stores(paths)
    sources = (source,) if isinstance(source, str) else tuple(source)
    return Results(lambda: store.tables(stores), sources=sources, analyses=lambda: store.analyses(stores))


Confirm = Callable[[str], None]


def carry_out(
    options: RunOptions,
    classes: Sequence[PluginClass] = (),
    confirm: Confirm = lambda sentence: note(f"{sentence} Stop it and go on at will."),
) -> Results:
    """Plan, say what will be done, and do what is missing. All that is there of the plan then.

    ``confirm`` is called before what takes long is begun, with a sentence that says how long; it may raise.
    Of several processes that torchrun started the first does so, and the others what it says.
    Raises HarnessError for everything that is wrong with the options, before anything runs.
    """
    rank = started()
    if rank is None:
        return _carry_out(options, classes, confirm, None)
    from .runner.executors.together import follow, leading

    if not rank.leads:
        follow(rank)
        there = Store(mirrors.here(options.results))
        return Results(lambda: store.tables([there]), analyses=lambda: analyses([there]))
    with leading(rank) as leader:
        return _carry_out(options, classes, confirm, leader)


def _carry_out(
    options: RunOptions, classes: Sequence[PluginClass], confirm: Confirm, rank: Rank | None
) -> Results:
    run = resolved(options, classes, rank)
    place = mirrors.here(options.results)
    run = replace(run, context=replace(run.context, results=place))
    store = Store(place)
    for broken in run.registry.broken:
        say(f"Left out: {broken}", stderr=True)
    keys = [cell.key for cell in run.plan.cells]
    done = {key for own, _ in store.vouched(keys) for key in own}
    there = store.sound({*keys} - done)
    done |= there.keys()
    others = alike(run.plan, store, done) if options.any_source else {}
    done |= others.keys()
    left = foreseen.time_left(run, options, store, done)
    if left.cells:
        there = {}  # what takes long does not hold them in memory: they are read again after it
    wanted = keeping.room(run.plan, run.context, run.registry, done)
    terminal.show_plan(foreseen.summary(run, options, done, left, wanted), requested=options.dry_run)
    keeping.check(wanted, run.context, options.keep_budget)
    if not options.dry_run:
        if left.is_long:
            confirm(f"This {'will take' if left.seconds else 'may take long:'} {foreseen.in_words(left)}.")
        places.check(run.plan, run.context, done)
        mirrors.send(place)
        configurations.keep(run.config, place, [str(cls) for cls in classes])
        places.sweep(run.context)  # what killed runs left, also where nothing is left to do
        again = "the same call of harness.run()" if classes else as_command(options)
        try:
            with tracked(options.track, place, done - others.keys()) as hearing:
                _execute(run, options, done, left, again, hearing)
        finally:
            places.sweep(run.context)  # what killed workers of this one left
            mirrors.send(place)
    found = [others.get(key, key) for key in keys]
    sources = (ANY,) if options.any_source else ()
    return Results(lambda: chosen(store, found, there), len(keys), sources, lambda: analyses([store], found))


def _execute(
    run: ResolvedRun,
    options: RunOptions,
    done: set[str],
    left: Estimate,
    again: str,
    hearing: Callable[[Tell], Tell],
) -> None:
    """Run what is missing. Ctrl-C loses the cells in flight and says what is kept, and how to go on."""
    missing = len(left.cells)
    if not missing:
        return
    training = sum(filter(None, left.models)) / min(left.workers, len(left.models) or 1)
    with (
        executor_of(options, run.context) as executor,
        RunProgress(missing, TimeLeft(left.cells, left.workers, training)) as shown,
    ):
        try:
            tell = mirrors.sending(run.context.results, hearing(shown))
            execute(run.plan, run.context, executor, tell, done)
        except KeyboardInterrupt:
            # Counted where they are: a cell may be committed and its news still on the way.
            there = Store(run.context.results).done()
            kept = sum(cell.key in there for cell in run.plan.cells)
            say(
                f"\nInterrupted: {kept} of {len(run.plan.cells)} cells are kept in "
                f"{as_written(options.results)}; "
                f"to go on: {again}",
                stderr=True,
            )
            raise
    if shown.failed:
        say(
            f"{shown.failed} of {missing} cells failed; they will be tried again by the next run.",
            stderr=True,
        )


def _take_classes(given: dict[str, Any]) -> list[PluginClass]:
    """Put names in the place of classes, and return the classes."""
    classes = []
    for kind in Kind:
        name = kind.plural
        if name in given:
            given[name], own = split(given[name], kind)
            classes += own
    if isinstance(plugins := given.get("plugins"), list | tuple):
        given["plugins"] = [plugin for plugin in plugins if not isinstance(plugin, type)]
        classes += split([plugin for plugin in plugins if isinstance(plugin, type)], *Kind)[1]
    return classes
