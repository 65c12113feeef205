"""No model's cells depend on what another plugin did: each unlearned model has a process of its own."""

from __future__ import annotations

import sys

import pytest

import harness.engine.targets
import harness.scoring.scorer
from support.results import numbers, rows, total

METHODS = ("spoiler", "exiter", "vanisher", "leaver", "quitter", "interrupter")
CLASS = '''class {title}(Ender):
    """Ends or spoils its process."""

    name = "{name}"
'''
FILE = '''
import os
import sys

import torch

import harness.scoring.scorer
from harness import Attack, Config, Method


class Settings(Config):
    """Nothing to set."""


def spoil(job):
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    os.chdir("/")
    object.__setattr__(job.subject.splits["forget"][0], "answer", "no")
    harness.scoring.scorer.Scorer.measure = lambda self, wanted: []
    job.model.lm_head.register_forward_hook(lambda module, inputs, logits: -logits)


class Quit(BaseException):
    """No Exception."""


def quits(job):
    raise Quit("that's it")


def interrupts(job):
    raise KeyboardInterrupt


ENDS = {
    "spoiler": spoil,
    "exiter": lambda job: sys.exit(0),
    "vanisher": lambda job: os._exit(0),
    "leaver": lambda job: os._exit(3),
    "quitter": quits,
    "interrupter": interrupts,
}


class Ender(Method):
    """Ends or spoils its process."""

    name = "ender"
    seeded = False
    Config = Settings

    def unlearn(self, job):
        if self.name in ENDS:
            ENDS[self.name](job)


CLASSES


class Bad(Attack):
    """Ends or spoils what it can."""

    name = "bad"
    reads = frozenset({"forget"})
    variants = {name: {"how": name} for name in ENDS}

    class Config(Config):
        how: str = "spoiler"

    def attack(self, job):
        job.checkpoint()
        ENDS[self.config.how](job)
'''.replace("CLASSES", "\n\n".join(CLASS.format(title=name.title(), name=name) for name in METHODS))
WHAT = {
    "spoiler": "left things other than it found them: hooks: lm_head was 0 and is 1",
    "exiter": "A plugin must not end the process, and raised SystemExit: 0",
    "vanisher": "ended itself with exit code 0",
    "leaver": "ended itself with exit code 3",
    "quitter": "A plugin must not end the process, and raised Quit: that's it",
    "interrupter": "A plugin must not end the process, and raised KeyboardInterrupt",
}


@pytest.fixture
def plugin(world):
    path = world.folder / "bad_plugins.py"
    path.write_text(FILE)
    return path


def good(found, like):
    """The tables without failed cells, and of those of ``like`` the same."""
    keys = {row["key"] for row in found["cells"] if row["status"] == "ok"}
    return [
        {
            name: [row for row in tables[name] if row["key"] in keys]
            for name in ("cells", "metrics", "samples")
        }
        for tables in (found, like)
    ]


def test_what_a_method_does_to_its_process_reaches_no_other_model(undisturbed, world, plugin):
    names = ",".join([*METHODS, "gd"])
    ended = world.run(names, "nudge", "stub", "--jobs", 2, "--plugin", plugin, seeds=2)
    assert ended.code == 1
    assert total(ended.out) == (6 * 6 + 24, 0)
    failed = rows(world.path(), status="failed")
    assert {row["method"] for row in failed} == {*METHODS}
    assert len(failed) == 36
    for row in failed:
        assert WHAT[row["method"]] in row["error_message"], row
    ours, theirs = good(numbers(world.path()), undisturbed)
    assert len(ours["cells"]) == 24
    assert ours == theirs


def test_what_an_attack_does_reaches_no_other_cell_of_its_model(undisturbed, world, plugin):
    ended = world.run("gd", "bad,nudge", "stub", "--plugin", plugin, seeds=1, controls=False)
    assert ended.code == 1
    failed = rows(world.path(), status="failed")
    assert [row["variant"] for row in sorted(failed, key=lambda row: row["variant"])] == sorted(METHODS)
    for row in failed:
        assert WHAT[row["variant"]] in row["error_message"], row
    ours, theirs = good(numbers(world.path()), undisturbed)
    assert len(ours["cells"]) == 3
    assert ours == theirs


def test_the_exit_code_says_that_a_cell_failed_and_the_next_run_tries_it_again(world, plugin):
    run = ("gd", "bad:vanisher,nudge:small", "stub", "--plugin", plugin)
    first = world.run(*run, seeds=1, controls=False)
    assert (first.code, total(first.out)) == (1, (3, 0))
    plugin.write_text(FILE.replace("lambda job: os._exit(0)", "lambda job: None"))
    again = world.run(*run, seeds=1, controls=False)
    assert again.code == 0, again.err
    assert len(rows(world.path(), status="ok")) == 3


BENCHMARK = '''
import sys

from stub_plugin.benchmarks import Stub


class Rough(Stub):
    """The stub, which fails before there are cells."""

    name = "rough"

    def load(self):
        {load}

    def training(self, splits):
        {training}
'''
FINE = {"load": "return super().load()", "training": "return super().training(splits)"}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"load": "sys.exit(0)"}, "A plugin must not end the process, and raised SystemExit: 0"),
        ({"load": "raise OSError('no disk')"}, "no disk (rough.py, line 13)"),
        ({"load": "return {'forget': ()}"}, "its load() must return Splits, and returns dict"),
        ({"training": "return 1 / 0"}, "division by zero (rough.py, line 16)"),
    ],
)
def test_a_benchmark_that_fails_before_there_are_cells_is_one_sentence(world, broken, says):
    path = world.folder / "rough.py"
    path.write_text(BENCHMARK.format(**FINE | broken))
    ended = world.run("none", "none", "rough", "--plugin", path, controls=False)
    assert ended.code == 2
    assert ended.sentence.startswith("The benchmark 'rough' cannot be used: ")
    assert says in ended.sentence
    assert len(ended.err.splitlines()) == 1


def test_a_plugin_that_ends_the_process_while_a_target_is_trained_ends_the_run_with_a_sentence(
    world, monkeypatch
):
    world.cache = world.folder / "cache"
    monkeypatch.setattr(harness.engine.targets, "fit", lambda *_: sys.exit(0))
    ended = world.run("none", "none", "stub", controls=False)
    assert ended.code == 2
    assert "A plugin must not end the process, and raised SystemExit: 0" in ended.sentence


def test_a_file_that_changes_the_engine_when_it_is_imported_ends_the_run(world):
    path = world.folder / "patch.py"
    path.write_text(FILE + "\n\nharness.scoring.scorer.Scorer.measure = lambda self, wanted: []\n")
    ended = world.start("none", "none", "stub", "--plugin", path, controls=False, spawn=True).wait()
    assert ended.code == 2
    assert "Importing the plugins changes what all share: harness.scoring.scorer.Scorer.measure" in ended.err
    assert "Traceback" not in ended.err
    assert rows(world.path()) == []
