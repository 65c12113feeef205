"""``harness.run`` and ``harness.load``: the command line's options as arguments, and tables as the result."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
import textwrap

import harness.runner.command
import pyarrow as pa
import pytest
import typer

import harness
import harness.cli.main
from harness.errors import ConfigError, HarnessError, StoreError
from support.results import committed
from support.stub import SETTINGS

GD = {f"gd.{name}": value for name, value in SETTINGS["gd"].items()}


@pytest.fixture
def stub(world):
    """``stub(methods, attacks, **options)``: ``harness.run`` on the stub, as quick as it can be."""

    def run(methods=("none", "gd"), attacks="nudge", **options):
        places = {"model": world.model, "cache": world.cache, "results": world.path()}
        chosen = {"benchmarks": "stub", "seeds": 1, "jobs": 1, "controls": False, "progress": False}
        settings = GD if "gd" in methods else {}
        return harness.run(methods, attacks, **({"settings": settings} | places | chosen | options))

    return run


FORMS = {
    "import harness; run = harness.run",
    "import harness; import harness.runner.pool; run = harness.run",
    "import harness.run; run = harness.run",
    "import harness.run as run",
    "from harness import run",
    "from harness.run import ModelUnderTest; import harness; run = harness.run",
    "import sys, harness.run; run = sys.modules['harness.run']",
    "import importlib; run = importlib.import_module('harness.run')",
    "import harness; first = harness.run; import harness.run as run; assert first is run",
}

FRESH = """
import os, sys
import torch, pyarrow, transformers, lm_eval, scipy.stats, rich.progress  # what takes long, once
for form in {forms!r}:
    if os.fork() == 0:
        scope = {{}}
        exec(form, scope)
        assert scope["run"].UnlearningJob.__module__ == "harness.run"
        try:
            scope["run"](methods="gdd")
        except Exception as error:
            print(form, "->", str(error)[:30], flush=True)
        os._exit(0)
    os.wait()
