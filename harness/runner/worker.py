"""The tasks of a worker process: convert a model, train a target, score a model, or run the cells of one
unlearned model."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.events import Event, Tell
from ..core.fingerprint import source_fingerprint
from ..core.reports import clustered
from ..core.types import Sample
from ..engine.note import check
from ..engine.targets import recipes
from ..errors import HarnessError, PluginError
from ..plugins.registry import Registry
from ..plugins.uninstalled import registry
from ..store.scores import read_samples, write_samples
from .context import WorkerContext
from .executor import Order, Unfit
from .plan import Conversion, Group, Reference, Target, Task, plugins_of, task_name
from .planner import loaded
from .record import explain

if TYPE_CHECKING:
    from ..engine.surroundings import Surroundings


@dataclass
class Worker:
    """Does one task, in a process that ends with it."""

    context: WorkerContext
    tell: Tell
    registry: Registry = field(init=False)
    process: Surroundings = field(init=False)
    """The state of the process before any plugin's code is imported."""

    def __post_init__(self) -> None:
        import torch
        from tqdm import tqdm
        from transformers.utils import logging

        from ..engine.integrity import PROCESS
        from ..engine.surroundings import Surroundings

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        torch.set_num_threads(self.context.threads)
        torch.use_deterministic_algorithms(self.context.deterministic)
        if self.context.rank:
            self.context.rank.join()
        tqdm.set_lock(threading.RLock())  # its own is for several processes, and would outlive this one
        self.process = Surroundings()
        try:
            self.registry = registry(self.context.plugins)
        except PluginError as error:
            if not self.context.elsewhere:
                raise
            raise Unfit(str(error)) from error
        if changes := self.process.changes():
            raise PluginError(
                f"Importing the plugins changes what all share: {'; '.join(changes)}. {PROCESS}"
            )

    def do(self, order: Order) -> None:
        """Do a task. Where this is another machine, what it lacks or cannot write is an Unfit."""
        try:
            if self.context.elsewhere:
                self._check_plugins(order.task)
            getattr(self, order.what)(order.task)
        except HarnessError as error:
            if self.context.elsewhere and isinstance(error.__cause__, OSError):
                raise Unfit(str(error)) from error
            raise

    def _check_plugins(self, task: Task) -> None:
        """Raise Unfit where a plugin of the task is not here, or is another than its key says."""
        for spec in sorted(plugins_of(task), key=lambda spec: (spec.kind, spec.name)):
            entry = self.registry.kinds[spec.kind].get(spec.name)
            if entry is None:
                raise Unfit(f"it has no {spec.kind} '{spec.name}': install {spec.owner} there")
            try:
                source = source_fingerprint(entry.load())
            except PluginError as error:
                raise Unfit(str(error)) from error
            if source != spec.source:
                raise Unfit(
                    f"its {spec.kind} '{spec.name}' ({entry.owner}) is not that of this run: install "
                    f"{spec.owner} there, the same code"
                )

    def convert(self, task: Conversion) -> None:
        """Make a model directory of a GGUF file, unless the cache has it."""
        name = task_name(task)
        self.tell(Event(name, "convert", 0, 1))
        check(task.source.local())
        self.tell(Event(name, status="done"))

    def make_target(self, task: Target) -> None:
        """Train one model of a benchmark, unless the cache has it."""
        benchmark, splits = loaded(task.benchmark, self.registry)
        recipe = recipes(benchmark, splits, self.context.source, task.replicate)[task.role]
        name = task_name(task)
        recipe.make(self.context.cache, lambda step, steps: self.tell(Event(name, "train", step, steps)))
        self.tell(Event(name, status="done"))

    def score(self, reference: Reference) -> None:
        """Score a model on all of a benchmark, or the original on its candidates, unless the cache has it.

        Where that fails, the cells that compare with it will say so, and the others go on.
        """
        path = reference.path(self.context.cache)
        if read_samples(path) is not None:
            return
        name = task_name(reference)
        self.tell(Event(name, "score", 0, 1))
        from ..engine import screening

        try:
            role, trained = reference.role, reference.trained
            place = self.context.path(role, reference.target, trained)
            subject = self.context.load(reference.benchmark, self.registry, place, self.tell, name)
            self.context.check(role, place, trained, subject.model)
            if reference.screens:
                samples = screening.ask(subject)
                screening.apply(subject.benchmark, subject.splits, samples)  # whether enough are left
                self._write(path, samples)
            else:
                self.context.screen(subject, reference.screening)
                self._write(path, clustered(subject.score(subject.splits), subject.splits))
        except HarnessError:
            raise
        except BaseException as error:
            trace = "".join(traceback.format_exception(error))
            self.tell(Event(name, status="failed", message=explain(error), trace=trace))
        else:
            self.tell(Event(name, status="done"))

    def _write(self, path: Path, samples: Sequence[Sample]) -> None:
        if self.context.leads:
            write_samples(path, samples)

    def run_group(self, group: Group) -> None:
        """Unlearn once, then do what each cell says with the unlearned model."""
        from .group import GroupRun

        GroupRun(group, self.context, self.registry, self.tell, self.process).run()
