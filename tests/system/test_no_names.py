"""No room knows a plugin or a metric by name: what belongs to a benchmark is asked of it, or stored."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.fingerprint import HARNESS
from harness.core.names import CONTROLS
from harness.plugins.registry import Registry

ROOMS = ("core", "model", "scoring", "engine", "store", "plugins", "runner", "leaderboard", "report", "cli")

ALLOWED = {
    ("model/__init__.py", "lora"),  # the module that adds LoRA adapters, for methods and attacks alike
    ("model/__init__.py", "lens"),  # the module that reads a model layer by layer
    ("report/analysis_plots.py", "influence"),  # pictures of the built-in analyses: each knows its numbers
    ("report/analysis_plots.py", "lens"),
    ("report/analysis_plots.py", "stability"),
    ("cli/planted.py", "influence"),  # the analyses that score single units, as the planted world asks
    ("leaderboard/invariants.py", "sample"),  # a row of the table of samples
    ("runner/options.py", "faithun-mini"),  # the benchmarks of a run that names none, documented as such
    ("runner/options.py", "tofu-mini"),
}
"""Where a name of a plugin stands: as another word, or as the default of an option."""

WORDS = {"steps", "weights"}
"""Analyses that are called what other things are called, too."""

FIGURES = {("report/analysis_plots.py", "accuracy")}
"""What an analysis calls a figure of its own."""

COLUMNS = {
    "exact_match",  # a column of the leaderboard, null without such a metric; and one of lm-eval's accuracies
    "utility",  # what a benchmark's aggregates() call what fills `utility_before`; also of lm-eval
}
"""Metrics that may be named, in the rooms above the engine: the board has columns of them."""


def strings(file: Path) -> Iterator[str]:
    """Every string constant of a source file but docstrings and the names of functions in __all__."""
    tree = ast.parse(file.read_text())
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            left_out |= {id(name) for name in ast.walk(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def named(room: str, names: set[str]) -> set[tuple[str, str]]:
    """Where in a room one of ``names`` is a string."""
    return {
        (file.relative_to(HARNESS).as_posix(), text)
        for file in (HARNESS / room).rglob("*.py")
        for text in strings(file)
        if text in names
    }


@pytest.fixture(scope="module")
def registry():
    return Registry()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_no_plugin_but_the_controls(registry, room):
    plugins = {name for entries in registry.kinds.values() for name in entries} - {*CONTROLS}
    assert {"gd", "rtt", "faithun-mini"} <= plugins
    assert named(room, plugins - WORDS) <= ALLOWED


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_no_metric_but_those_that_are_columns(registry, room):
    benchmarks = registry.kinds["benchmark"].values()
    metrics = {report.metric for entry in benchmarks for report in entry.load()().reports}
    assert {"rouge_l", "accuracy", "UA+", "privleak"} <= metrics
    allowed = COLUMNS if room in ("runner", "leaderboard", "report", "cli") else set()
    found = named(room, metrics - allowed)
    assert found <= {("core/names.py", "utility"), *FIGURES}


def test_a_name_would_be_found(tmp_path):
    file = tmp_path / "room.py"
    file.write_text('"""Docstring."""\nx = {"rouge_l": f"{1} gd"}\n"""bare"""\n')
    assert sorted(strings(file)) == [" gd", "rouge_l"]
