"""The house rules: who imports whom, how long files are, and what a plugin file looks like."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
HARNESS = sorted((ROOT / "harness").rglob("*.py"))
METHODS = [path for path in sorted((ROOT / "methods").glob("*.py")) if path.name != "__init__.py"]
PLUGINS = [
    *METHODS,
    *sorted((ROOT / "modifiers").glob("*.py")),
    *sorted((ROOT / "attacks").glob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted((ROOT / "analyses").glob("*.py")),
]
TAUGHT = [
    *sorted((ROOT / "examples").rglob("src/**/*.py")),
    *sorted((ROOT / "docs/examples").glob("*.py")),
    *(
        ROOT / f"harness/cli/templates/{kind}.py.txt"
        for kind in ("method", "attack", "benchmark", "analysis", "__init__")
    ),
]


def name(path):
    return path.relative_to(ROOT).as_posix()


def lint_imports(*arguments, folder=ROOT):
    tool = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [tool, "--no-cache", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_rooms_import_downwards_and_in_no_circle():
    ended = lint_imports()
    assert ended.returncode == 0, ended.stdout


def test_the_contracts_find_an_import_upwards_a_circle_and_a_room_that_is_not_placed(tmp_path):
    shutil.copytree(ROOT / "harness", tmp_path / "harness")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    upwards = tmp_path / "harness/core/upwards.py"
    upwards.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..engine import job\n")
    ended = lint_imports(folder=tmp_path)
    assert ended.returncode != 0
    assert "harness.core.upwards -> harness.engine" in ended.stdout
    upwards.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import around\n")
    (tmp_path / "harness/core/around.py").write_text("from . import upwards\n")
    ended = lint_imports(folder=tmp_path)
    assert ended.returncode != 0
    assert "around" in ended.stdout
    (tmp_path / "harness/core/around.py").unlink()
    upwards.unlink()
    (tmp_path / "harness/attic").mkdir()
    (tmp_path / "harness/attic/__init__.py").write_text("")
    ended = lint_imports(folder=tmp_path)
    assert ended.returncode != 0
    assert "attic" in ended.stdout


@pytest.mark.parametrize("path", [*HARNESS, *PLUGINS], ids=name)
def test_no_file_is_over_300_lines_and_no_class_over_150(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno - node.lineno < 150, node.name


def test_the_median_file_has_about_a_hundred_lines():
    lengths = [len(path.read_text().splitlines()) for path in HARNESS if path.name != "__init__.py"]
    assert median(lengths) <= 130


def test_every_room_says_what_it_is_for():
    for init in (ROOT / "harness").glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), name(init)


@pytest.mark.parametrize("path", [*PLUGINS, *TAUGHT], ids=name)
def test_a_plugin_needs_one_import_and_no_ceremony(path):
    text = path.read_text().replace("${plural}", "kinds").replace("$", "")
    assert "TYPE_CHECKING" not in text
    assert "noqa" not in text
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and not node.level and node.module.split(".")[0] == "harness":
            own = (
                "harness.methods",
                "harness.modifiers",
                "harness.attacks",
                "harness.benchmarks",
                "harness.analyses",
            )
            assert node.module == "harness" or node.module.startswith(own), f"line {node.lineno}"


def test_a_method_reads_like_its_equation():
    lengths = [len(path.read_text().splitlines()) for path in METHODS if not path.name.startswith("_")]
    assert median(lengths) <= 45
