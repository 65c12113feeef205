"""Does a plugin do what the harness relies on? A conformance suite for methods, attacks and benchmarks.

    from harness.testing import check_method

    def test_mine_conforms():
        check_method(Mine)

`harness check NAME` shows the same as a table. Needs no pytest, no network and no GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.base import Attack, Benchmark, Method, Plugin
from ..plugins.kinds import Kind
from .rules import STATIC, ConformanceError, Result

__all__ = ["ConformanceError", "Result", "check_attack", "check_benchmark", "check_method", "examine"]


def check_method(cls: type[Method], **settings: Any) -> list[Result]:
    """Raise ConformanceError with every rule that a method breaks; ``settings`` are of its Config."""
    return _check(Method, cls, settings)


def check_attack(cls: type[Attack], **settings: Any) -> list[Result]:
    """Raise ConformanceError with every rule that an attack breaks; ``settings`` are of its Config."""
    return _check(Attack, cls, settings)


def check_benchmark(cls: type[Benchmark], data: Path | str | None = None, **settings: Any) -> list[Result]:
    """Raise ConformanceError with every rule that a benchmark breaks; ``data`` is where its files are."""
    return _check(Benchmark, cls, settings, None if data is None else Path(data))


def _check(base: type[Plugin], cls: Any, settings: dict[str, Any], data: Path | None = None) -> list[Result]:
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise TypeError(f"{cls!r} is no class derived from harness.{base.__name__}")
    results = examine(cls, settings, data)
    if any(result.status == "failed" for result in results):
        raise ConformanceError(f"{cls.__module__}:{cls.__qualname__}", results)
    return results


def examine(
    cls: type[Plugin], settings: dict[str, Any] | None = None, data: Path | None = None
) -> list[Result]:
    """What became of each rule for plugins of its kind. One that breaks its contract is not run."""
    from .attacks import ATTACKS, AttackTrial
    from .benchmark_trial import BenchmarkTrial
    from .benchmarks import BENCHMARKS
    from .methods import METHODS, MethodTrial

    kind = next(kind for kind in Kind if issubclass(cls, kind.base))
    results = STATIC.results((kind, cls), cls)
    if any(result.status == "failed" and result.rule in ("name", "contract") for result in results):
        return results
    given = settings or {}
    if issubclass(cls, Method):
        return results + METHODS.results(MethodTrial(cls, given), cls)
    if issubclass(cls, Attack):
        return results + ATTACKS.results(AttackTrial(cls, given), cls)
    assert issubclass(cls, Benchmark)
    return results + BENCHMARKS.results(BenchmarkTrial(cls, given, data), cls)
