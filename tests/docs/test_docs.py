"""The documentation builds without a warning, shows all there is, and needs nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
import typer
from filelock import FileLock

import harness
from harness.core.base import Attack, Method
from harness.core.benchmark import Benchmark
from harness.plugins import hookspecs
from harness.plugins.discovery import DISTRIBUTION
from harness.plugins.kinds import Kind
from harness.plugins.registry import Registry
from harness.plugins.settings import settings_of

ROOT = Path(harness.__file__).parents[1]
DOCS = ROOT / "docs"

pytestmark = pytest.mark.xdist_group("site")  # nobody waits for the site but who looks at it


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
def site(tmp_path_factory, worker_id, generator) -> Path:
    """The site, built once for all processes that test. Warnings are errors."""
    shared = tmp_path_factory.getbasetemp()
    place = (shared if worker_id == "master" else shared.parent) / "site"
    with FileLock(f"{place}.lock"):
        if not place.is_dir():
            pages = place.with_name("pages")
            built = subprocess.run(
                [sys.executable, DOCS / "make.py", "--pages", pages, "--site", place],
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


@pytest.mark.parametrize("board", ["leaderboard", "leaderboard/real"])
def test_names_on_a_board_of_the_site_link_to_its_pages(site, board):
    html = (site / board / "index.html").read_text()
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    told = json.loads(data)["documentation"]
    assert {"methods/gd", "attacks/prompt", "protocol"} <= set(told["pages"])
    where = [site / board / f"{told['base']}{page}{told['suffix']}" for page in told["pages"]]
    assert [path for path in where if not path.is_file()] == []


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
    folder = Kind(kind).plural
    page = pages[f"{folder}/{name}.html"]
    cls = Registry().kinds[kind][name].load()
    missing = [s for s in settings_of(cls) if f"{name}.{s}" not in page.text]
    assert missing == []
    assert page.text.count(f"{name}.html") == 0
    assert any(link.endswith(f"{name}.html") for link in pages[f"{folder}/index.html"].links)


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
def test_whatever_can_be_overridden_is_in_the_reference(cls, pages, generator):
    ids = pages["reference/classes.html"].ids
    members = [name for name in (*vars(cls), *cls.__annotations__) if not name.startswith("_")]
    assert [name for name in members if f"{generator['api'].path(cls)}.{name}" not in ids] == []


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


def test_the_notebook_and_the_leaderboard_are_pages(site, pages):
    assert "24 of 24 cells" in pages["notebooks/first_run.html"].text
    pictures = [url for url in pages["notebooks/first_run.html"].resources if url.endswith(".png")]
    assert len(pictures) == 2
    assert all((site / "notebooks" / url).is_file() for url in pictures)
    assert "leaderboard/index.html" in pages["leaderboard.html"].links
    assert {"notebooks/first_run.html", "leaderboard.html"} <= set(pages["index.html"].links)


def test_no_sign_of_the_sources_is_left_in_a_page(pages):
    """Neither a line that includes a file, nor a role of Sphinx, nor TeX between dollars.

    The pages of leaderboards are made of no sources, and hold what models wrote.
    """
    left = re.compile(r"--8<--|:(?:func|class|meth|attr|mod):|\$\\?\w[^$\n]*\$")
    made = {
        name: page for name, page in pages.items() if not re.match(r"leaderboard/(real/)?index\.html", name)
    }
    assert {name: left.findall(page.text) for name, page in made.items() if left.search(page.text)} == {}


def test_the_readme_leads_to_the_documentation():
    readme = (ROOT / "README.md").read_text()
    for page in ("tutorial/first-row.md", "methods/index.md", "howto/own-model.md"):
        assert f"](docs/{page})" in readme
        assert (DOCS / page).is_file()
    assert "make docs" in readme
