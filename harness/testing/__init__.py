"""Conformance suite for plugins of every kind: the rules that the harness relies on.

    from harness.testing import check_method

    def test_mine_conforms():
        check_method(Mine)

`harness check NAME` prints the same. Needs no pytest, no network and no GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.base import Analysis, Attack, Method
from ..core.benchmark import Benchmark, Plugin
from ..core.composition import Composition
from ..core.modifier import Modifier
from ..plugins.kinds import Kind
from . import classes
from .rules import ConformanceError, Result, results

__all__ = [
    "ConformanceError",
    "Result",
    "check_analysis",
    "check_attack",
    "check_benchmark",
    "check_method",
    "check_modifier",
    "examine",
]


def check_method(cls: type[Method], **settings: Any) -> list[Result]:
    """Raise ConformanceError with every rule that a method breaks; ``settings`` are of its Config."""
    return _check(Method, cls, settings)


def check_modifier(cls: type[Modifier], **settings: Any) -> list[Result]:
    """Raise ConformanceError with every rule that a modifier breaks; ``settings`` are of its Config.

    It is tried over a gradient difference.
    """
    return _check(Modifier, cls, settings)


def check_attack(cls: type[Attack], **settings: Any) -> list[Result]:
    """Raise ConformanceError with every rule that an attack breaks; ``settings`` are of its Config."""
    return _check(Attack, cls, settings)


def check_analysis(cls: type[Analysis], **settings: Any) -> list[Result]:
    """Raise ConformanceError with every rule that an analysis breaks; ``settings`` are of its Config."""
    return _check(Analysis, cls, settings)


def check_benchmark(cls: type[Benchmark], data: Path | str | None = None, **settings: Any) -> list[Result]:
    """Raise ConformanceError with every rule that a benchmark breaks; ``data`` is the directory of its files.

    ``settings`` are of its Config.
    """
    return _check(Benchmark, cls, settings, None if data is None else Path(data))


def _check(base: type[Plugin], cls: Any, settings: dict[str, Any], data: Path | None = None) -> list[Result]:
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise TypeError(f"{cls!r} is no class derived from harness.{base.__name__}")
    outcomes = list(examine(cls, settings, data))
    if any(result.status == "failed" for result in outcomes):
        raise ConformanceError(f"{cls.__module__}:{cls.__qualname__}", outcomes)
    return outcomes


def examine(
    cls: type[Plugin], settings: dict[str, Any] | None = None, data: Path | None = None
) -> Iterator[Result]:
    """The result of each rule for plugins of its kind, as soon as there is one.

    A plugin that breaks its contract is not run.
    """
    kind = next(kind for kind in Kind if issubclass(cls, kind.base))
    sound = True
    for result in results(classes.RULES, (kind, cls), cls):
        sound = sound and not (result.status == "failed" and result.rule in ("name", "contract"))
        yield result
    if open_settings := [name for name in getattr(cls, "needs", ()) if (settings or {}).get(name) is None]:
        yield Result("runs", "skipped", f"{open_settings[0]} is not set, and it cannot run without")
    elif sound:
        yield from _try(cls, settings or {}, data)


def _try(cls: type[Plugin], settings: dict[str, Any], data: Path | None) -> Iterator[Result]:
    """The rules for which a plugin has to run. What they import takes seconds."""
    if issubclass(cls, Modifier):
        from . import modifiers

        return modifiers.over_plain(cls, settings)
    if issubclass(cls, Composition):
        from . import modifiers
        from .method_trial import MethodTrial

        return results(modifiers.RULES, MethodTrial(cls, settings), cls)
    if issubclass(cls, Method):
        from . import methods
        from .method_trial import MethodTrial

        return results(methods.RULES, MethodTrial(cls, settings), cls)
    if issubclass(cls, Attack):
        from . import attacks
        from .attack_trial import AttackTrial

        return results(attacks.RULES, AttackTrial(cls, settings), cls)
    if issubclass(cls, Analysis):
        from . import analyses
        from .analysis_trial import AnalysisTrial

        return results(analyses.RULES, AnalysisTrial(cls, settings), cls)
    assert issubclass(cls, Benchmark)
    from . import benchmarks
    from .benchmark_trial import BenchmarkTrial

    return results(benchmarks.RULES, BenchmarkTrial(cls, settings, data), cls)
