"""Tells erasing from hiding: unlearning methods against attacks that bring the knowledge back.

    results = harness.run(methods=["gd", "npo"], attacks=["private-data"])
    results = harness.load("results")      # what an earlier run left there

Nothing heavy is loaded before it is used.
"""

import sys
from importlib import import_module
from inspect import Signature, signature
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .hookspecs import hookimpl

if TYPE_CHECKING:
    from .api import load, run
    from .results import Results

__all__ = ["Results", "hookimpl", "load", "run"]

_LAZY = {"load": "api", "Results": "results"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Run(ModuleType):
    """The module ``harness.run``, the inside of a cell, that can also be called: then it is ``api.run``."""

    @property
    def __signature__(self) -> Signature:
        from .api import run

        return signature(run)

    def __call__(self, *arguments: Any, **options: Any) -> "Results":
        from .api import run

        return run(*arguments, **options)


class _Harness(ModuleType):
    """This package, in which ``run`` is the callable module, whoever imports it first and in what form.

    The import system sets a module as an attribute of its package; a function of that name would be replaced.
    """

    @property
    def run(self) -> Any:
        return import_module(".run", __name__)

    @run.setter
    def run(self, module: ModuleType) -> None:
        module.__class__ = _Run


sys.modules[__name__].__class__ = _Harness
