"""`harness new` writes a package that is in order, keeps the rules, and runs; and refuses what cannot be."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.cli import scaffold
from harness.plugins.files import read
from harness.testing import examine
from support.command import harness_cli

KINDS = ("method", "modifier", "attack", "benchmark", "analysis")
NAMES = ("my_method", "a-b-2", "method", "attack-config", "a_rather_long_name")


def ruff(*arguments, cwd):
    """Ruff with its own rules and some common ones, or with what the package itself says."""
    return subprocess.run([sys.executable, "-m", "ruff", *arguments], cwd=cwd, capture_output=True, text=True)


def written(kind, name, into):
    files, commands = scaffold.write(kind, name, into)
    return {file.relative_to(into / name).as_posix(): file for file in files}, commands


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_in_order(kind, name, tmp_path):
    files, _ = written(kind, name, tmp_path)
    module = name.replace("-", "_")
    assert set(files) == {
        "pyproject.toml",
        "README.md",
        f"src/{module}/__init__.py",
        f"src/{module}/{kind}.py",
        f"tests/test_{module}.py",
    }
    assert not any("$" in file.read_text() for file in files.values())
    project = tomllib.loads(files["pyproject.toml"].read_text())["project"]
    assert project["entry-points"]["unlearning_harness"] == {module: module}
    assert project["requires-python"] == ">=3.11"
    for arguments in (("format", "--check"), ("check", "--select", "E,F,W,I,B,UP,RUF")):
        done = ruff(*arguments, "--no-cache", ".", cwd=tmp_path / name)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_keeps_the_rules(kind, tmp_path):
    files, _ = written(kind, f"my_{kind}", tmp_path)
    [file] = read([files[f"src/my_{kind}/{kind}.py"]])
    [entry] = file.entries()
    assert (entry.kind, entry.name) == (kind, f"my_{kind}")
    assert [str(r) for r in examine(entry.target) if r.status != "ok"] == []


def test_its_own_test_checks_it_and_its_hook_names_it(tmp_path):
    files, _ = written("method", "my_method", tmp_path)
    test = ast.parse(files["tests/test_my_method.py"].read_text())
    assert [node.name for node in test.body if isinstance(node, ast.FunctionDef)] == [
        "test_it_keeps_the_rules"
    ]
    said = files["src/my_method/__init__.py"].read_text()
    assert 'register("my_method", f"{__name__}.method:MyMethod")' in said


def test_a_class_never_hides_what_it_is_made_of():
    assert scaffold.class_name("method", "my-method_2") == "MyMethod2"
    assert scaffold.class_name("method", "method") == "MethodMethod"
    assert scaffold.class_name("benchmark", "fact") == "FactBenchmark"


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path):
    ended = harness_cli("new", "attack", "mine", "--into", tmp_path)
    assert ended.code == 0
    assert str(tmp_path / "mine" / "src" / "mine" / "attack.py") in ended.out
    place = tmp_path / "mine"
    for command in (
        f"pip install -e {place}",
        "harness check mine",
        "harness run --methods gd --attacks mine",
    ):
        assert command in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("method", "My Method"), ["'My Method' is no name"]),
        (("method", "-mine"), []),
        (("method", "gd"), ["There is a method 'gd' already, of unlearning-harness"]),
        (("attack", "none"), ["'none' is a word of the command line"]),
        (("method", "3d"), ["'3d' cannot be the name of a Python package"]),
        (("method", "class"), ["'class' cannot be the name"]),
        (("method", "mine-"), ["'mine_' cannot be the name"]),
        (("method", "torch"), ["There is a Python module 'torch' already"]),
        (("methods", "mine"), ["method", "attack", "benchmark"]),
    ],
    ids=str,
)
def test_a_name_that_cannot_be_is_one_sentence_and_nothing_is_written(arguments, words, tmp_path):
    ended = harness_cli("new", "--into", tmp_path, *arguments)
    assert ended.code == 2
    assert all(word in ended.err for word in words), ended.err
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    ended = harness_cli("new", "method", "mine", "--into", tmp_path)
    assert ended.code == 2
    assert "is there already" in ended.err
    assert not list((tmp_path / "mine").iterdir())


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    ended = harness_cli("new", "method", "mine", "--into", tmp_path / "file")
    assert ended.code == 2
    assert "cannot be written" in ended.err


def test_checking_a_directory_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scaffold.write("method", "mine", Path())
    ended = harness_cli("check", "mine")
    assert ended.code == 2
    assert "pip install -e mine" in ended.err
