"""What is undocumented, as sentences that say what to write and where. Empty when all is well."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

import harness.cli.main
from harness.core.benchmark import Benchmark
from harness.core.formulas import described
from harness.errors import HarnessError, PluginError
from harness.plugins import hookspecs
from harness.plugins.discovery import DISTRIBUTION
from harness.plugins.entry import Entry
from harness.plugins.registry import Registry
from harness.plugins.settings import settings_of

from . import reference
from .documented import BASES, CONFIGS, ELSEWHERE, PYTHON
from .pages import DOCS, ROOT
from .text import docstring


def undocumented(
    registry: Registry,
    app: typer.Typer = harness.cli.main.app,
    specs: ModuleType = hookspecs,
    docs: Path = DOCS,
) -> list[str]:
    """Every hook, method of a base class, command, option, column, plugin, setting and metric left unsaid."""
    entries = [entry for kind in registry.kinds.values() for entry in kind.values()]
    own = [entry for entry in entries if entry.distribution == DISTRIBUTION]
    return [
        *hooks(specs),
        *classes(),
        *public(),
        *options(app),
        *columns(),
        *pages(own, docs),
        *(problem for entry in own for problem in plugin(entry)),
    ]


def hooks(specs: ModuleType) -> Iterator[str]:
    """Every hook."""
    for name, function in reference.specified(specs).items():
        if not docstring(function):
            yield f"The hook {name} has no docstring; write one in {_file(hookspecs)}."


def classes() -> Iterator[str]:
    """Every public method of the classes that plugins derive from."""
    for cls in (*BASES, *CONFIGS):
        said = [m for b in cls.__mro__ for m in vars(b) if docstring(vars(b)[m])]
        for member, thing in vars(cls).items():
            if inspect.isfunction(thing) and not member.startswith("_") and member not in said:
                yield f"{cls.__name__}.{member}() has no docstring; write one in {_file(cls)}."


def public() -> Iterator[str]:
    """Every name that ``harness`` exports. Errors stand in a table of their own."""
    shown = [thing for page in PYTHON.values() for things in page.values() for thing in things]
    shown += [thing for module in shown if inspect.ismodule(module) for thing in vars(module).values()]
    for name in dir(harness):
        thing = getattr(harness, name)
        error = inspect.isclass(thing) and issubclass(thing, HarnessError)
        if not error and name not in ELSEWHERE and not any(thing is other for other in shown):
            yield f"harness.{name} is in no page of the reference; name it in docs/docgen/documented.py."


def options(app: typer.Typer) -> Iterator[str]:
    """Every command and every option."""
    place = _file(harness.cli.main)
    for path, command in reference.commands(typer.main.get_command(app)):
        if not command.help:
            yield f"The command `{path}` has no help; write its docstring in {place}."
        for parameter in command.params:
            if not getattr(parameter, "help", None) and parameter.name != "help":
                yield f"{parameter.opts[0]} of `{path}` has no help; write help=... in {place}."


def columns() -> Iterator[str]:
    """Every column of every table."""
    for name, schema in reference.TABLES.items():
        for column, _, told in reference.columns(schema):
            if not told:
                yield f"The column {column} of {name} has no description; write it beside its type."


def pages(entries: list[Entry], docs: Path) -> Iterator[str]:
    """A page for each plugin, and a plugin for each page."""
    wanted = {docs / entry.kind.plural / f"{entry.name}.md": entry for entry in entries}
    for path, entry in wanted.items():
        if not path.is_file():
            yield f"The {entry.kind} '{entry.name}' has no page; write {_shown(path)}."
    for kind in {entry.kind for entry in entries}:
        for path in sorted((docs / kind.plural).glob("*.md")):
            if path not in wanted and path.name != "index.md":
                yield f"{_shown(path)} is about no {kind} there is; delete or rename it."


def plugin(entry: Entry) -> Iterator[str]:
    """Its settings and, of a benchmark, its metrics. That it has a docstring at all the registry sees to."""
    cls: Any = entry.load()
    for setting in settings_of(cls).values():
        if not setting.description:
            yield f"The setting {entry.name}.{setting.name} has no description; write Field(description=...)."
    if issubclass(cls, Benchmark):
        for reported in cls.reports:
            try:
                described(reported.formula)
            except PluginError as error:
                yield f"The metric {reported.metric} of {entry.name}: {error}"


def _shown(path: Path) -> str:
    return "/".join(path.parts[-3:])


def _file(thing: Any) -> str:
    return Path(inspect.getfile(thing)).relative_to(ROOT).as_posix()
