"""The contract of a plugin's class, checked when it is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from ..core.base import Attack, Method
from ..core.config import Config
from ..errors import one, one_line
from .kinds import Kind


def violations(cls: Any, kind: Kind, name: str) -> Iterator[str]:
    """Everything in which ``cls`` breaks the contract of its kind, each with the rule it breaks."""
    if not (isinstance(cls, type) and issubclass(cls, kind.base)):
        yield f"is {cls!r}; it must be a class derived from harness.{kind.base.__name__}"
        return
    own_name = getattr(cls, "name", None)
    if own_name != name:
        yield f"calls itself {own_name!r}; the attribute `name` must equal the registered name"
    if not (cls.__doc__ or "").strip():
        yield "has no docstring; it is a plugin's manual, and its first line the summary in `harness list`"
    if inspect.isabstract(cls):
        yield f"does not implement {', '.join(sorted(cls.__abstractmethods__))}; {one(kind)} must"
    if issubclass(cls, Method) and cls.loss is Method.loss and cls.unlearn is Method.unlearn:
        yield "overrides neither loss() nor unlearn(); a method must override one"
    if not (isinstance(cls.Config, type) and issubclass(cls.Config, Config)):
        yield "has a Config that is not derived from harness.Config, which refuses unknown settings"
    elif issubclass(cls, Attack):
        yield from _wrong_variants(cls)


def _wrong_variants(cls: type[Attack]) -> Iterator[str]:
    if not cls.variants:
        yield 'has no variants; one that takes the defaults is {"": {}}'
    for label, overrides in cls.variants.items():
        if "," in label:
            yield f"has a variant '{label}' with a comma, which separates the attacks of a selection"
        try:
            cls.Config(**overrides)
        except ValidationError as error:
            yield f"has a variant '{label}' that its Config refuses: {one_line(error)}"
