"""What a rule is, how its violation is told, and the rules that need no model."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from ..core.base import Plugin
from ..core.keys import canonical
from ..errors import HarnessError, one, one_line
from ..plugins.contract import violations
from ..plugins.entry import NAME
from ..plugins.kinds import Kind
from ..plugins.settings import settings_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one rule: whether it holds, what was seen, and how to mend it if it does not."""

    rule: str
    status: Literal["ok", "failed", "skipped"]
    seen: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.seen}. {self.mend}".strip()


class ConformanceError(AssertionError):
    """A plugin breaks rules; the message has a line for each, and ``results`` has them all."""

    def __init__(self, plugin: str, results: Sequence[Result]) -> None:
        self.results = tuple(result for result in results if result.status == "failed")
        super().__init__("\n".join([f"{plugin} breaks {len(self.results)} rules.", *map(str, self.results)]))


class Broken(Exception):
    """Raised by a rule that does not hold, with what was seen."""


class Skipped(Exception):
    """Raised by a rule that cannot be looked at here, with the reason."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[T]):
    """A statement about a plugin, the function that looks whether it holds, and how to mend what breaks it.

    The function returns what it saw, and raises Broken or Skipped.
    """

    name: str
    mend: str
    look: Callable[[T], str]

    def result(self, trial: T, own: type) -> Result:
        """Look. An error of the plugin itself breaks the rule, too."""
        try:
            return Result(self.name, "ok", self.look(trial))
        except Broken as broken:
            return Result(self.name, "failed", str(broken), self.mend)
        except Skipped as skipped:
            return Result(self.name, "skipped", str(skipped))
        except (Exception, SystemExit) as error:
            # What the harness says in a sentence of its own needs no place in the code.
            told = str(error) if isinstance(error, HarnessError) else f"{one_line(error)}{_where(error, own)}"
            return Result(self.name, "failed", f"raised {told}", self.mend)


class Rulebook(Generic[T]):
    """The rules of one kind of plugin, in the order in which they are looked at."""

    def __init__(self) -> None:
        self.rules: list[Rule[T]] = []

    def rule(self, name: str, mend: str) -> Callable[[Callable[[T], str]], Callable[[T], str]]:
        """Add the function below as a rule."""

        def add(look: Callable[[T], str]) -> Callable[[T], str]:
            self.rules.append(Rule(name, mend, look))
            return look

        return add

    def results(self, trial: T, own: type) -> list[Result]:
        """What became of each rule."""
        return [rule.result(trial, own) for rule in self.rules]


# What a method and an attack are both told: the name of the rule, and how to mend what breaks it.
GLOBAL_STATE = (
    "leaves global state alone",
    "Use generators of your own instead of seeding or drawing globally, and context managers for settings.",
)
DATA = (
    "leaves the data alone",
    "Copy facts with dataclasses.replace instead of changing them.",
)
BFLOAT16 = (
    "works in bfloat16",
    "Take dtype and device from the weights (`.to(weight)`); compute in float32 where bfloat16 is coarse.",
)
FAMILY = (
    "works with another family (GPT-NeoX)",
    "Find layers by harness.models.blocks, matrices and linear_modules, not by the names of one family.",
)
NOTES = (
    "its notes are JSON",
    "Put numbers, text, lists and dicts into job.notes; of a tensor .item() or .tolist(), of NaN nothing.",
)


STATIC: Rulebook[tuple[Kind, type[Plugin]]] = Rulebook()
"""Rules that only look at the class: (kind, class)."""


@STATIC.rule("name", "Give the class an attribute `name` of small letters, digits, hyphens and underscores.")
def _name(of: tuple[Kind, type[Plugin]]) -> str:
    kind, cls = of
    name = getattr(cls, "name", None)
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise Broken(f"its name is {name!r}")
    if name in kind.reserved:
        raise Broken(f"'{name}' is a word of the command line")
    return name


@STATIC.rule(
    "docstring", "Write a docstring: the summary in its first line, then the equation and the paper."
)
def _docstring(of: tuple[Kind, type[Plugin]]) -> str:
    lines = (of[1].__doc__ or "").strip().splitlines()
    if not lines:
        raise Broken("the class has no docstring")
    return f"{len(lines)} lines" if len(lines) > 1 else "a line"


@STATIC.rule("contract", "Implement what the base class of harness asks for; its docstrings say what.")
def _contract(of: tuple[Kind, type[Plugin]]) -> str:
    kind, cls = of
    wrong = [
        w for w in violations(cls, kind, getattr(cls, "name", "")) if not w.startswith("has no docstring")
    ]
    if wrong:
        raise Broken("; ".join(wrong))
    return one(kind)


@STATIC.rule(
    "settings",
    'Write each setting of Config as `name: type = Field(default, description="...")`, of types JSON knows.',
)
def _settings(of: tuple[Kind, type[Plugin]]) -> str:
    cls = of[1]
    settings = settings_of(cls).values()
    if required := [s.name for s in settings if s.default == "required"]:
        raise Broken(f"{', '.join(required)} has no default, so 'all' could not run it")
    if silent := [s.name for s in settings if not s.description.strip()]:
        raise Broken(f"{', '.join(silent)} has no description")
    config = cls.Config()
    if (again := cls.Config.model_validate_json(config.model_dump_json(by_alias=True))) != config:
        raise Broken(f"read back from JSON, {config!r} has become {again!r}")
    canonical(config.model_dump(mode="json", by_alias=True))
    return f"{len(settings)} settings, each with a description" if settings else "it has none"


def _where(error: BaseException, own: type) -> str:
    """The last line of the plugin's own file that the error went through."""
    file = getattr(sys.modules.get(own.__module__), "__file__", None)
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename == file] or frames
    return f" ({Path(mine[-1].filename).name}, line {mine[-1].lineno})" if mine else ""


def as_json(notes: Any) -> str:
    """That notes can be written. Raises Broken where they cannot."""
    try:
        canonical(notes)
    except (TypeError, ValueError) as error:
        raise Broken(f"{error}") from error
    return f"{len(notes)} notes" if notes else "none"
