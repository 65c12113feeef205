"""The state of a process that a plugin must leave as it was: settings of torch, directory, the engine's code.

Whatever it changes would reach the stages after it. Random states are not among it: the engine reads none.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers

PACKAGE = "harness"
"""The package whose code is watched, with its plugins as far as they are loaded."""

PATCHABLE = (nn.functional, nn.Module, torch.Tensor, torch.optim.AdamW, torch.optim.SGD)
"""What of torch every stage goes through."""

WATCHED = (FunctionType, property, classmethod, staticmethod, int, float, str, tuple, type)
"""Values of a module or class that are compared; others, such as caches, fill up as they are used."""

GLOBAL_HOOKS = {
    **{name: modules for name in vars(modules) if name.startswith("_global_") and name.endswith("_hooks")},
    **{name: optimizers for name in vars(optimizers) if name.startswith("_global_optimizer_")},
}

PATIENCE = 5.0
"""Seconds that threads have to end."""

IDLE_THREADS = ("TMonitor", "_DummyThread")
"""Classes of threads that libraries leave behind, for the clock of tqdm's bars and for autograd."""


@dataclass(frozen=True)
class Surroundings:
    """The state of this process at a moment. Taking it costs some milliseconds."""

    settings: dict[str, Any] = field(default_factory=lambda: settings())
    code: dict[str, Any] = field(default_factory=lambda: dict(code()))
    threads: frozenset[threading.Thread] = field(default_factory=lambda: frozenset(threading.enumerate()))

    def changes(self) -> list[str]:
        """What is different now, a clause each. What has come since, such as a new module, is no change."""
        now = Surroundings()
        messages = [
            f"{name} was {was} and is {now.settings[name]}"
            for name, was in self.settings.items()
            if now.settings[name] != was
        ]
        replaced = [name for name, was in self.code.items() if now.code.get(name) is not was]
        if replaced:
            more = f" and {len(replaced) - 1} more" if len(replaced) > 1 else ""
            messages.append(f"{replaced[0]}{more} was replaced")
        messages += [f"the thread '{thread.name}' runs on" for thread in self._new_threads()]
        return messages

    def _new_threads(self) -> list[threading.Thread]:
        """Those that were started since and go on; those that libraries load weights with end in a moment."""
        new = [thread for thread in threading.enumerate() if thread not in self.threads]
        going_on = [thread for thread in new if type(thread).__name__ not in IDLE_THREADS]
        end = time.monotonic() + PATIENCE
        for thread in going_on:
            thread.join(max(0.0, end - time.monotonic()))
        return [thread for thread in going_on if thread.is_alive()]


def settings() -> dict[str, Any]:
    """By name, what is global in a process and decides numbers or where files are."""
    return {
        "the working directory": _directory(),
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.get_default_device()": torch.get_default_device(),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.is_inference_mode_enabled()": torch.is_inference_mode_enabled(),
        "torch.is_autocast_enabled()": any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda")),
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
        "torch.are_deterministic_algorithms_enabled()": torch.are_deterministic_algorithms_enabled(),
        **{f"the number of {name}": len(getattr(holder, name)) for name, holder in GLOBAL_HOOKS.items()},
    }


def _directory() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # somebody removed it
        return None


def code() -> Iterator[tuple[str, Any]]:
    """By dotted name, the functions, classes and constants of the engine and of torch's most used parts."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == PACKAGE and isinstance(module, ModuleType):
            yield from _parts(name, module)
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == name:
                    yield from _parts(f"{name}.{value.__qualname__}", value)
    for holder in PATCHABLE:
        yield from _parts(_dotted(holder), holder)


def _dotted(holder: Any) -> str:
    return holder.__name__ if isinstance(holder, ModuleType) else f"{holder.__module__}.{holder.__qualname__}"


def _parts(prefix: str, holder: Any) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(holder).items()):
        if getattr(value, "hooked", False):  # the first optimiser of a class makes torch wrap its ``step``
            value = value.__wrapped__
        if isinstance(value, WATCHED) or callable(value):
            yield f"{prefix}.{name}", value
            inner = getattr(value, "__func__", value)
            if isinstance(inner, FunctionType):
                yield f"{prefix}.{name}'s code", inner.__code__
