"""`--plugin FILE` makes a file's plugins usable at once, in worker processes too, and says what is wrong."""

from __future__ import annotations

import json
import sys

import pytest

from harness.core.fingerprint import source_fingerprint
from harness.errors import PluginError
from harness.plugins import files, uninstalled
from support.command import harness_cli
from support.results import rows

SCALE = '''
"""Scaling."""

from dataclasses import dataclass

import torch
from harness.core.base import Attack, Config, Method


@dataclass
class Helper:
    by: float = 0.5


class Base(Method):
    """Has no name, so it is not registered."""


class Scale(Base):
    """Makes every weight smaller."""

    name = "scale"
    Config = Config

    @torch.no_grad()
    def unlearn(self, job):
        for parameter in job.model.parameters():
            parameter.mul_(Helper().by)


class Look(Attack):
    """Looks once."""

    name = "look"

    def attack(self, job):
        job.checkpoint()
'''

HOOKED = (
    SCALE
    + """
import harness


@harness.hookimpl
def register_methods(register):
    register("scale", Scale)
"""
)


@pytest.fixture
def file(tmp_path):
    """Write a plugin file."""

    def write(text=SCALE, name="scale.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def registry(*paths):
    return uninstalled.registry(files.read(paths))


def test_every_class_with_a_name_is_registered(file):
    path = file()
    found = registry(path)
    [method] = [entry for entry in found.methods.values() if entry.distribution == "scale.py"]
    assert method.load().name == "scale"
    assert found.attack("look").summary() == "Looks once."
    assert method.version == files.read([path])[0].digest[:12]


def test_a_file_with_a_hook_registers_what_the_hook_says(file):
    found = registry(file(HOOKED))
    assert "scale" in found.methods
    assert "look" not in found.attacks


def test_the_same_content_has_the_same_key_wherever_it_lies_and_another_content_another(file):
    def fingerprint(path):
        return source_fingerprint(registry(path).method("scale").load())

    first = fingerprint(file(name="a/scale.py"))
    assert fingerprint(file(name="b/scale.py")) == first
    assert fingerprint(file(SCALE.replace("0.5", "0.6"), name="b/scale.py")) != first


def test_a_file_that_changes_after_the_command_began_is_refused(file):
    path = file()
    read = files.read([path])
    file(SCALE.replace("0.5", "0.7"))
    with pytest.raises(PluginError, match="changed after this run began"):
        uninstalled.registry(read)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class Scale(", ["SyntaxError", "scale.py, line 1"]),
        ("import a_module_that_is_not_there", ["ModuleNotFoundError", "a_module_that_is_not_there"]),
        ("raise SystemExit(3)", ["SystemExit"]),
        ("x = 1", ["holds no plugin", "`name`"]),
        (SCALE.replace('"scale"', '"gd"'), ["'gd' is already registered by unlearning-harness"]),
        (SCALE.replace('"scale"', '"Scale!"'), ["'Scale!' is no name"]),
        (HOOKED.replace("(register):", "(registre):"), ["PluginValidationError", "registre"]),
    ],
    ids=["syntax", "import", "exit", "nothing", "taken", "name", "hook"],
)
def test_what_is_wrong_with_a_file_is_one_sentence(file, text, words):
    ended = harness_cli("list", "--plugin", file(text))
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert all(word in ended.err for word in [*words, "scale.py"]), ended.err


def test_a_file_that_cannot_be_loaded_leaves_no_module_behind(file):
    before = set(sys.modules)
    harness_cli("list", "--plugin", file("raise ValueError"))
    assert not {name for name in set(sys.modules) - before if name.startswith("scale")}


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone.py", "no such Python file"), ("notes.txt", "no such Python file"), ("", "pip install")],
)
def test_what_is_no_python_file_is_refused(tmp_path, name, words):
    (tmp_path / "notes.txt").touch()
    ended = harness_cli("show", "gd", "--plugin", tmp_path / name)
    assert ended.code == 2
    assert words in ended.err


def test_notes_that_cannot_be_written_fail_their_cell_and_no_other(world, file):
    path = file(SCALE.replace("job.checkpoint()", 'job.checkpoint(); job.notes["seen"] = {1}'))
    ended = world.run("scale", "look,nudge", "stub", "--plugin", path, seeds=1, controls=False)
    assert ended.code == 1, ended.err
    [failed] = rows(world.path(), status="failed")
    assert failed["attack"] == "look"
    assert "notes cannot be written as JSON" in failed["error_message"]
    assert len(rows(world.path(), status="ok")) == 3


def test_it_is_listed_and_shown(file):
    path = file()
    told = json.loads(harness_cli("list", "--plugin", path, "--json").out)
    assert "Makes every weight smaller." in json.dumps(told)
    assert "method scale" in harness_cli("show", "scale", "--plugin", path).out
    assert harness_cli("show", "scale").code == 2


def test_it_runs_in_worker_processes_that_start_from_nothing(world, file):
    path = file()
    digest = files.read([path])[0].digest[:12]
    ended = world.start(
        *("scale", "look", "stub", "--plugin", path, "--jobs", 2), spawn=True, seeds=1, controls=False
    ).wait()
    assert ended.code == 0, ended.err
    found = rows(world.path())
    assert [row["status"] for row in found] == ["ok", "ok"]
    assert {row["method_plugin"] for row in found} == {f"scale.py {digest}"}
    again = world.run("scale", "look", "stub", "--plugin", path, seeds=1, controls=False)
    assert "of which 2 are in" in again.out
