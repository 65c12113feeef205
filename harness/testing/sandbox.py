"""Where plugins are tried: two-layer models of two families on disk, and an eye on what a plugin touches.

A model is loaded by the engine's own loader and run by the engine's own functions, as in a worker.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..core.base import Benchmark, Plugin
from ..core.config import Config
from ..core.keys import splits_fingerprint
from ..core.types import Fact, Splits
from ..engine.evaluation import ModelUnderTest
from ..engine.protocol import Protocol
from ..model import loading, models
from ..model.embedded import word_tokenizer
from ..model.tokens import PromptTokenizer
from .facts import splits_with

FAMILIES = ("llama", "gpt_neox")
"""Two families that name and build their layers differently."""

PROTOCOL = Protocol((1e-3, 1e-2), epochs=2, batch_size=3, check_every=None, attack_lr_scale=1000.0)
SMALL: dict[str, Any] = {
    "epochs": PROTOCOL.epochs,
    "batch_size": PROTOCOL.batch_size,
    "steps": 4,
    "checkpoints": (2, 4),
}
"""Settings that make a plugin quick, where it has them."""


def tiny_model(tokenizer: Any, family: str = "llama", seed: int = 0, **settings: Any) -> Any:
    """A random model of a few thousand parameters.

    Weights spread widely, so that it has opinions: what it prefers does not hang on rounding.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if family != "gpt2":
        shape["intermediate_size"] = 24
    if family not in ("gpt2", "gpt_neox", "phi"):
        shape |= {"num_key_value_heads": 1, "head_dim": 8}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.for_model(family, **(shape | settings))
        return AutoModelForCausalLM.from_config(config).eval()


def tokenizer_of(splits: Splits) -> Any:
    """A tokenizer that knows the words of these facts."""
    texts = [f"{fact.question} {fact.answer}" for chosen in splits.values() for fact in chosen]
    return word_tokenizer(("Question: Answer:", "I can't answer the question.", *texts))


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="harness-check-")  # removed when the process ends


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers for models that take milliseconds."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@cache
def saved(family: str, role: str = "original") -> Path:
    """The directory of a tiny model, made once per process."""
    place = Path(_folder().name) / f"{family}-{role}"
    tokenizer = tokenizer_of(splits_with())
    seed = 0 if role == "original" else 1
    with quiet():
        loading.save(tiny_model(tokenizer, family, seed), tokenizer, place, {})
    return place


class Observed(ModelUnderTest):
    """A subject that remembers whether anybody asked for its twin."""

    took_twin = False

    @property
    def retrain(self) -> Path | None:
        """Where the twin is."""
        self.took_twin = True
        return self._retrain

    @retrain.setter
    def retrain(self, place: Path | None) -> None:
        self._retrain = place


def subject(benchmark: Benchmark, splits: Splits, family: str = "llama", dtype: str = "float32") -> Observed:
    """A tiny model under test, loaded afresh."""
    retrain = saved(family, "retrain")
    with quiet():
        model, tokenizer = loading.load(saved(family), dtype)
    return Observed(model, PromptTokenizer(tokenizer), benchmark, splits, PROTOCOL, retrain, dtype)


def small(cls: type[Plugin], given: dict[str, Any] | None = None, **more: Any) -> Config:
    """The plugin's settings: those given, and of the usual ones that are left values that make it quick."""
    quick = {name: value for name, value in {**SMALL, **more}.items() if name in cls.Config.model_fields}
    try:
        return cls.Config(**{**quick, **(given or {})})
    except ValueError:
        return cls.Config(**(given or {}))


class Guarded(Splits):
    """Splits that remember which of them were opened."""

    def __init__(self, splits: Splits) -> None:
        super().__init__(splits)
        self.opened: set[str] = set()

    def __getitem__(self, name: str) -> tuple[Fact, ...]:
        self.opened.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return name in self._splits

    def only(self, names: frozenset[str]) -> Splits:
        """What is handed over as declared is not opened."""
        return Splits({name: facts for name, facts in self._splits.items() if name in names})

    def fingerprint(self) -> str:
        """Of the facts as they are now."""
        return splits_fingerprint(Splits(self._splits))


