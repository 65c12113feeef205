"""What a grid costs: device hours, bytes and memory, of what was measured and of what was not.

The seconds are those of ``estimate``; where nothing alike was measured, ``cost`` fits them to what was.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..core.names import ATTACK, EVALUATION, NO_ATTACK
from ..engine.keeping import skeleton_of
from ..engine.targets import recipes
from ..errors import ConfigError
from ..model import models
from ..store.store import Store
from . import estimate, places
from .cost import CPU, CostModel, Kind, Measured, flops
from .estimate import TARGET, Estimate, Known, Work
from .executors.local import devices
from .keeping import Room, room
from .memory import Memory, memory
from .plan import Cell, Group, Spec
from .planner import loaded
from .record import display_name
from .resolve import ResolvedRun
from .workload import Workload, of_attack, of_unlearning, plugin_of, texts_of, tokens

COLUMNS = ("provenance", "steps", "tokens", "method_config", "attack_config", "seed")
"""Of the rows of ``cells`` beside those of ``estimate``."""

BYTES_OF_CELL, BYTES_OF_FACT = 25_000, 100
"""What a cell takes on disk by itself, and for each fact of its benchmark (docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class GridCost:
    """What is left of a grid takes on a device."""

    device: str
    estimate: Estimate
    lines: list[tuple[str, str, int, float, int, float]]
    """Benchmark, method, cells, seconds, cells of which nothing is known, and bytes of memory at the most."""
    fitted: int
    """Cells that nothing alike was measured of: their seconds are those of the fit."""
    results: float
    """Bytes of the cells on disk."""
    targets: float
    """Bytes of the models that are trained first."""
    kept: Room
    memory: Memory | None
    kinds: list[float]
    """By which factor the fit misses cells of a method or an attack that it had not seen on the device."""
    sizes: list[float]
    """The same of models of another size than it had seen."""


@dataclass
class Extrapolation:
    """The fit, asked about the work of a run."""

    run: ResolvedRun
    model: CostModel
    device: str
    specs: dict[Work, tuple[Spec, Spec | None]] = field(default_factory=dict)
    """By work, the method and the attack that it is about."""
    used: set[Work] = field(default_factory=set)
    benchmarks: dict[str, Spec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for group in self.run.plan.groups:
            for cell in group.cells:
                self.specs[work_of(group, cell, self.run)] = group.method, cell.attack
                self.benchmarks[group.benchmark.name] = group.benchmark

    def __call__(self, work: Work) -> float | None:
        """Seconds of work that was not measured; None of lm-eval, analyses and what a plan does not hold."""
        if work.stage == TARGET:
            return self._target(work)
        if work not in self.specs or work.stage not in (EVALUATION, ATTACK):
            return None
        load = self.load(work, *self.specs[work])
        kind = kind_of(work)
        load = load.after(self.model.share(kind) * load.steps)
        self.used.add(work)
        return self.model.seconds(self.measured(work, kind, load))

    def load(self, work: Work, method: Spec, attack: Spec | None) -> Workload:
        """What a cell has to do at the most."""
        registry, context = self.run.registry, self.run.context
        texts = texts_of(self.benchmarks[work.benchmark], registry)
        if work.stage == ATTACK and attack:
            return of_attack(*plugin_of(attack, registry), texts, None)
        config = plugin_of(method, registry)[1]
        return of_unlearning(config, texts, context.source.protocol, None)

    def measured(
        self, work: Work, kind: Kind, load: Workload, seconds: float = 1.0, budget: float = 0.0
    ) -> Measured:
        """The work as the fit takes it."""
        count = parameters(self.benchmarks[work.benchmark], self.run)
        amount = flops(count, load.trained, load.scored + load.once)
        coarse = work.dtype != "float32"
        return Measured(self.device, count, kind, seconds, load.steps, load.looks, amount, coarse, budget)

    def _target(self, work: Work) -> float | None:
        """The training of a model of a benchmark."""
        spec = self.benchmarks[work.benchmark]
        training = recipes(*loaded(spec, self.run.registry), self.run.context.source)["original"].training
        if training is None:
            return None
        examples = training.original
        trained = training.epochs * sum(tokens(f"{each.prompt.text} {each.answer}") for each in examples)
        steps = training.epochs * -(-len(examples) // training.batch_size)
        self.used.add(work)
        load = Workload(steps=steps, looks=0, trained=trained)
        return self.model.seconds(self.measured(work, Kind(TARGET, ""), load))


def grid_cost(
    run: ResolvedRun, store: Store, done: set[str], workers: int, on: str | None, tflops: float | None
) -> GridCost:
    """What is left of a run costs on a device: that of this machine, or the one named.

    Raises ConfigError where nothing was measured on it, and ``tflops`` does not say how fast it is.
    """
    plan, context = run.plan, run.context
    device = on or this_device(context.device)
    rows = [row for row in store.columns(*estimate.COLUMNS, *COLUMNS) if row["status"] == "ok"]
    here = [row for row in rows if device_of(row) == device]
    first = Extrapolation(run, CostModel([]), device)
    points = [*shipped_points(), *points_of(first, rows)]
    model = CostModel(points)
    if tflops is not None:
        model = model.at(device, tflops, like(device, model))
    elif device not in model.devices:
        raise ConfigError(
            f"Nothing was measured on {device}, so there is nothing to estimate from: run a few cells there "
            "and give their --results, say how fast it is (--tflops), or take one of "
            f"{', '.join(model.devices)} (--on)."
        )
    otherwise = Extrapolation(run, model, device)
    known = [] if tflops is not None else [Known(here), estimate.shipped(device)]
    to_train = places.to_train(plan, context.cache, done)
    found = estimate.estimate(plan, display_name(plan.source), done, to_train, workers, known, (), otherwise)
    wanted, kept = memory(plan, context, run.registry, done), room(plan, context, run.registry, done)
    missing = plan.missing(done)
    facts = [sum(each.number for each in texts_of(g.benchmark, run.registry).values()) for g in missing]
    results = sum(
        len(group.cells) * (BYTES_OF_CELL + BYTES_OF_FACT * number)
        for group, number in zip(missing, facts, strict=True)
    )
    sizes = [parameters(plan.recipes[key].benchmark, run) for key in to_train]
    fitted = sum(work_of(group, cell, run) in otherwise.used for group in missing for cell in group.cells)
    return GridCost(
        device,
        found,
        [*lines(missing, found, wanted)],
        fitted,
        results,
        4.0 * sum(sizes),
        kept,
        wanted,
        [] if tflops is not None else model.errors(device),
        model.errors_of_size(),
    )


def lines(
    missing: list[Group], expected: Estimate, memory: Memory | None
) -> Iterator[tuple[str, str, int, float, int, float]]:
    """A line for each method on each benchmark."""
    cells: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for group in missing:
        cells[group.benchmark.name, group.method.name] += group.cells
    for (benchmark, method), of in cells.items():
        seconds = [expected.cells[cell.key] for cell in of]
        most = max((memory.cells.get(cell.key, 0.0) for cell in of), default=0.0) if memory else 0.0
        yield benchmark, method, len(of), sum(filter(None, seconds)), seconds.count(None), most


def work_of(group: Group, cell: Cell, run: ResolvedRun) -> Work:
    """What takes time in a cell."""
    attack = cell.attack.name if cell.attack else NO_ATTACK
    analysis = cell.analysis.name if cell.analysis else ""
    source = run.plan.source
    on = group.benchmark.name, display_name(source), source.dtype
    return Work(*on, cell.stage, attack, cell.variant, group.method.name, analysis)


def kind_of(work: Work) -> Kind:
    """Which cells take alike."""
    if work.stage == ATTACK:
        return Kind(ATTACK, work.attack, work.variant)
    return Kind(EVALUATION, work.method)


def parameters(benchmark: Spec, run: ResolvedRun) -> int:
    """How many the model of a benchmark has."""
    if count := run.context.source.parameters:
        return count
    model = skeleton_of(recipes(*loaded(benchmark, run.registry), run.context.source)["original"])
    return models.size(model) if model is not None else 0


def this_device(chosen: str) -> str:
    """What the cells of this machine run on."""
    import torch

    at = devices(chosen)
    return torch.cuda.get_device_name(0) if at else CPU


def device_of(row: dict) -> str:
    """The device that a cell ran on."""
    return json.loads(row["provenance"]).get("gpu") or CPU


def like(device: str, model: CostModel) -> str:
    """The measured device whose overheads stand for those of another: an accelerator's for an accelerator."""
    return next((name for name in model.devices if (name == CPU) == (device == CPU)), CPU)


def shipped_points() -> Iterator[Measured]:
    """The lines of the table that say what was done."""
    for row in estimate.table():
        if not float(row["parameters"]):
            continue
        amount = flops(*(float(row[name]) for name in ("parameters", "trained", "scored")))
        work = Work.of({"analysis": "", **row})
        step = work.stage == "step"
        yield Measured(
            row["device"],
            float(row["parameters"]),
            kind_of(work),
            float(row["seconds"]),
            float(row["steps"]),
            float(row["looks"]),
            amount,
            row["dtype"] != "float32",
            float(row["budget"]) if not step else 0.0,
            0 if step else 1,
        )


def points_of(of: Extrapolation, rows: list[dict]) -> Iterator[Measured]:
    """The cells of the results of which the plan knows the facts and the model."""
    for row in rows:
        work = Work.of(row)
        if work in of.specs and work.stage in (EVALUATION, ATTACK) and row["seconds"]:
            most = of.load(work, *of.specs[work])
            load = most.after(row["steps"], row["tokens"])
            made = of.measured(work, kind_of(work), load, row["seconds"], most.steps)
            yield replace(made, device=device_of(row))
