"""How options may be written: text of a shell, and the lists and mappings of Python and YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from ..errors import ConfigError
from ..plugins import assignments
from ..plugins.selection import split

SENTENCE = "sentence"
"""Type of the errors whose message is the whole sentence."""


def names(value: Any) -> Any:
    """``"a,b"`` is ``("a", "b")``."""
    return split(value) if isinstance(value, str) else value


def tasks(value: Any) -> Any:
    """As :func:`names`, also separated by spaces; ``none`` is no task at all."""
    if isinstance(value, str):
        value = tuple(value.replace(",", " ").split())
    return () if value in (("none",), ["none"]) else value


def text(value: Any) -> Any:
    """A path may stand for its text."""
    return str(value) if isinstance(value, Path) else value


def paths(value: Any) -> Any:
    """One path is a list of one."""
    return (value,) if isinstance(value, str | Path) else value


def settings(value: Any) -> Any:
    """``["npo.beta=0.2"]``, ``{"npo.beta": 0.2}`` or ``{"npo": {"beta": 0.2}}``, by ``NAME.setting``."""
    if isinstance(value, Mapping):
        return _checked(assignments.flat, value)
    return _checked(assignments.assignments, _texts(value))


def data(value: Any) -> Any:
    """``NAME=DIR`` by name; under ``""`` the directory for the one benchmark that reads files."""
    if isinstance(value, Mapping):
        return value
    pairs = [str(text).partition("=") for text in _texts(value)]
    return {name if equals else "": path if equals else name for name, equals, path in pairs}


def pairs(value: Any) -> Any:
    """``"r=16,alpha=32"`` is ``{"r": 16, "alpha": 32}``."""
    if isinstance(value, str):
        value = dict(part.partition("=")[::2] for part in value.split(","))
    return value


def day(value: Any) -> str:
    """A day as ``2025-04-10``; YAML reads it as a date."""
    return date.fromisoformat(str(value)).isoformat()


def as_written(value: Any) -> str:
    """A value in a sentence, mappings as a shell takes them."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={part}" for name, part in value.items())
    try:
        return str(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "a number too long to be written"


def _texts(value: Any) -> Iterable[Any]:
    if isinstance(value, str | Path):
        return [value]
    if isinstance(value, list | tuple) and all(isinstance(part, str | Path) for part in value):
        return value
    raise ValueError("neither text nor a list of texts")


def _checked(read: Callable[[Any], Any], value: Any) -> Any:
    """Have the sentence of a ConfigError stand as it is."""
    try:
        return read(value)
    except ConfigError as error:
        # pydantic's messages are UTF-8, and an argument may hold bytes that are not.
        text = str(error).encode("utf-8", "backslashreplace").decode()
        raise PydanticCustomError(SENTENCE, "{text}", {"text": text}) from None