"""


class TestNames:
    """``harness.run`` is a module of the engine and can be called, in whatever form it is imported."""

    def test_it_can_be_called_and_holds_the_engine(self):
        code = FRESH.format(forms=sorted(FORMS))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.splitlines() == [
            f"{f} -> There is no method 'gdd'. Did " for f in sorted(FORMS)
        ], done

    def test_what_is_defined_in_it_can_be_sent_to_a_worker(self):
        assert (
            pickle.loads(pickle.dumps(harness.engine.unlearning.unlearn)) is harness.engine.unlearning.unlearn
        )

    def test_importing_the_package_loads_nothing_heavy(self):
        heavy = "{'torch', 'transformers', 'pyarrow', 'pandas', 'matplotlib', 'scipy', 'rich', 'typer'}"
        code = f"import sys, harness; dir(harness); print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_it_shows_its_arguments_and_nothing_else_is_made_up(self):
        assert list(inspect.signature(harness.run).parameters)[:3] == ["methods", "attacks", "benchmarks"]
        assert {"run", "load", "Results", "hookimpl"} <= set(dir(harness))
        with pytest.raises(AttributeError, match="has no attribute 'runs'"):
            harness.runs  # noqa: B018


def test_arguments_are_the_options_of_the_command_line_with_their_defaults():
    command = typer.main.get_command(harness.cli.main.app).commands["run"]
    options = {next(o for o in p.opts if o.startswith("--"))[2:].replace("-", "_"): p for p in command.params}
    options["settings"], options["plugins"] = options.pop("set"), options.pop("plugin")
    options.pop("help", None)
    arguments = inspect.signature(harness.run).parameters
    assert set(arguments) == {*options, "progress"}
    for name, option in options.items():
        if name not in ("settings", "data", "plugins"):  # repeatable: none at all by default
            assert str(arguments[name].default) == str(option.default), name


def test_a_run_returns_tables(stub):
    found = stub()
    assert found.cells.num_rows == 6
    assert isinstance(found.leaderboard, pa.Table)
    board = found.to_pandas()
    assert set(board["method"]) == {"none", "gd"}
    assert found.to_pandas("samples").shape == found.samples.shape
    assert set(found.metrics["key"].to_pylist()) == set(found.cells["key"].to_pylist())
    assert found.failed.num_rows == 0


def test_a_second_run_computes_nothing_and_returns_the_same(stub, world, monkeypatch):
    first = stub()
    kept = committed(world.path())
    monkeypatch.setattr(harness.runner.command, "execute", None)  # calling it would raise
    assert stub().leaderboard.equals(first.leaderboard)
    assert committed(world.path()) == kept


def test_a_run_returns_its_own_cells_and_load_everything(stub, world):
    stub(["none"])
    found = stub(["gd"])
    assert found.cells["method"].unique().to_pylist() == ["gd"]
    there = harness.load(world.path())
    assert set(there.cells["method"].to_pylist()) == {"none", "gd"}
    assert harness.load([world.path(), world.path()]).cells.num_rows == there.cells.num_rows == 6


def test_lists_and_comma_lists_mean_the_same(stub):
    a = stub(
        ["none", "gd"], ["nudge:small", "instruction"], settings=GD | {"instruction.steps": 4}, dry_run=True
    )
    texts = [f"{name}={value}" for name, value in GD.items()]
    b = stub("none,gd", "nudge:small,instruction", settings=[*texts, "instruction.steps=4"], dry_run=True)
    assert a._planned == b._planned == 6


def test_values_become_what_set_would_take(stub, world, monkeypatch):
    seen = []
    monkeypatch.setattr(harness.runner.command, "run", seen.append)
    settings = {"gd.learning_rates": [1e-3, 1e-5], "a.b": None, "a.c": True}
    stub(settings=settings, data={"tofu": world.folder}, lora={"r": 16, "alpha": 32}, utility=["a", "b"])
    [wanted] = seen
    assert wanted.settings == ["gd.learning_rates=0.001,1e-05", "a.b=none", "a.c=true"]
    assert wanted.data == [f"tofu={world.folder}"]
    assert (wanted.lora, wanted.utility) == ("r=16,alpha=32", "a,b")


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"methods": ["gdd"]}, HarnessError, "There is no method 'gdd'. Did you mean 'gd'?"),
        ({"attacks": ["nudges"]}, HarnessError, "There is no attack 'nudges'. Did you mean 'nudge'?"),
        ({"settings": {"gd.gama": 2}}, ConfigError, "There is no setting of gd named 'gama'."),
        ({"settings": "gamma=2"}, ConfigError, "--set gamma=2: write NAME.setting=value"),
        ({"seeds": 0}, ConfigError, "--seeds 0: it must be a whole number from 1 on."),
        ({"seeds": [0, 1]}, ConfigError, "--seeds [0, 1]: it must be a whole number from 1 on."),
        ({"micro_batch": 0}, ConfigError, "--micro-batch 0: it must be a whole number from 1 on."),
        ({"dtype": "int4"}, ConfigError, "--dtype int4: it must be one of "),
        ({"lora": {"rank": 4}}, ConfigError, "--lora rank=4: write r=16"),
        ({"methods": []}, HarnessError, "No method is named in ''"),
    ],
)
def test_what_is_wrong_is_refused_as_on_the_command_line(stub, world, options, error, sentence):
    with pytest.raises(error) as refused:
        stub(**options)
    assert str(refused.value).startswith(sentence)
    assert not world.path().exists()


def test_a_failed_cell_is_in_the_results_and_tried_again(stub, world, capsys):
    fault = world.switch("nudge")
    found = stub()
    assert found.failed["error_message"].to_pylist()[0].startswith("nothing to hold on to")
    assert found.failed.num_rows == 2
    assert "failed: stub gd nudge large seed 0: nothing to hold on to" in capsys.readouterr().err
    assert "2 failed" in repr(found)
    assert "2 cells failed" in found._repr_html_()
    fault.unlink()
    assert stub().failed.num_rows == 0


def test_without_progress_nothing_is_printed(stub, capsys):
    stub()
    assert capsys.readouterr() == ("", "")


def test_with_progress_the_plan_and_each_cell_are(stub, capsys):
    stub(progress=True)
    out, err = capsys.readouterr()
    assert "cells: 6, of which 0 are in" in out
    assert err.count("ok: stub") == 6


def test_threads_of_the_caller_are_left_as_they_were(stub):
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        stub(["none"], "none", threads=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_dry_run_runs_nothing_and_shows_what_is_there(stub, world):
    found = stub(dry_run=True)
    assert not world.path().exists()
    assert repr(found).startswith("<Results: 0 of 6 cells, 0 failed; ")
    assert found._repr_html_() is None
    with pytest.raises(StoreError, match="There are no results yet"):
        found.leaderboard  # noqa: B018


def test_results_that_are_not_there_cannot_be_loaded(world):
    with pytest.raises(StoreError, match="There is no results directory"):
        harness.load(world.path())


def test_a_table_that_does_not_exist(stub):
    with pytest.raises(ConfigError, match="Did you mean 'cells'"):
        stub(["none"], "none").to_pandas("cell")


def test_results_show_themselves(stub):
    found = stub()
    assert repr(found) == (
        "<Results: 6 of 6 cells, 0 failed; benchmarks: stub; methods: gd, none; attacks: none, nudge>"
    )
    shown = found._repr_html_()
    assert shown.count("<table") == shown.count("<caption>stub, model: forget probability") == 1
    for word in (">before<", ">nudge small<", ">nudge large<", ">none<", ">gd<"):
        assert word in shown


def test_a_script_without_a_guard_runs_once_with_its_workers(world):
    """Workers are spawned: without care each would run the script again, and start workers of its own."""
    script = world.folder / "script.py"
    options = {
        **{"methods": ["none"], "attacks": "nudge", "benchmarks": "stub", "seeds": 1, "jobs": 2},
        **{"model": str(world.model), "cache": str(world.cache), "results": str(world.path())},
        **{"controls": False, "progress": False},
    }
    script.write_text(
        textwrap.dedent(f"""\
        import json
        import harness
        print("script", __name__)
        found = harness.run(**json.loads({json.dumps(options)!r}))
        print(found.cells.num_rows, found.failed.num_rows)
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("script __main__\n3 0\n", "")
