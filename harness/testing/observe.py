"""Observe what a plugin touches: splits, the twin, optimiser steps, global state, the parts of the model."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..core.keys import splits_fingerprint
from ..core.types import Fact, Splits
from ..engine.integrity import anatomy, differences
from ..engine.under_test import ModelUnderTest


class Guarded(Splits):
    """Splits that record which of them were read."""

    def __init__(self, splits: Splits) -> None:
        super().__init__(splits)
        self.opened: set[str] = set()

    def __getitem__(self, name: str) -> tuple[Fact, ...]:
        self.opened.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return name in self._splits

    def only(self, names: frozenset[str]) -> Splits:
        """The named splits; handing them over as declared does not count as reading."""
        return Splits({name: facts for name, facts in self._splits.items() if name in names})

    def fingerprint(self) -> str:
        """Of the facts as they are now."""
        return splits_fingerprint(Splits(self._splits))


class Observed(ModelUnderTest):
    """A model under test that records whether its twin was taken."""

    took_twin = False

    @property
    def retrain(self) -> Path | None:
        """Where the twin is."""
        self.took_twin = True
        return self._retrain

    @retrain.setter
    def retrain(self, path: Path | None) -> None:
        self._retrain = path


@dataclass
class Watch:
    """What happens to the model, the data and the global state, and how optimisers step, in one run."""

    model: nn.Module | None = None
    """Only optimisers of its parameters count."""
    steps: int = 0
    most_unchecked: int = 0
    """Most steps between two checks of the forget score."""
    late: int = 0
    """Steps after a check that said it is forgotten."""
    forgotten: bool = False
    touched: list[str] = field(default_factory=list)
    """Global state that the plugin changed."""
    leftovers: list[str] = field(default_factory=list)
    """Changes of the model other than of its numbers."""
    changed_data: bool = False
    paused: bool = False
    """Whether steps do not count: those of ``finish`` come after the protocol, and have their own budget."""
    opened: set[str] = field(default_factory=set)
    """Names of the splits that were read."""
    _unchecked: int = 0

    def checked(self, forgotten: bool) -> None:
        """Note that the forget score was computed."""
        self._unchecked, self.forgotten = 0, self.forgotten or forgotten

    def step(self, optimizer: torch.optim.Optimizer, *args: Any) -> None:
        """Note that an optimiser has taken a step."""
        parameters = {id(p) for p in self.model.parameters()} if self.model and not self.paused else set()
        if any(id(p) in parameters for group in optimizer.param_groups for p in group["params"]):
            self.steps += 1
            self._unchecked += 1
            self.most_unchecked = max(self.most_unchecked, self._unchecked)
            self.late += self.forgotten

    @contextmanager
    def watching(self, seed: int) -> Iterator[None]:
        """Run a plugin with global random numbers of ``seed``; afterwards the global state is restored."""
        before = global_state()
        handle = register_optimizer_step_post_hook(self.step)
        try:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            seeded = global_state()
            yield
            self.touched = [name for name, now in global_state().items() if not same(seeded[name], now)]
        finally:
            handle.remove()
            restore_globally(before)

    @contextmanager
    def watching_model(self, subject: Observed, seed: int) -> Iterator[None]:
        """The same, of a run that changes a model under test on guarded splits."""
        splits, self.model = subject.splits, subject.model
        assert isinstance(splits, Guarded)
        before, data = anatomy(self.model), splits.fingerprint()
        with self.watching(seed):
            yield
        self.opened = splits.opened
        self.leftovers = differences(before, anatomy(self.model))
        if subject.model is not self.model:
            self.leftovers.append("job.subject.model is another object")
        self.changed_data = splits.fingerprint() != data


@contextmanager
def repeating_kernels() -> Iterator[list[str]]:
    """Use kernels that repeat themselves to the bit; the list then names those without such a version."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    lacking: list[str] = []
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            yield lacking
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    said = [str(warning.message) for warning in told if "deterministic" in str(warning.message)]
    lacking += ["a kernel of cuBLAS" if "CuBLAS" in text else text.partition(" ")[0] for text in said]


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


def same(one: Any, other: Any) -> bool:
    """Equality of states that hold arrays."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, torch.Tensor | np.ndarray):
        return bool((one == other).all())
    return bool(one == other)
