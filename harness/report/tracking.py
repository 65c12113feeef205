"""A run told to Weights & Biases or to trackio: a run there for each unlearned model under each seed.

Both are spoken to in the same three words: init, log, finish. What was told stands in the results directory,
so that nothing is told twice, and that what could not be told is told by the next run. It is told between
two events of the run, while workers go on, and its first error ends it with one sentence.
"""

from __future__ import annotations

import importlib
import io
import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from ..core.events import Event, Tell
from ..core.names import ANALYSIS, EVALUATION, NO_ATTACK, UTILITY
from ..errors import HarnessError, one_line
from ..store import claims
from ..store.atomic import write_atomically
from ..store.decided import unlearned
from ..store.store import Store
from .console import say
from .escape import file_name

FOLDER = "tracked"
"""Where a results directory says which cells were told to a tracker."""

PROJECT = "unlearning-harness"
"""Of the tracker, unless WANDB_PROJECT or TRACKIO_PROJECT says another."""

STEP = "optimiser step"
"""The axis of the curves in wandb: they begin anew with each attack, and its own steps may only rise."""

DIGITS = 16
"""Digits of a key that tell one unlearned model from all others."""

CONFIG = (
    *("benchmark", "model", "method", "seed", "replicate", "dtype", "protocol", "engine"),
    *("data_fingerprint", "target_key", "benchmark_plugin", "method_plugin"),
)
SETTINGS = ("benchmark_config", "method_config")
COST = ("seconds", "steps", "tokens", "peak_memory_mib")
"""Columns of a cell: what its run is configured with, as JSON, and what a stage took."""

Row = Mapping[str, Any]
Values = dict[str, float]


class Tracking:
    """Hears the events of a run, and tells a tracker of each unlearned model when its cells are done."""

    def __init__(self, tracker: str, results: Path) -> None:
        self.tracker, self.store = tracker, Store(results, opened=True)
        self.project = os.environ.get(f"{tracker.upper()}_PROJECT") or PROJECT
        self.record = results / FOLDER / f"{file_name(f'{tracker} {self.project}')}.txt"
        self.claim = results / "claims" / f"{FOLDER}-{self.record.stem}"
        self.begun: dict[str, set[str]] = defaultdict(set)
        """By the name of a task, the cells that it is at or was at."""
        self.ended: set[str] = set()
        """Cells that are done, and of which the tracker was not told yet."""
        self.show: Tell | None = None
        self.over = False

    def hearing(self, show: Tell) -> Tell:
        """What hears an event after ``show`` has."""
        self.show = show

        def tell(event: Event) -> None:
            show(event)
            if event.cell:
                self.ended |= {event.key} if event.status in ("ok", "done") else set()
            elif event.status:
                self.tell_of(self.begun.pop(event.task, set()) & self.ended)
            elif event.key:
                self.begun[event.task].add(event.key)

        return tell

    def tell_of(self, keys: Collection[str]) -> None:
        """Tell the tracker of these cells, but for those of which it knows already."""
        self.ended = self.ended.difference(keys)
        if self.over or not keys:
            return
        try:
            # What a tracker prints is no result; where it keeps things, docs/howto/track.md says.
            with claims.held(self.claim), redirect_stdout(io.StringIO()):
                known = self._known()
                models: dict[str, list[Row]] = defaultdict(list)
                for key in sorted({*keys} - known):
                    (row,) = self.store.cell(key).to_pylist()
                    if row["status"] == "ok":
                        models[unlearned(row)].append(row)
                for identity, rows in models.items():
                    with session(self.tracker, self.project, identity[:DIGITS], rows[0]) as log:
                        self._log(log, rows)
                    known |= {row["key"] for row in rows}
                    write_atomically(self.record, "".join(f"{key}\n" for key in sorted(known)).encode())
        except Exception as error:  # a tracker is a stranger's code, and may raise anything
            self._give_up(error)

    def _known(self) -> set[str]:
        try:
            return set(self.record.read_text().split())
        except FileNotFoundError:
            return set()

    def _log(self, log: Callable[[Values, int | None], None], rows: Iterable[Row]) -> None:
        """The curves of these cells by step, and then what is final."""
        curves: dict[int, Values] = defaultdict(dict)
        final: Values = {}
        for row in rows:
            metrics = self.store.numbers(row["key"])[0].to_pylist()
            final |= finals(row, metrics)
            for step, name, value in points(row, metrics):
                curves[step][name] = value
        for step in sorted(curves):
            log(curves[step], step)
        log(final, None)

    def _give_up(self, error: Exception) -> None:
        self.over = True
        why = f"its package is not there: pip install 'unlearning-harness[{self.tracker}]'"
        if not isinstance(error, ModuleNotFoundError) or error.name != self.tracker:
            why = str(error) if isinstance(error, HarnessError) else one_line(error)
        sentence = (
            f"{self.tracker} is told nothing more ({why}). The run goes on, and the same command with "
            f"--track {self.tracker} tells later what is missing."
        )
        if self.show:
            self.show(Event(self.tracker, status="warning", message=sentence))
        else:
            say(f"warning: {sentence}", stderr=True)


