"""How much memory of its device a cell takes at the most, and whether that is there.

Weights, snapshots, masters, gradients and moments follow from the number of parameters; activations from
layers, widths and the texts of a micro-batch (2205.05198, section 4, for what a layer keeps). A test holds
it against the peaks of the committed cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.base import Method
from ..core.config import MethodConfig, TrainingConfig
from ..core.memory import NO_SAVINGS, MemorySavings
from ..core.names import ANALYSIS, ATTACK, EVALUATION
from ..core.optimizers import ADAMW
from ..engine.keeping import BYTES, skeleton_of
from ..engine.targets import recipes
from ..errors import ConfigError, ModelError
from ..plugins.registry import Registry
from .context import WorkerContext
from .executors.local import devices
from .keeping import GIB, gib
from .plan import Cell, Group, Plan
from .planner import loaded
from .workload import NOTHING, Workload, of_attack, of_unlearning, plugin_of, texts_of

SINGLE = 4
"""Bytes of a number in float32."""

MOMENTS = {ADAMW: 8.0, "adamw_8bit": 2.1, "paged_adamw_32bit": 0.0, "paged_adamw_8bit": 0.0}
"""Bytes of the device for each parameter that trains; pages that are not needed leave it."""

SCORED = 4096
"""Positions that are scored at once."""

ANSWERS = 0.25
"""The part of them that is projected to the vocabulary."""

LIBRARIES = 0.6 * GIB
"""What a process takes before it has a model: libraries, or the context of a GPU."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a language model."""

    parameters: int
    layers: int
    width: int
    inner: int
    words: int
    adapted: int = 0
    """Numbers of adapters of rank 1: input and output sizes of all linear maps but the last."""

    @classmethod
    def of(cls, model: Any) -> Shape:
        """The sizes of a model, whose weights need not be there."""
        from ..model import lora, models

        config = model.config.get_text_config()
        inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
        layers = len(models.blocks(model))
        return cls(
            models.size(model), layers, config.hidden_size, inner, config.vocab_size, lora.size(model, 1)
        )

    def activations(self, texts: int, longest: float, answer: float, size: int, again: bool) -> float:
        """Bytes that the backward pass of a micro-batch needs, at ``size`` bytes a number."""
        layer = (16 * self.width + 4 * self.inner) * size
        kept = layer + self.layers * self.width * size if again else self.layers * layer
        logits = texts * (answer + 1) * self.words * (size + 3 * SINGLE)
        return texts * longest * kept + logits

    def scoring(self, size: int) -> float:
        """Bytes that the forward pass of a batch of requests needs."""
        hidden = SCORED * (8 * self.width + 3 * self.inner) * size
        return hidden + ANSWERS * SCORED * self.words * (size + 2 * SINGLE)


@dataclass(frozen=True, slots=True)
class Need:
    """What a stage holds beside the weights."""

    snapshots: int = 1
    trained: float = 0.0
    """Parameters that train: all, those of adapters, or none."""
    buffers: float = 0.0
    """What a method keeps in the size of what trains."""
    load: Workload = NOTHING


def bytes_of(shape: Shape, need: Need, dtype: str, savings: MemorySavings) -> float:
    """The most bytes of the device that a stage takes."""
    size = BYTES[dtype]
    held = shape.parameters * size * (1 + (0 if savings.offload else need.snapshots))
    adapters = 0 < need.trained < shape.parameters
    masters = SINGLE if size < SINGLE and not adapters else 0
    own = SINGLE if adapters else 0
    state = need.trained * (own + masters + MOMENTS[savings.optimizer] + need.buffers * size)
    number, texts = need.load.batch
    training = 0.0
    if number:
        activations = shape.activations(
            number, texts.longest, texts.longest_answer, size, savings.checkpointing
        )
        training = need.trained * SINGLE + activations
    return held + state + max(training, shape.scoring(size))


@dataclass(frozen=True, slots=True)
class Memory:
    """What the cells of a plan take, by key, in bytes of the device of a worker; the process is in it."""

    cells: dict[str, float]
    largest: str = ""
    """What takes most, for people."""
    most: float = 0.0
    least: float = 0.0
    """What the weights alone take, with a snapshot where it lies there, too."""


