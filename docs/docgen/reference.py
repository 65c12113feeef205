"""The reference: Python interface, hooks, metrics, command line, tables and errors, from the code alone."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import pyarrow as pa
import typer

import harness.cli.main
from harness import errors as harness_errors
from harness.core.benchmark import Benchmark
from harness.core.formulas import described
from harness.core.types import Reported
from harness.leaderboard import analyses, curves, facts
from harness.leaderboard import columns as leaderboard
from harness.plugins import hookspecs
from harness.plugins.registry import Registry
from harness.store import schema as store

from . import api
from .pages import anchor, wanted, where
from .text import code, docstring, plain, table

TABLES = {
    "cells": store.CELLS,
    "metrics": store.METRICS,
    "samples": store.SAMPLES,
    "analyses": store.ANALYSES,
    "leaderboard.parquet": leaderboard.schema({**leaderboard.COLUMNS, **leaderboard.OPTIONAL}),
    "curves.parquet": curves.SCHEMA,
    "facts.parquet": facts.SCHEMA,
    "analyses.parquet": analyses.SCHEMA,
}


def hooks() -> str:
    """Each hook with its signature and docstring."""
    return "\n".join(
        f"## {name}\n\n```python\n{name}{inspect.signature(function)}\n```\n\n{docstring(function)}\n"
        for name, function in specified(hookspecs).items()
    )


def specified(specs: ModuleType) -> dict[str, FunctionType]:
    """The hooks of a module: the functions that pluggy marked."""
    mark = f"{hookspecs.PROJECT}_spec"
    return {name: f for name, f in vars(specs).items() if isinstance(f, FunctionType) and hasattr(f, mark)}


def python(sections: Mapping[str, tuple[Any, ...]]) -> str:
    """Functions, classes and modules below their headings."""
    return "\n".join(
        f"## {title}\n\n" + "\n".join(api.described(thing) for thing in things)
        for title, things in sections.items()
    )


def metrics() -> str:
    """Each metric of every benchmark: its formulas, and where it is measured."""
    of: dict[str, list[tuple[str, Reported]]] = defaultdict(list)
    for entry in Registry().benchmarks.values():
        cls: type[Benchmark] = entry.load()  # type: ignore[assignment]
        for reported in cls.reports:
            of[reported.metric].append((entry.name, reported))
    parts = []
    for metric, found in of.items():
        parts.append(f"({anchor(metric)})=\n## `{metric}`\n")
        for function in dict.fromkeys(reported.formula for _, reported in found):
            formula = described(function)
            parts.append(f"{plain(formula.definition)}\n\nIn {plain(formula.range)}. {docstring(function)}\n")
            parts.append(f"Computed by `{function.__module__}.{function.__qualname__}`.\n")
            rows = [
                (f"[{name}](../benchmarks/{name}.md)", where(r), *wanted(r))
                for name, r in found
                if r.formula is function
            ]
            parts.append(table(("benchmark", "measured on", "better", "ideal"), rows))
    return "\n".join(parts)


def cli() -> str:
    """Every command with its arguments and options."""
    parts = []
    for path, command in commands(typer.main.get_command(harness.cli.main.app)):
        rows = [(code(names), plain(told)) for names, told in parameters(command)]
        told = [text for text in (command.help, command.epilog) if text]
        parts += [
            f"## {path}\n",
            *(f"{plain(text)}\n" for text in told),
            table(("option", "what it does"), rows),
        ]
    return "\n".join(parts)


def commands(command: Any, path: str = "harness") -> Iterator[tuple[str, Any]]:
    """A command and everything below it, each with the words that call it."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


def parameters(command: Any) -> list[tuple[str, str]]:
    """Names and help of a command's arguments and options, as ``--help`` has them."""
    context = typer.Context(command)
    found = [parameter.get_help_record(context) for parameter in command.params]
    return [record for record in found if record]


def tables() -> str:
    """The columns of every table, described by the schema that is written into the files."""
    return "\n".join(
        f"## {name}\n\n{table(('column', 'type', 'what it is'), columns(s))}" for name, s in TABLES.items()
    )


def columns(schema: pa.Schema) -> list[tuple[str, str, str]]:
    """Name, type and meaning of every column of a table."""
    rows = []
    for field in schema:
        told = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        unit = f" ({told['unit']})" if told.get("unit") else ""
        rows.append((code(field.name), str(field.type), plain(told.get("description", "") + unit)))
    return rows


def errors() -> str:
    """The errors a user can mend."""
    kinds = [kind for kind in vars(harness_errors).values() if inspect.isclass(kind)]
    rows = [
        (code(kind.__name__), plain(docstring(kind)))
        for kind in kinds
        if kind.__module__ == harness_errors.__name__
    ]
    return "## Errors\n\n" + table(("error", "when"), rows)