@contextmanager
def tracked(tracker: str, results: Path, done: Collection[str]) -> Iterator[Callable[[Tell], Tell]]:
    """What gives a run's ``tell`` the ears of a tracker; ``none`` has none.

    Of the cells that are ``done`` before the run it is told first, unless it was in an earlier run.
    """
    if tracker == "none":
        yield lambda show: show
        return
    tracking = Tracking(tracker, results)
    tracking.tell_of(done)
    try:
        yield tracking.hearing
    finally:
        tracking.tell_of(tracking.ended)  # of workers that were lost, and of another run at the same cells


@contextmanager
def session(tracker: str, project: str, identity: str, row: Row) -> Iterator[Callable[..., None]]:
    """A run of the tracker, begun or resumed; ``log(values, step)`` in it, where None is what is final."""
    module = importlib.import_module(tracker)
    name = f"{row['benchmark']} {row['method']} seed {row['seed']}"
    begin = partial(
        module.init,
        project=project,
        group=f"{row['benchmark']} {row['method']}",
        config={c: row[c] for c in CONFIG} | {c: json.loads(row[c]) for c in SETTINGS},
        resume="allow",
    )
    if tracker == "wandb":
        quiet = {"silent": True, "console": "off", "login_timeout": 60}
        run = begin(id=identity, name=name, settings=quiet)
        run.define_metric("*", step_metric=STEP)
    else:  # it resumes by name, and watches the machine unless told otherwise
        run = begin(name=f"{name} {identity}", embed=False, auto_log_gpu=False, auto_log_cpu=False)

    def log(values: Values, step: int | None) -> None:
        if tracker != "wandb":
            run.log(values, step=step)  # it has no summary: what is final comes last
        elif step is None:
            run.summary.update(values)
        else:
            run.log({**values, STEP: step})

    try:
        yield log
    finally:
        module.finish()


def label(row: Row) -> str:
    """What was done with the unlearned model in a cell, as the beginning of the names of its numbers."""
    attack = "" if row["attack"] == NO_ATTACK else " ".join(filter(None, (row["attack"], row["variant"])))
    if row["stage"] == ANALYSIS:
        return " after ".join(filter(None, (row["analysis"], attack)))
    return {EVALUATION: "unlearning", UTILITY: "lm-eval"}.get(row["stage"], attack)


def finals(row: Row, metrics: Iterable[Row]) -> Values:
    """The final numbers of a cell with the ends of their intervals, and what it took. No number, no name."""
    where = label(row)
    found = {
        f"{where}/{metric['split']}/{metric['metric']}{end}": metric[column]
        for metric in metrics
        if metric["step"] is None
        for column, end in (("value", ""), ("low", " low"), ("high", " high"))
        if metric[column] is not None
    }
    # A cell that trained nothing has no peak memory.
    return found | {f"{where}/{name}": row[name] for name in COST if row[name] or name != "peak_memory_mib"}


def points(row: Row, metrics: Iterable[Row]) -> Iterator[tuple[int, str, float]]:
    """The points of a cell's curves, each with its step and the name of its curve: one for each rate.

    Step 0 has no rate, and begins the curve of each.
    """
    curves = [metric for metric in metrics if metric["step"] is not None]
    rates: dict[str, set[str]] = defaultdict(set)
    named = []
    for point in curves:
        name = f"{label(row)} curve/{point['split']}/{point['metric']}"
        rate = "" if point["learning_rate"] is None else f"/lr {point['learning_rate']:g}"
        rates[name] |= {rate} - {""}
        named.append((name, rate, point))
    for name, rate, point in named:
        for each in [rate] if rate else sorted(rates[name]) or [""]:
            yield point["step"], name + each, point["value"]