def memory(plan: Plan, context: WorkerContext, registry: Registry, done: set[str]) -> Memory | None:
    """What is left of a plan takes; None where nothing is left, or the model's sizes are not known yet."""
    cells: dict[str, float] = {}
    largest, least = ("", 0.0), 0.0
    shapes: dict[str, Shape | None] = {}
    alike: dict[tuple[Any, ...], list[float]] = {}
    for group in plan.missing(done):
        if group.target not in shapes:
            shapes[group.target] = shape_of(group, context, registry)
        if (shape := shapes[group.target]) is None:
            return None
        # What differs in its seed alone takes as much.
        kind = (group.target, group.benchmark, group.method, *((c.stage, c.attack) for c in group.cells))
        try:
            if kind not in alike:
                alike[kind] = [
                    LIBRARIES + bytes_of(shape, need, context.source.dtype, context.savings)
                    for _, need in needs(group, registry, shape, context)
                ]
        except Exception:  # what a plugin raises here, its cell will say
            continue
        for cell, size in zip(group.cells, alike[kind], strict=True):
            cells[cell.key] = size
            if cells[cell.key] > largest[1]:
                under = f" under {cell.attack.name}" if cell.attack else ""
                largest = f"{group.method.name}{under} on {group.benchmark.name}", cells[cell.key]
        copies = 1 if context.savings.offload else 2
        least = max(least, copies * shape.parameters * BYTES[context.source.dtype])
    return Memory(cells, *largest, least) if cells else None


def shape_of(group: Group, context: WorkerContext, registry: Registry) -> Shape | None:
    """The sizes of a group's model; None where they are not known before it is converted, or at all."""
    benchmark, splits = loaded(group.benchmark, registry)
    try:
        model = skeleton_of(recipes(benchmark, splits, context.source, group.replicate)["original"])
        return None if model is None else Shape.of(model)
    except (ModelError, AttributeError):  # a family built otherwise, or damage: its cells say
        return None


def needs(
    group: Group, registry: Registry, shape: Shape, context: WorkerContext
) -> Iterator[tuple[Cell, Need]]:
    """What each cell of a group holds; its first cell unlearns."""
    texts, micro = texts_of(group.benchmark, registry), context.micro_batch
    cls, config = plugin_of(group.method, registry)
    compared = any(cell.stage == ANALYSIS for cell in group.cells)
    load = of_unlearning(config, texts, context.source.protocol, micro)
    limited = 2 if context.most_damage else 0  # the model within the limit, and the best so far
    unlearning = of_method(cls, config, shape, load, limited)
    for number, cell in enumerate(group.cells):
        need = Need(1 + compared)
        if cell.stage == ATTACK and cell.attack:
            attack, settings = plugin_of(cell.attack, registry)
            load = of_attack(attack, settings, texts, micro)
            original = compared or attack.needs_original
            need = Need(1 + original + compared, trained(settings, shape), 0.0, load)
        if number == 0 or cell.stage == EVALUATION:
            need = max(need, unlearning, key=lambda each: bytes_of(shape, each, "float32", NO_SAVINGS))
        yield cell, need


def of_method(cls: type[Method], config: Any, shape: Shape, load: Workload, limited: int = 0) -> Need:
    """What unlearning holds: at the most, where the method chooses by itself which weights train."""
    combined = cls.combine is not Method.combine
    return Need(1 + limited, trained(config, shape), cls.buffers + combined, load)


def trained(config: Any, shape: Shape) -> float:
    """Parameters that train with these settings."""
    if not isinstance(config, MethodConfig | TrainingConfig):
        return 0.0
    return shape.adapted * config.lora_r if config.lora_r else shape.parameters


def available(device: str, workers: int) -> float | None:
    """Bytes of memory for each of the workers of this machine; None where nobody knows."""
    if number := len(devices(device)):
        import torch

        return torch.cuda.get_device_properties(0).total_memory / -(-workers // number)
    try:
        import psutil
    except ImportError:
        return None
    return psutil.virtual_memory().total / workers


def check(needed: Memory, room: float | None) -> str:
    """A warning where a cell may not fit. Raises ConfigError where the weights alone do not."""
    if room is None or needed.most <= room:
        return ""
    instead = (
        "fewer --jobs, --dtype bfloat16, a smaller --micro-batch, --checkpointing, --offload, "
        "--optimizer adamw_8bit, or --lora r=16 need less"
    )
    if needed.least > room:
        raise ConfigError(
            f"A model takes {gib(needed.least)} of memory before anything trains, and a worker has "
            f"{gib(room)}: {instead}, as far as they fit the methods."
        )
    return (
        f"{needed.largest} may take {gib(needed.most)} of memory, and a worker has {gib(room)}: a cell that "
        f"runs out of it fails alone. {instead[0].upper()}{instead[1:]}."
    )
