"""The plan of a run, as plain data that travels to worker processes: plugins, cells, groups."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.benchmark import Benchmark
from ..core.config import Config
from ..core.fingerprint import source_fingerprint
from ..core.hub import Fetched, Hub
from ..engine.source import Source
from ..errors import HarnessError
from ..plugins.entry import Entry
from ..plugins.kinds import Kind
from ..plugins.registry import Registry


@dataclass(frozen=True, slots=True)
class Spec:
    """A plugin with its settings: enough to make it again in another process."""

    kind: str
    name: str
    owner: str
    """Distribution and version."""
    source: str
    """Fingerprint of the plugin's source."""
    config: str
    """Resolved settings as JSON, to make it from."""
    settings: str
    """The same with the content of files in place of where they are, for keys and rows."""
    data: Path | None = None
    """Where a benchmark's files are; no part of any key."""
    prepared: tuple[Fetched, ...] = ()
    """What is there of the hub's data sets; no part of any key."""

    def identity(self) -> dict[str, str]:
        """What of it goes into a key."""
        return {"name": self.name, "owner": self.owner, "source": self.source, "config": self.settings}

    def make(self, registry: Registry) -> Any:
        """The plugin, with these settings."""
        cls = registry.get(Kind(self.kind), self.name).load()
        config = cls.Config.model_validate_json(self.config)
        if config.identity() != self.settings:
            raise HarnessError(
                f"A file that the {self.kind} '{self.name}' is set to was changed while the run went on, and "
                "its keys are those of what was there before: leave it alone while it is used, and run again."
            )
        plugin = cls(config)
        if isinstance(plugin, Benchmark):
            plugin.data, plugin.hub = self.data, Hub(self.prepared)
        return plugin


@dataclass(frozen=True, slots=True)
class UtilityTasks:
    """lm-eval's tasks that a run measures, with all that decides their scores."""

    engine: str
    """Distribution and version."""
    fingerprint: str
    """Of the tasks, their items and the code that measures."""
    config: str
    """Names, limit, and each task's version, few-shot examples and items, as JSON."""
    directory: Path | None = None
    """Where a user's own tasks are; no part of any key."""
    trusted: bool = False
    """Whether code that they name may run; no part of any key either."""

    def identity(self) -> dict[str, str]:
        """What of it goes into a key."""
        return {"engine": self.engine, "source": self.fingerprint, "config": self.config}


@dataclass(frozen=True, slots=True)
class Cell:
    """One unit of work and one row of results: evaluation, lm-eval, attack or analysis, under one seed."""

    key: str
    seed: int
    stage: str
    """``evaluation``, ``utility``, ``attack`` or ``analysis``."""
    attack: Spec | None = None
    """Of the stage ``attack``; of an analysis the one after which the model is looked at as well."""
    variant: str = ""
    """Label of the attack's published setting."""
    tasks: UtilityTasks | None = None
    """Of the stage ``utility``."""
    analysis: Spec | None = None
    """Of the stage ``analysis``."""


@dataclass(frozen=True, slots=True)
class Target:
    """A model of a benchmark: original or retrain twin, and which of several trained independently."""

    benchmark: Spec
    role: str
    replicate: int = 0

    @property
    def name(self) -> str:
        """It, for people."""
        return f"{self.role}{_number(self.replicate)}"


