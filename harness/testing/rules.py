"""Rules of the conformance suite: how one is written, checked and reported."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import HarnessError, one_line


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one rule: whether it holds, what was observed, and how to fix a violation."""

    rule: str
    status: Literal["ok", "failed", "skipped"]
    detail: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}. {self.fix}".strip()


class ConformanceError(AssertionError):
    """A plugin breaks rules; the message has a line for each, and ``results`` has them all."""

    def __init__(self, plugin: str, results: Sequence[Result]) -> None:
        self.results = tuple(result for result in results if result.status == "failed")
        super().__init__("\n".join([f"{plugin} breaks {len(self.results)} rules.", *map(str, self.results)]))


class Violation(Exception):
    """Raised by a rule that does not hold, with what was observed."""


class Skipped(Exception):
    """Raised by a rule that cannot be checked here, with the reason."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A statement about a plugin, how to fix what breaks it, and the function that checks it.

    The function takes a trial, returns what it observed, and raises Violation or Skipped.
    """

    name: str
    fix: str
    check: Callable[[Any], str]

    def result(self, trial: Any, cls: type) -> Result:
        """Check the plugin ``cls``. An error that it raises breaks the rule, too."""
        try:
            return Result(self.name, "ok", self.check(trial))
        except Violation as violation:
            return Result(self.name, "failed", str(violation), self.fix)
        except Skipped as skipped:
            return Result(self.name, "skipped", str(skipped))
        except (Exception, SystemExit) as error:
            # The harness's own errors are sentences that need no line of code.
            line = "" if isinstance(error, HarnessError) else raised_at(error, cls)
            message = str(error) if isinstance(error, HarnessError) else one_line(error)
            return Result(self.name, "failed", f"raised {message}{line}", self.fix)


def rule(name: str, fix: str) -> Callable[[Callable[[Any], str]], Rule]:
    """Make the function below a rule."""
    return lambda check: Rule(name, fix, check)


def results(rules: Iterable[Rule], trial: Any, cls: type) -> Iterator[Result]:
    """The result of each rule, as soon as there is one."""
    return (rule.result(trial, cls) for rule in rules)


def raised_at(error: BaseException, cls: type) -> str:
    """The last line of the plugin's own file that the error went through."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    frames = list(traceback.extract_tb(error.__traceback__))
    if not frames:
        return ""
    last = [*frames[-1:], *(frame for frame in frames if frame.filename == file)][-1]
    return f" ({Path(last.filename).name}, line {last.lineno})"
