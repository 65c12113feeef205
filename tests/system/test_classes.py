"""Classes passed to ``harness.run``: from a module, a script, a notebook, and from nowhere."""

from __future__ import annotations

import linecache
import re
import subprocess
import sys
import textwrap
from itertools import count

import pytest

import harness
from harness import Attack, Config, Method
from harness.core.fingerprint import source_fingerprint
from harness.errors import PluginError

CELLS = count()
CELL = '''
import torch
from harness import Attack, Config, Method

FACTOR = 0.5


def shrink(parameter, by=FACTOR):
    parameter.mul_(by)


class Scale(Method):
    """Makes every weight smaller."""

    name = "scale"
    Config = Config

    @torch.no_grad()
    def unlearn(self, job):
        for parameter in job.model.parameters():
            shrink(parameter)


class Look(Attack):
    """Looks once."""

    name = "look"

    def attack(self, job):
        job.checkpoint()
'''


class Halve(Method):
    """Halves every weight."""

    name = "halve"
    Config = Config

    def unlearn(self, job):
        for parameter in job.model.parameters():
            parameter.data.mul_(0.5)


class Peek(Attack):
    """Looks once."""

    name = "peek"

    def attack(self, job):
        job.checkpoint()


@pytest.fixture
def options(world):
    """A run of the stub that is as quick as it can be."""
    places = {"model": world.model, "cache": world.cache, "results": world.path()}
    return {"benchmarks": "stub", "seeds": 1, "jobs": 1, "controls": False, "progress": False} | places


def cell(text):
    """What a cell of a notebook defines: its text is in no file, and Python knows it all the same."""
    name = f"<cell {next(CELLS)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    scope = {"__name__": "notebook_without_a_file"}
    exec(compile(text, name, "exec"), scope)
    return scope


def status(found):
    return {(row["method"], row["attack"], row["status"]) for row in found.cells.to_pylist()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_classes_of_a_module_run_beside_names(options, jobs):
    found = harness.run(["none", Halve], [Peek, "nudge:small"], **{**options, "jobs": jobs})
    expected = {(m, a, "ok") for m in ("none", "halve") for a in ("none", "peek", "nudge")}
    assert status(found) == expected
    owners = {row["method_plugin"] for row in found.cells.to_pylist() if row["method"] == "halve"}
    assert owners == {f"{__name__} {source_fingerprint(Halve)[:12]}"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_classes_of_a_notebook_run_in_workers_too(options, jobs):
    scope = cell(CELL)
    found = harness.run([scope["Scale"]], [scope["Look"]], **{**options, "jobs": jobs})
    assert status(found) == {("scale", "none", "ok"), ("scale", "look", "ok")}


def test_a_benchmark_may_be_a_class(options):
    from stub_plugin.benchmarks import Stub

    class Renamed(Stub):
        """The stub by another name."""

        name = "renamed"

        def threshold(self, splits):
            """Half."""
            return 0.5

    found = harness.run("none", "none", **{**options, "benchmarks": [Renamed]})
    assert set(found.cells["benchmark"].to_pylist()) == {"renamed"}


def test_the_key_follows_the_source_and_the_helpers_of_a_cell():
    first = source_fingerprint(cell(CELL)["Scale"])
    assert source_fingerprint(cell(CELL)["Scale"]) == first
    assert source_fingerprint(cell("# another cell\n" + CELL)["Scale"]) == first
    changes = [
        ("every weight smaller", "it smaller"),
        ("FACTOR = 0.5", "FACTOR = 0.6"),
        ("mul_(by)", "mul_(by )"),
    ]
    others = {source_fingerprint(cell(CELL.replace(*change))["Scale"]) for change in changes}
    assert len(others - {first}) == 3
    assert source_fingerprint(cell(CELL.replace('"look"', '"lock"'))["Scale"]) == first


def test_what_no_key_can_be_made_of_is_refused():
    text = CELL.replace("FACTOR = 0.5", "FACTOR = torch.ones(())")
    with pytest.raises(PluginError, match=r"Scale uses 'FACTOR', a Tensor that no key can be made of: "):
        source_fingerprint(cell(text)["Scale"])


def test_a_class_without_source_is_refused_in_one_sentence(options):
    scope = {"__name__": "__main__"}
    exec(CELL, scope)
    with pytest.raises(PluginError, match=r"The source of __main__\.Scale cannot be read, .* in a file\.$"):
        harness.run([scope["Scale"]], "none", **options)


def test_an_installed_class_is_what_its_name_is(options):
    from stub_plugin.nudge import Nudge

    by_name = harness.run("none", "nudge", **options)
    by_class = harness.run("none", [Nudge], **options)
    assert by_class.cells["key"].to_pylist() == by_name.cells["key"].to_pylist()


def test_a_name_that_is_taken_is_refused(options):
    class Taken(Halve):
        """Is called as another method is."""

        name = "gd"

    with pytest.raises(PluginError, match="the method 'gd' is already registered by unlearning-harness"):
        harness.run([Taken], "none", **options)


def test_a_class_may_be_selected_by_name(options):
    found = harness.run("halve", "none", plugins=[Halve], **options)
    assert status(found) == {("halve", "none", "ok")}
    [kept] = (options["results"] / "runs").iterdir()
    assert re.search(r"^# Not in any file.*Halve$", kept.read_text(), re.MULTILINE)
    again = harness.run(config=kept, plugins=[Halve], **{**options, "results": options["results"]})
    assert again.cells["key"].to_pylist() == found.cells["key"].to_pylist()


SCRIPT = """
found = harness.run(
    ["none", Scale], [Look], "stub", seeds=1, jobs={jobs}, controls=False, progress=False,
    model={model!r}, cache={cache!r}, results={results!r},
)
print(found.cells.num_rows, found.failed.num_rows)
"""


def script(world, jobs):
    places = {"model": str(world.model), "cache": str(world.cache), "results": str(world.path())}
    return textwrap.dedent(f"import harness\n{CELL}\n{SCRIPT.format(jobs=jobs, **places)}")


def test_classes_of_a_script_run_in_workers(world):
    path = world.folder / "script.py"
    path.write_text(script(world, 2))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("4 0\n", "")


def test_a_script_that_is_piped_into_python_has_no_source(world):
    ended = subprocess.run(
        [sys.executable, "-"], input=script(world, 1), capture_output=True, text=True, timeout=120
    )
    if ended.returncode:  # before Python 3.13 nothing keeps the text
        assert "The source of __main__.Scale cannot be read" in ended.stderr.splitlines()[-1]
    else:
        assert ended.stdout == "4 0\n"