@dataclass
class Watch:
    """What happens to the global state and how optimisers step, while a plugin runs."""

    model: nn.Module | None = None
    """Only optimisers of its parameters count."""
    steps: int = 0
    unseen: int = 0
    """Most steps between two looks at the forget score."""
    late: int = 0
    """Steps after a look that said it is forgotten."""
    forgotten: bool = False
    touched: list[str] = field(default_factory=list)
    """Global state that the plugin changed."""
    _since: int = 0

    def look(self, forgotten: bool) -> None:
        """The forget score was looked at."""
        self._since, self.forgotten = 0, self.forgotten or forgotten

    def step(self, optimizer: torch.optim.Optimizer, *args: Any) -> None:
        """An optimiser has taken a step."""
        own = {id(parameter) for parameter in self.model.parameters()} if self.model else set()
        if any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            self.steps += 1
            self._since += 1
            self.unseen = max(self.unseen, self._since)
            self.late += self.forgotten

    @contextmanager
    def watching(self, world: int) -> Iterator[None]:
        """Run a plugin with the global random numbers at ``world``; afterwards they are as they were."""
        before = global_state()
        handle = register_optimizer_step_post_hook(self.step)
        try:
            random.seed(world)
            np.random.seed(world)
            torch.manual_seed(world)
            begun = global_state()
            yield
            self.touched = [name for name, now in global_state().items() if not same(begun[name], now)]
        finally:
            handle.remove()
            restore_globally(before)


def global_state() -> dict[str, Any]:
    """What a plugin must leave alone, by name."""
    return {
        "random": random.getstate(),
        "numpy.random": np.random.get_state(legacy=False),
        "torch's random numbers": torch.get_rng_state(),
        "torch.is_grad_enabled": torch.is_grad_enabled(),
        "torch.get_default_dtype": torch.get_default_dtype(),
    }


def restore_globally(state: dict[str, Any]) -> None:
    """Back to an earlier :func:`global_state`."""
    random.setstate(state["random"])
    np.random.set_state(state["numpy.random"])
    torch.set_rng_state(state["torch's random numbers"])
    torch.set_grad_enabled(state["torch.is_grad_enabled"])
    torch.set_default_dtype(state["torch.get_default_dtype"])


def reload(model: nn.Module, tokenizer: Any, dtype: str) -> models.Weights:
    """The weights after saving and loading."""
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder, quiet():
        loading.save(model, tokenizer, Path(folder) / "model", {})
        again, _ = loading.load(Path(folder) / "model", dtype)
    return models.snapshot(again)


def same(one: Any, other: Any) -> bool:
    """Equality of states that hold arrays."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, torch.Tensor | np.ndarray):
        return bool((one == other).all())
    return bool(one == other)


def anatomy(model: nn.Module) -> dict[str, Any]:
    """By what it is, everything about a model but its numbers: equal before and after a plugin."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    modules = dict(model.named_modules())
    parameters = dict(model.named_parameters())
    return {
        "weights": {n: f"{tuple(t.shape)} {t.dtype}" for n, t in model.state_dict().items()},
        "modules": {name: type(module).__name__ for name, module in modules.items()},
        "hooks": {
            **{name: sum(len(getattr(module, h) or ()) for h in hooks) for name, module in modules.items()},
            **{name: len(parameter._backward_hooks or ()) for name, parameter in parameters.items()},
        },
        "patched functions": {name: "forward" in vars(module) for name, module in modules.items()},
        "requires_grad": {name: parameter.requires_grad for name, parameter in parameters.items()},
        "training mode": {name: module.training for name, module in modules.items()},
    }


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What of a model's anatomy has changed, with the first place of each."""
    found = []
    for what in before:
        # A weight or module that came or went is told once.
        named = what in ("weights", "modules")
        places = {**before[what], **after[what]} if named else before[what].keys() & after[what].keys()
        differing = sorted(n for n in places if before[what].get(n) != after[what].get(n))
        if differing:
            first = differing[0]
            was, now = (of[what].get(first, "absent") for of in (before, after))
            more = f", and so at {len(differing) - 1} other places" if len(differing) > 1 else ""
            found.append(f"{what}: {first or 'the model'} was {was} and is {now}{more}")
    return found


def not_finite(model: nn.Module) -> list[str]:
    """Names of weights that hold NaN or infinity."""
    return [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()]


def difference(one: models.Weights, other: models.Weights) -> float:
    """Largest difference of any weight; one that is no number equals another such."""
    if one.keys() != other.keys():
        return float("inf")
    pairs = [(one[name].double().nan_to_num(), other[name].double().nan_to_num()) for name in one]
    return max(float((left - right).abs().max()) for left, right in pairs)
