"""What is done in a worker: train a target, score a twin, or run the cells of one unlearned model.

A failure belongs to its cell, or to the cells of its unlearned model; the others go on. Each cell is
committed as it is done.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.keys import canonical
from ..core.names import LABEL
from ..core.types import Cost, Event, Outcome, Sample, Tell
from ..engine.source import Source
from ..engine.targets import DONE, recipes
from ..errors import HarnessError
from ..plugins.registry import Registry
from ..plugins.uninstalled import Uninstalled, registry
from ..store import provenance
from ..store.schema import CellRow
from ..store.store import Store, read_samples, write_samples
from . import utility
from .plan import Cell, Group, Reference, Spec
from .planner import loaded


@dataclass(frozen=True, slots=True)
class Setting:
    """What all tasks of a run share."""

    source: Source
    results: Path
    cache: Path
    threads: int = 1
    micro_batch: int | None = None
    plugins: tuple[Uninstalled, ...] = ()
    """Plugins that are not installed."""


@dataclass
class Worker:
    """Does tasks one after another; keeps nothing between them but the facts of benchmarks."""

    setting: Setting
    tell: Tell
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        import torch
        from transformers.utils import logging

        self.registry = registry(self.setting.plugins)
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        torch.set_num_threads(self.setting.threads)

    def make_target(self, task: tuple[Spec, str]) -> None:
        """Train one model of a benchmark, unless the cache has it."""
        benchmark, splits = loaded(task[0], self.registry)
        recipe = recipes(benchmark, splits, self.setting.source)[task[1]]
        name = f"target {task[1]}"
        recipe.make(self.setting.cache, lambda step, steps: self.tell(Event(name, "train", step, steps)))
        self.tell(Event(name, status="done"))

    def score_twin(self, reference: Reference) -> None:
        """Score the retrain twin on all of a benchmark, unless the cache has it.

        Where that fails, the cells that compare with it will say so, and the others go on.
        """
        place = reference.place(self.setting.cache)
        if read_samples(place) is not None:
            return
        name = f"twin on {reference.benchmark.name}"
        self.tell(Event(name, "score", 0, 1))
        try:
            subject, _ = self._subject(reference.benchmark, name, "retrain")
            write_samples(place, subject.score(subject.splits))
        except HarnessError:
            raise
        except Exception as error:
            trace = "".join(traceback.format_exception(error))
            self.tell(Event(name, status="failed", message=explain(error), trace=trace))
        else:
            self.tell(Event(name, status="done"))

    def run_group(self, group: Group) -> None:
        """Unlearn once, then attack from the snapshot for each cell; commit every cell as it is done."""
        store = Store(self.setting.results)
        name = task_name(group)
        first = group.cells[0]
        begun = now()
        self.tell(Event(name, "load", 0, 1))
        try:
            subject, weights = self._subject(group.benchmark, name)
            from ..engine.attacking import run_attack
            from ..engine.evaluation import evaluate
            from ..engine.unlearning import unlearn
            from ..model import models

            job = unlearn(subject, group.method.make(self.registry), group.seed)
            snapshot = models.snapshot(subject.model)
        except Exception as error:
            for cell in group.cells:
                self._commit(store, self._row(group, cell, begun, ""), error)
            self.tell(Event(name, status="done"))
            return
        job.cost.seconds = seconds_since(begun)
        before: Outcome | None = None
        useful: Outcome | None = None
        for cell in group.cells:
            begun = begun if cell is first else now()
            row = self._row(group, cell, begun, weights)
            try:
                if cell.attack is None:
                    if group.reference:
                        subject.twin = self._samples(group.reference)
                    before = before or evaluate(subject)
                    outcome = Outcome(
                        [*before.metrics, *job.metrics], before.samples, {**before.notes, **job.notes}
                    )
                    outcome.cost = (
                        replace(job.cost, seconds=seconds_since(begun)) if cell is first else Cost()
                    )
                elif cell.attack.kind == LABEL:
                    known = useful is not None
                    useful = useful or self._utility(subject, cell.attack)
                    outcome = replace(useful, cost=Cost() if known else Cost(seconds_since(begun)))
                else:
                    outcome = run_attack(subject, cell.attack.make(self.registry), cell.seed, snapshot)
                    outcome.cost.seconds = seconds_since(begun)
                    outcome.notes["forgotten"] = job.notes.get("forgotten")
            except Exception as error:
                self._commit(store, row, error)
            else:
                self._commit(store, row, outcome)
            finally:
                models.restore(subject.model, snapshot)
        self.tell(Event(name, status="done"))

    def _utility(self, subject: Any, asked: Spec) -> Outcome:
        """lm-eval's tasks on the model in memory."""
        subject.advance("lm-eval", 0, 1)
        settings = json.loads(asked.config)
        own = subject.benchmark.utility_tasks
        found = utility.load(tuple(settings["asked"]), asked.data, own, asked.source)
        tokenizer = subject.tokens.tokenizer
        return utility.measure(subject.model, tokenizer, found, settings["limit"], self.setting.micro_batch)

    def _samples(self, reference: Reference) -> list[Sample]:
        """The twin's samples. Raises HarnessError where they are not to be had."""
        place = reference.place(self.setting.cache)
        samples = read_samples(place)
        if samples is None:
            raise HarnessError(
                f"The scores of the retrain twin are not in {place}: it could not be scored, or the file "
                "was removed. Run again to have it scored."
            )
        return samples

    def _subject(self, spec: Spec, name: str, role: str = "original") -> tuple[Any, str]:
        """A model of a benchmark with what belongs to it, and the fingerprint of its weights."""
        from ..engine.evaluation import ModelUnderTest
        from ..model import loading, models
        from ..model.tokens import PromptTokenizer

        benchmark, splits = loaded(spec, self.registry)
        made = recipes(benchmark, splits, self.setting.source)
        place = made[role].place(self.setting.cache)
        source = self.setting.source
        model, tokenizer = loading.load(place, source.dtype, trust_remote_code=source.trust_remote_code)
        note = place / DONE
        weights = (
            json.loads(note.read_text())["weights"] if note.is_file() else models.weights_fingerprint(model)
        )
        subject = ModelUnderTest(
            model,
            PromptTokenizer(tokenizer),
            benchmark,
            splits,
            source.protocol,
            made["retrain"].place(self.setting.cache) if "retrain" in made else None,
            source.dtype,
            source.trust_remote_code,
            self.setting.micro_batch,
            advance=lambda what, done, total: self.tell(Event(name, what, done, total)),
        )
        return subject, weights

    def fail(self, group: Group, error: Exception) -> None:
        """Commit the cells of a group that are not done as failed."""
        store = Store(self.setting.results)
        done = store.done()
        for cell in group.cells:
            if cell.key not in done:
                self._commit(store, self._row(group, cell, now(), ""), error)

    def _row(self, group: Group, cell: Cell, begun: float, weights: str) -> CellRow:
        return CellRow(
            key=cell.key,
            benchmark=group.benchmark.name,
            benchmark_plugin=group.benchmark.owner,
            benchmark_config=group.benchmark.config,
            data_fingerprint=group.data_fingerprint,
            model=display_name(self.setting.source),
            target_key=group.target,
            target_weights=weights,
            method=group.method.name,
            method_plugin=group.method.owner,
            method_config=group.method.config,
            attack=cell.attack.name if cell.attack else "none",
            variant=cell.variant,
            attack_plugin=cell.attack.owner if cell.attack else "",
            attack_config=cell.attack.config if cell.attack else "{}",
            seed=cell.seed,
            dtype=self.setting.source.dtype,
            provenance=json.dumps(asdict(provenance.collect(gpu_name()))),
            seconds=seconds_since(begun),
        )

    def _commit(self, store: Store, row: CellRow, result: Outcome | Exception) -> None:
        if isinstance(result, Outcome):
            try:
                row = replace(row, notes=canonical(result.notes), **asdict(result.cost))
            except (TypeError, ValueError) as error:  # a plugin's notes: its cell fails, and no other
                result = HarnessError(f"Its notes cannot be written as JSON: {error}.")
        if isinstance(result, Exception):
            row = replace(
                row,
                status="failed",
                error_type=type(result).__name__,
                error_message=explain(result),
            )
            store.commit(row)
        else:
            store.commit(row, result)
        label = " ".join(
            filter(None, (row.benchmark, row.method, row.attack, row.variant, f"seed {row.seed}"))
        )
        trace = "".join(traceback.format_exception(result)) if isinstance(result, Exception) else ""
        message = row.error_message or ""
        self.tell(Event(label, "", 0, 0, row.status, message, trace, row.seconds, cell=True))


def task_name(group: Group) -> str:
    """For people: which unlearned model it is."""
    return f"{group.benchmark.name} {group.method.name} seed {group.seed}"


def explain(error: Exception) -> str:
    """The message of an error, and for one nobody foresaw also where it was raised."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, HarnessError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else text


def display_name(source: Source) -> str:
    """The model's name for a table: the last part of a path, because nothing is keyed or shown by place."""
    return Path(source.spec).name if Path(source.spec).expanduser().is_dir() else source.spec


def gpu_name() -> str | None:
    """Model name of the first GPU."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None


def now() -> float:
    """Seconds on a clock that only goes forward."""
    return time.perf_counter()


def seconds_since(begun: float) -> float:
    """Seconds since ``now()`` was ``begun``."""
    return time.perf_counter() - begun
