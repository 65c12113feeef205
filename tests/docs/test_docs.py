"""The documentation is complete, builds without a warning, and its site needs nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Annotated, NamedTuple
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pytest
import typer
from filelock import FileLock
from pydantic import Field

import harness
from harness.core.base import Attack, Benchmark, Method
from harness.core.config import Config
from harness.core.types import Reported
from harness.plugins import hookspecs
from harness.plugins.discovery import DISTRIBUTION, Plugins
from harness.plugins.entry import Entry
from harness.plugins.hookspecs import hookspec
from harness.plugins.kinds import Kind
from harness.plugins.registry import Registry
from harness.plugins.settings import settings_of

ROOT = Path(harness.__file__).parents[1]
DOCS = ROOT / "docs"
NEEDED = ("mkdocs", "material", "mkdocstrings", "latex2mathml")

pytestmark = [
    pytest.mark.skipif(not (ROOT / "mkdocs.yml").is_file(), reason="no checkout: its docs/ is not installed"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in NEEDED),
        reason="the extra 'docs' is not installed",
    ),
]


@pytest.fixture(scope="session")
def generator() -> dict[str, ModuleType]:
    """The modules of docs/gen by name."""
    sys.path.insert(0, str(DOCS / "gen"))
    try:
        return {name: importlib.import_module(name) for name in ("complete", "pages", "reference")}
    finally:
        sys.path.remove(str(DOCS / "gen"))


# --- completeness


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
        "The method 'unwritten' has no page; write docs/methods/unwritten.md and name it in mkdocs.yml.",
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
        (tmp_path / "docs" / f"{kind}s").mkdir(parents=True)
        for name in entries:
            (tmp_path / "docs" / f"{kind}s" / f"{name}.md").touch()
    (tmp_path / "docs" / "attacks" / "charm.md").touch()
    assert undocumented(Registry(), docs=tmp_path / "docs") == [
        "docs/attacks/charm.md is about no attack there is; delete or rename it."
    ]


def test_a_hook_without_a_docstring_is_named(undocumented):
    specs = ModuleType("specs")
    exec("def register_judges(register): ...", vars(specs))
    hookspec(vars(specs)["register_judges"])
    assert undocumented(Registry(), specs=specs) == [
        "The hook register_judges has no docstring; write one in harness/hookspecs.py."
    ]


def test_a_command_and_an_option_without_help_are_named(undocumented):
    app = typer.Typer(help="A program.")
    app.callback()(lambda: None)
    app.command("silent", help="Says nothing.")(lambda aloud=False: None)

    @app.command("bare")
    def bare(name: Annotated[str, typer.Argument(help="Whom.")]) -> None: ...

    problems = undocumented(Registry(), app=app)
    assert problems == [
        "--aloud of `harness silent` has no help; write help=... in harness/cli.py.",
        "The command `harness bare` has no help; write its docstring in harness/cli.py.",
    ]


def test_a_column_without_a_description_is_named(undocumented, generator, monkeypatch):
    monkeypatch.setitem(generator["reference"].TABLES, "cells", pa.schema([("luck", pa.float64())]))
    assert undocumented(Registry()) == [
        "The column `luck` of cells has no description; write it beside its type."
    ]


def test_a_method_of_a_base_class_without_a_docstring_is_named(undocumented, monkeypatch):
    monkeypatch.setattr(Method, "hope", lambda self: None, raising=False)
    assert undocumented(Registry()) == ["Method.hope() has no docstring; write one in harness/base.py."]


# --- the site


class Page(NamedTuple):
    """What a page of the site holds."""

    text: str
    ids: set[str]
    links: list[str]
    resources: list[str]
    """What a browser fetches to show it."""


class Reader(HTMLParser):
    """Collects ids, links and resources."""

    LOADED = ("stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload")

    def __init__(self) -> None:
        super().__init__()
        self.page = Page("", set(), [], [])
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.page.ids.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.page.links.append(given["href"])
        self.page.resources.extend(
            given[name] for name in ("src", "srcset", "poster", "data") if name in given
        )
        if tag == "link" and set(given.get("rel", "").split()) & set(self.LOADED):
            self.page.resources.append(given["href"])

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id) -> Path:
    """The site, built once for all processes that test. Warnings are errors."""
    shared = tmp_path_factory.getbasetemp()
    place = (shared if worker_id == "master" else shared.parent) / "site"
    with FileLock(f"{place}.lock"):
        if not place.is_dir():
            built = subprocess.run(
                [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)],
                cwd=ROOT,
                env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
                capture_output=True,
                text=True,
            )
            assert built.returncode == 0, built.stdout + built.stderr
            assert "WARNING" not in built.stderr
    return place


@pytest.fixture(scope="session")
def pages(site) -> dict[str, Page]:
    """Every page by its path within the site."""
    found = {}
    for path in site.rglob("*.html"):
        reader = Reader()
        reader.feed(path.read_text())
        found[path.relative_to(site).as_posix()] = reader.page._replace(text="".join(reader.words))
    return found


def test_every_link_within_the_site_leads_somewhere(site, pages):
    lost = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or name == "404.html":
                continue
            path = (site / name).parent / unquote(parts.path) if parts.path else site / name
            target = os.path.relpath(os.path.normpath(path), site)
            target = target if target.endswith(".html") else os.path.normpath(f"{target}/index.html")
            if target not in pages and not Path(path).is_file():
                lost.append(f"{name}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                lost.append(f"{name}: {link} (no such anchor)")
    assert lost == []


def test_nothing_is_fetched_from_elsewhere(site, pages):
    fetched = {f"{name}: {url}" for name, page in pages.items() for url in page.resources
               if urlsplit(url).netloc}  # fmt: skip
    for path in site.rglob("*.css"):
        urls = re.findall(r"""(?:url\(|@import\s)\s*["']?([^"')\s]+)""", path.read_text())
        fetched |= {f"{path.name}: {url}" for url in urls if urlsplit(url).netloc}
    assert fetched == set()


PLUGINS = [(kind, name) for kind, entries in Registry().kinds.items() for name, entry in entries.items()
           if entry.distribution == DISTRIBUTION]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_every_plugin_has_a_page_with_its_settings(kind, name, pages):
    page = pages[f"{kind}s/{name}.html"]
    cls = Registry().kinds[kind][name].load()
    missing = [s for s in settings_of(cls) if f"{name}.{s}" not in page.text]
    assert missing == []
    assert page.text.count(f"{name}.html") == 0
    assert any(link.endswith(f"{name}.html") for link in pages[f"{kind}s/index.html"].links)


METHODS = [name for kind, name in PLUGINS if kind == "method"]


@pytest.mark.parametrize("name", METHODS)
def test_the_page_of_a_method_has_equation_cost_and_rows(name, site, pages, generator):
    source = (site / "methods" / f"{name}.html").read_text()
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in source
    page = pages[f"methods/{name}.html"]
    assert {"settings", "cost", "its-rows"} <= page.ids
    rows = [row for row in generator["pages"].leaderboard() if row["method"] == name]
    assert (generator["pages"].MISSING.strip() in page.text) == (not rows)
    for row in rows:
        value = row["forget_before" if row["attack"] == "none" else "score"]
        assert value is None or f"{value:.3f}" in page.text
        assert row["attack"] in page.text


def test_a_method_without_rows_says_so_and_shows_its_settings(generator):
    made = generator["pages"].section(registry(Unwritten), "methods/unwritten.md")
    assert generator["pages"].MISSING in made
    assert "| `unwritten.weight` | number | `1.0` | weight of the term |" in made


def test_every_metric_of_every_benchmark_is_explained(pages, generator):
    page, anchor = pages["reference/metrics.html"], generator["pages"].anchor
    reports = [r for entry in Registry().benchmarks.values() for r in entry.load().reports]
    assert {anchor(reported.metric) for reported in reports} <= page.ids
    missing = [r for r in reports if f"{r.formula.__module__}.{r.formula.__qualname__}" not in page.text]
    assert missing == []


def test_two_metrics_never_share_an_anchor(generator):
    metrics = {r.metric for entry in Registry().benchmarks.values() for r in entry.load().reports}
    assert len({generator["pages"].anchor(metric) for metric in metrics}) == len(metrics)


def test_every_hook_is_in_the_reference_with_its_signature(pages):
    page = pages["reference/hooks.html"]
    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    assert {kind.hook for kind in Kind} == set(hooks) <= page.ids
    for name in hooks:
        assert f"{name}(register" in page.text
        assert getattr(hookspecs, name).__doc__.split("``")[0] in page.text


@pytest.mark.parametrize("cls", [Method, Attack, Benchmark])
def test_whatever_can_be_overridden_is_in_the_reference(cls, pages):
    ids = pages["reference/classes.html"].ids
    members = [name for name in (*vars(cls), *cls.__annotations__) if not name.startswith("_")]
    assert [name for name in members if f"harness.core.base.{cls.__name__}.{name}" not in ids] == []


def test_every_command_and_option_is_in_the_reference(pages, generator):
    page = pages["reference/cli.html"]
    for path, command in generator["reference"].commands(typer.main.get_command(harness.cli.main.app)):
        assert path.replace(" ", "-") in page.ids
        for names, _ in generator["reference"].parameters(command):
            assert names in page.text


def test_every_column_is_in_the_reference(pages, generator):
    text = pages["reference/tables.html"].text
    for schema in generator["reference"].TABLES.values():
        for field in schema:
            assert field.name in text
            assert field.metadata[b"description"].decode() in " ".join(text.split())


def test_the_readme_leads_to_the_documentation():
    readme = (ROOT / "README.md").read_text()
    for page in ("tutorial/first-row.md", "methods/index.md", "howto/own-model.md"):
        assert f"](docs/{page})" in readme
        assert (DOCS / page).is_file()
    assert "make docs" in readme
