"""Errors a user can mend. The command line prints one sentence, no traceback, and exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar


class HarnessError(Exception):
    """Something the user can mend: the message says what was wrong, where, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """What notebooks print in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class PluginError(HarnessError):
    """A plugin could not be loaded, or breaks the contract of its base class."""


class ConfigError(HarnessError):
    """A setting does not exist or its value is not allowed."""


class ModelError(HarnessError):
    """A model directory or hub id cannot be used."""


class StoreError(HarnessError):
    """A results directory cannot be read or written."""


class IntegrityError(StoreError):
    """A cell on disk contradicts itself: it was changed, or its files are not its own."""


class DataError(HarnessError):
    """A data file does not hold what its schema asks for."""

    def __init__(self, path: Path | str, problem: str, line: int | None = None) -> None:
        where = f"{path}, line {line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {problem}")
        self._made_of = path, problem, line

    def __reduce__(self) -> tuple[type[DataError], tuple[Path | str, str, int | None]]:
        """It travels from a worker process, where exceptions are rebuilt from their arguments."""
        return type(self), self._made_of


def one(noun: str) -> str:
    """A noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def one_line(error: BaseException) -> str:
    """The class and message of an error on a single line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"There is no {kind} '{name}'.{hint} There are: {', '.join(names) or 'none'}."


T = TypeVar("T")
R = TypeVar("R")


def gather(
    function: Callable[[T], R], items: Iterable[T], error: type[HarnessError] = HarnessError
) -> list[R]:
    """``function`` of each item. All the HarnessErrors are raised as one, a line for each."""
    results: list[R] = []
    problems: dict[str, HarnessError] = {}
    for item in items:
        try:
            results.append(function(item))
        except HarnessError as problem:
            problems[str(problem)] = problem
    if len(problems) == 1:
        raise next(iter(problems.values()))
    if problems:
        raise error("\n".join(problems))
    return results
