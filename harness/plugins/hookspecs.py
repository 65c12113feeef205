"""The five hooks. Each gets a callback, so that the host validates what it is given.

    import harness

    @harness.hookimpl
    def register_methods(register):
        register("mine", "my_package.mine:Mine")

A class may be passed instead of the string; the string keeps ``harness list`` from importing torch.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

PROJECT = "unlearning_harness"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Register = Callable[[str, "str | type"], None]


@hookspec
def register_methods(register: Register) -> None:
    """Call ``register(name, class_or_path)`` for each unlearning method."""


@hookspec
def register_modifiers(register: Register) -> None:
    """Call ``register(name, class_or_path)`` for each modifier of methods."""


@hookspec
def register_attacks(register: Register) -> None:
    """Call ``register(name, class_or_path)`` for each attack."""


@hookspec
def register_benchmarks(register: Register) -> None:
    """Call ``register(name, class_or_path)`` for each benchmark."""


@hookspec
def register_analyses(register: Register) -> None:
    """Call ``register(name, class_or_path)`` for each analysis."""
