"""Errors a user can mend. The command line prints one sentence, no traceback, and exits with 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

LONGEST_WORD, LONGEST_LINE = 300, 3_000
"""Characters of a message that are told: of what holds no space, such as a name, and of a line."""

PROBLEMS = 20
"""Problems that are told at once."""


def shortened(message: str) -> str:
    """A message in which what is too long, as somebody wrote it, is cut in its middle."""
    message = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda word: _cut(word[0], LONGEST_WORD), message)
    return "\n".join(_cut(line, LONGEST_LINE) for line in message.split("\n"))


def _cut(text: str, length: int) -> str:
    half = length // 2
    return text if len(text) <= length else f"{text[: half - 3]}...{text[-half:]}"


class HarnessError(Exception):
    """Something the user can mend: the message says what was wrong, where, and what to do."""

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(message))

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
    # What is longer than any name is no misspelt one, and takes long to compare.
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) if len(name) <= LONGEST_WORD else []
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"There is no {kind} '{name}'.{hint} There are: {', '.join(names) or 'none'}."


T = TypeVar("T")
R = TypeVar("R")


def gather(
    function: Callable[[T], R], items: Iterable[T], error: type[HarnessError] = HarnessError
) -> list[R]:
    """``function`` of each item. The HarnessErrors are raised as one, a line for each of the first 20."""
    results: list[R] = []
    problems: dict[str, HarnessError] = {}
    for item in items:
        try:
            results.append(function(item))
        except HarnessError as problem:
            problems[str(problem)] = problem
        if len(problems) == PROBLEMS:
            raise error("\n".join([*problems, "There may be more: these are the first."]))
    if len(problems) == 1:
        raise next(iter(problems.values()))
    if problems:
        raise error("\n".join(problems))
    return results