@dataclass(frozen=True, slots=True)
class Reference:
    """What a model scores on a benchmark, the retrain twin or an original: made once, before any group."""

    key: str
    benchmark: Spec
    target: str
    """Key of the model's recipe."""
    replicate: int = 0
    role: str = "retrain"
    trained: bool = True
    """Whether that recipe trains the model, or takes it as it is."""
    screens: bool = False
    """Whether it is asked the benchmark's candidates, to use those that it answers."""
    screening: Reference | None = None
    """What says which facts are used, where they are screened."""

    def path(self, cache: Path) -> Path:
        """The file of its samples."""
        return cache / "twins" / f"{self.key}.parquet"


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a ready pair, and by which split and metric they are held against each other."""

    original: Reference
    retrain: Reference
    forget: tuple[str, str]
    retain: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """The cells that share one unlearned model."""

    key: str
    protocol: str
    benchmark: Spec
    data_fingerprint: str
    target: str
    """Key of the original model's recipe."""
    family: str
    """Key that the original models of all replicates share."""
    replicate: int
    """Which of the independently trained targets it is."""
    trained: bool
    """Whether that recipe trains the model, which is then in the cache, or takes the source as it is."""
    twin: str | None
    """Key of the retrain twin's recipe, where the method reads it."""
    method: Spec
    seed: int
    cells: tuple[Cell, ...]
    siblings: str = ""
    """Key that it shares with the groups of other seeds of its method."""
    worth_keeping: bool = True
    """Whether its model is made by unlearning, and not there already."""
    reference: Reference | None = None
    """The twin's scores, which say what counts as forgotten and what its evaluation is compared with."""
    pair: Scores | None = None
    """The same with the original's, where both are a ready pair."""
    screening: Reference | None = None
    """What the original scores on candidates, which says which facts are used."""

    @property
    def references(self) -> tuple[Reference, ...]:
        """All scores that it needs."""
        both = (self.pair.original, self.pair.retrain) if self.pair else (self.reference,)
        return tuple(reference for reference in (self.screening, *both) if reference)

    @property
    def trained_models(self) -> set[str]:
        """Keys of the recipes of all models it needs, where they are trained and not taken as they are."""
        needed = {self.target, self.twin, *(reference.target for reference in self.references)}
        return {recipe for recipe in needed if recipe and self.trained}


@dataclass
class Plan:
    """All groups, and the models they need. ``left_out`` says in a sentence each what cannot be run."""

    source: Source
    groups: list[Group] = field(default_factory=list)
    recipes: dict[str, Target] = field(default_factory=dict)
    """By key: each model to be made, once for all benchmarks that share it."""
    left_out: list[str] = field(default_factory=list)

    @property
    def cells(self) -> list[Cell]:
        """Every cell of every group."""
        return [cell for group in self.groups for cell in group.cells]

    def missing(self, done: set[str]) -> list[Group]:
        """The groups with what is left of them to do."""
        rest = []
        for group in self.groups:
            cells = tuple(cell for cell in group.cells if cell.key not in done)
            if cells:
                rest.append(replace(group, cells=cells))
        return rest


@dataclass(frozen=True, slots=True)
class Conversion:
    """A model of a run, to be made of its GGUF file before anything loads it."""

    source: Source


Task = Conversion | Target | Reference | Group
"""What a process does: convert a model, train a benchmark's, score one, or run the cells of a group."""


def plugins_of(task: Task) -> set[Spec]:
    """The plugins that a task makes."""
    if isinstance(task, Conversion):
        return set()
    if not isinstance(task, Group):
        return {task.benchmark}
    more = (spec for cell in task.cells for spec in (cell.attack, cell.analysis) if spec)
    return {task.benchmark, task.method, *more}


def task_name(task: Task) -> str:
    """A task, for people."""
    if isinstance(task, Group):
        return f"{task.benchmark.name} {task.method.name} seed {task.seed}"
    if isinstance(task, Reference):
        who = "twin" if task.role == "retrain" else task.role
        return f"{who}{_number(task.replicate)} on {task.benchmark.name}"
    if isinstance(task, Conversion):
        return f"model {Path(task.source.spec).name}"
    return f"target {task.name}"


def _number(replicate: int) -> str:
    """Which of several; the first needs no number."""
    return f" {replicate + 1}" if replicate else ""


def spec(entry: Entry, config: Config, data: Path | None = None, prepared: tuple[Fetched, ...] = ()) -> Spec:
    """The plugin of an entry with its settings."""
    source = source_fingerprint(entry.load())
    made_from = config.model_dump_json(by_alias=True)
    return Spec(entry.kind, entry.name, entry.owner, source, made_from, config.identity(), data, prepared)
