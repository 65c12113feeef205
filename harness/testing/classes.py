"""Rules that look only at the class of a plugin. Their trial is (kind, class)."""

from __future__ import annotations

from ..core.benchmark import Plugin
from ..core.composition import JOINED, Composition
from ..core.keys import canonical
from ..errors import one
from ..plugins.contract import violations
from ..plugins.entry import NAME
from ..plugins.kinds import Kind
from ..plugins.settings import settings_of
from .rules import Violation, rule


@rule("name", "Give the class an attribute `name` of small letters, digits, hyphens and underscores.")
def name(trial: tuple[Kind, type[Plugin]]) -> str:
    kind, cls = trial
    name = getattr(cls, "name", None)
    parts = name.split(JOINED) if issubclass(cls, Composition) and isinstance(name, str) else [name]
    if not all(isinstance(part, str) and NAME.fullmatch(part) for part in parts):
        raise Violation(f"its name is {name!r}")
    if name in kind.reserved:
        raise Violation(f"'{name}' is a word of the command line")
    return str(name)


@rule("docstring", "Write a docstring: the summary in its first line, then the equation and the paper.")
def docstring(trial: tuple[Kind, type[Plugin]]) -> str:
    lines = (trial[1].__doc__ or "").strip().splitlines()
    if not lines:
        raise Violation("the class has no docstring")
    return f"{len(lines)} lines" if len(lines) > 1 else "a line"


@rule("contract", "Implement what the base class of harness asks for; its docstrings say what.")
def contract(trial: tuple[Kind, type[Plugin]]) -> str:
    kind, cls = trial
    broken = violations(cls, kind, getattr(cls, "name", ""))
    if messages := [message for message in broken if not message.startswith("has no docstring")]:
        raise Violation("; ".join(messages))
    return one(kind)


@rule(
    "settings",
    'Write each setting of Config as `name: type = Field(default, description="...")`, of types JSON knows.',
)
def settings(trial: tuple[Kind, type[Plugin]]) -> str:
    cls = trial[1]
    settings = settings_of(cls).values()
    if required := [s.name for s in settings if s.default == "required"]:
        raise Violation(f"{', '.join(required)} has no default, so 'all' could not run it")
    if undescribed := [s.name for s in settings if not s.description.strip()]:
        raise Violation(f"{', '.join(undescribed)} has no description")
    config = cls.Config()
    if (again := cls.Config.model_validate_json(config.model_dump_json(by_alias=True))) != config:
        raise Violation(f"read back from JSON, {config!r} has become {again!r}")
    canonical(config.model_dump(mode="json", by_alias=True))
    return f"{len(settings)} settings, each with a description" if settings else "it has none"


RULES = (name, docstring, contract, settings)
