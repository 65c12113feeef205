"""What is undocumented is named: plugins, settings, metrics, hooks, options, columns and public names."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Annotated

import pyarrow as pa
import pytest
import typer
from pydantic import Field

import harness
from harness.core.base import Method
from harness.core.benchmark import Benchmark
from harness.core.config import Config
from harness.core.types import Reported
from harness.plugins.discovery import DISTRIBUTION, Plugins
from harness.plugins.entry import Entry
from harness.plugins.hookspecs import hookspec
from harness.plugins.kinds import Kind
from harness.plugins.registry import Registry


@pytest.fixture(scope="session")
def undocumented(generator) -> Callable[..., list[str]]:
    """What the build asks before anything else."""
    return generator["complete"].undocumented


def registry(*classes: type) -> Registry:
    """The built-in plugins and these, as if they were built in, too."""
    entries = Registry()
    own = [Entry(e.kind, e.name, e.target, e.distribution, e.version)
           for kind in entries.kinds.values() for e in kind.values()]  # fmt: skip
    for cls in classes:
        kind = next(kind for kind in Kind if issubclass(cls, kind.base))
        own.append(Entry(kind, cls.name, cls, DISTRIBUTION, "1"))
    return Registry(Plugins(own))


def test_every_hook_option_setting_metric_column_and_plugin_is_documented(undocumented):
    assert undocumented(Registry()) == []


class Unwritten(Method):
    """A method without a page, and with a setting that nobody explained."""

    name = "unwritten"

    class Config(Config):
        strength: float = 1.0
        weight: float = Field(1.0, description="weight of the term")

    def unlearn(self, job): ...


def nameless(text): ...


class Unmeasured(Benchmark):
    """A benchmark with a metric whose formula is not described."""

    name = "unmeasured"
    forget_metric = "accuracy"
    reports = (Reported("mystery", ("forget",), nameless),)

    def load(self): ...
    def measures(self, splits): ...
    def threshold(self, splits): ...
    def chance(self, splits): ...


def test_a_plugin_without_a_page_and_a_setting_without_a_description_are_named(undocumented):
    assert undocumented(registry(Unwritten)) == [
        "The method 'unwritten' has no page; write docs/methods/unwritten.md.",
        "The setting unwritten.strength has no description; write Field(description=...).",
    ]


def test_a_strangers_plugin_needs_no_page(undocumented):
    plugins = Plugins([Entry(Kind.METHOD, "unwritten", Unwritten, "somebody-else", "1")])
    assert not any("unwritten" in problem for problem in undocumented(Registry(plugins)))


def test_a_metric_whose_formula_is_not_described_is_named(undocumented):
    [_, problem] = undocumented(registry(Unmeasured))
    assert "metric mystery of unmeasured" in problem
    assert "put @formula above it" in problem


def test_a_page_about_nothing_is_named(undocumented, tmp_path):
    for kind, entries in Registry().kinds.items():
        folder = tmp_path / "docs" / Kind(kind).plural
        folder.mkdir(parents=True)
        for name in entries:
            (folder / f"{name}.md").touch()
    (tmp_path / "docs" / "attacks" / "charm.md").touch()
    assert undocumented(Registry(), docs=tmp_path / "docs") == [
        "docs/attacks/charm.md is about no attack there is; delete or rename it."
    ]


def test_a_hook_without_a_docstring_is_named(undocumented):
    specs = ModuleType("specs")
    exec("def register_judges(register): ...", vars(specs))
    hookspec(vars(specs)["register_judges"])
    assert undocumented(Registry(), specs=specs) == [
        "The hook register_judges has no docstring; write one in harness/plugins/hookspecs.py."
    ]


def test_a_command_and_an_option_without_help_are_named(undocumented):
    app = typer.Typer(help="A program.")
    app.callback()(lambda: None)
    app.command("silent", help="Says nothing.")(lambda aloud=False: None)

    @app.command("bare")
    def bare(name: Annotated[str, typer.Argument(help="Whom.")]) -> None: ...

    problems = undocumented(Registry(), app=app)
    assert problems == [
        "--aloud of `harness silent` has no help; write help=... in harness/cli/main.py.",
        "The command `harness bare` has no help; write its docstring in harness/cli/main.py.",
    ]


def test_a_column_without_a_description_is_named(undocumented, generator, monkeypatch):
    monkeypatch.setitem(generator["reference"].TABLES, "cells", pa.schema([("luck", pa.float64())]))
    assert undocumented(Registry()) == [
        "The column `luck` of cells has no description; write it beside its type."
    ]


def test_a_method_of_a_base_class_without_a_docstring_is_named(undocumented, monkeypatch):
    monkeypatch.setattr(Method, "hope", lambda self: None, raising=False)
    assert undocumented(Registry()) == ["Method.hope() has no docstring; write one in harness/core/base.py."]


def test_a_public_name_that_no_page_shows_is_named(undocumented, monkeypatch):
    names = [*dir(harness), "__doc__"]
    monkeypatch.setattr(harness, "__dir__", lambda: names)
    assert undocumented(Registry()) == [
        "harness.__doc__ is in no page of the reference; name it in docs/docgen/documented.py."
    ]


def test_a_method_without_rows_says_so_and_shows_its_settings(generator):
    made = generator["pages"].section(registry(Unwritten), "methods/unwritten.md")
    assert generator["pages"].MISSING in made
    assert "| `unwritten.weight` | number | `1.0` | weight of the term |" in made
