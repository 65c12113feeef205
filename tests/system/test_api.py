"""``harness.run`` and ``harness.load``: the command line's options as arguments, and tables as the result."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import textwrap

import pyarrow as pa
import pytest
import typer

import harness
import harness.api
import harness.cli.main
from harness.errors import ConfigError, HarnessError, StoreError
from harness.leaderboard.findings import findings
from harness.plugins.assignments import Typed
from harness.runner.options import Lora, RunOptions
from support.results import committed
from support.stub import SETTINGS

GD = {"gd.epochs": 3, "gd.batch_size": 4, "gd.learning_rates": [1e-4, 1e-2]}


@pytest.fixture
def stub(world):
    """``stub(methods, attacks, **options)``: ``harness.run`` on the stub, as quick as it can be."""

    def run(methods=("none", "gd"), attacks="nudge", **options):
        places = {"model": world.model, "cache": world.cache, "results": world.path()}
        chosen = {"benchmarks": "stub", "seeds": 1, "jobs": 1, "controls": False, "progress": False}
        settings = GD if "gd" in methods else {}
        return harness.run(methods, attacks, **({"settings": settings} | places | chosen | options))

    return run


class TestNames:
    """``harness.run`` is a function, loaded when it is first used."""

    def test_importing_the_package_loads_nothing_heavy(self):
        heavy = "{'torch', 'transformers', 'pyarrow', 'pandas', 'matplotlib', 'scipy', 'rich', 'typer'}"
        code = f"import sys, harness; dir(harness); print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_it_shows_its_arguments_and_nothing_else_is_made_up(self):
        assert list(inspect.signature(harness.run).parameters)[:3] == ["methods", "attacks", "benchmarks"]
        assert {"run", "load", "Results", "hookimpl"} <= set(dir(harness))
        with pytest.raises(AttributeError, match="No harness attribute runs"):
            harness.runs  # noqa: B018


def test_the_command_line_and_python_have_the_options_of_a_run_and_their_defaults():
    command = typer.main.get_command(harness.cli.main.app).commands["run"]
    options = {option.name: option for option in command.params}
    arguments = inspect.signature(harness.run).parameters
    assert set(options) - {"config", "details", "yes"} == set(RunOptions.model_fields)
    assert set(arguments) - {"config", "progress"} == set(RunOptions.model_fields)
    for name, field in RunOptions.model_fields.items():
        default = arguments[name].default
        assert default == field.default, name
        shell = {"settings": "--set", "plugins": "--plugin"}.get(name, f"--{name.replace('_', '-')}")
        assert options[name].opts == [shell]
        assert options[name].help == field.description
        typed = ",".join(default) if isinstance(default, tuple) else default
        assert options[name].default == (typed or None if name in ("settings", "data", "plugins") else typed)
    assert arguments["config"].default is options["config"].default is None


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
    monkeypatch.setattr(harness.api, "execute", None)  # calling it would raise
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
    texts = [f"gd.{name}={value}" for name, value in SETTINGS["gd"].items()]
    b = stub("none,gd", "nudge:small,instruction", settings=[*texts, "instruction.steps=4"], dry_run=True)
    assert a._planned == b._planned == 6


def test_values_reach_the_run_as_they_are(stub, world, monkeypatch):
    seen = []
    monkeypatch.setattr(harness.api, "carry_out", lambda options, classes: seen.append(options))
    settings = {"gd": {"learning_rates": [1e-3, 1e-5]}, "a.b": None, "a.c": True}
    stub(settings=settings, data={"tofu": world.folder}, lora={"r": 16, "alpha": 32}, utility=["a", "b"])
    stub("none,gd", settings=["a.b=none"], data=str(world.folder), lora="r=16", utility="none")
    typed, text = seen
    assert typed.methods == text.methods == ("none", "gd")
    assert typed.settings == {"gd.learning_rates": [1e-3, 1e-5], "a.b": None, "a.c": True}
    assert text.settings == {"a.b": Typed("none")}
    assert (typed.data, text.data) == ({"tofu": world.folder}, {"": world.folder})
    assert (typed.lora, text.lora) == (Lora(r=16, alpha=32), Lora(r=16))
    assert (typed.utility, text.utility) == (("a", "b"), ())


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"methods": ["gdd"]}, HarnessError, "There is no method 'gdd'. Did you mean 'gd'?"),
        ({"attacks": ["nudges"]}, HarnessError, "There is no attack 'nudges'. Did you mean 'nudge'?"),
        ({"settings": {"gd.gama": 2}}, ConfigError, "There is no setting of gd named 'gama'."),
        ({"settings": "gamma=2"}, ConfigError, "--set gamma=2: write NAME.setting=value"),
        ({"seeds": 0}, ConfigError, "--seeds 0: it must be a whole number from 1 to 1000."),
        ({"seeds": [0, 1]}, ConfigError, "--seeds [0, 1]: it must be a whole number from 1 to 1000."),
        ({"micro_batch": 0}, ConfigError, "--micro-batch 0: it must be a whole number from 1 to 1000000."),
        ({"dtype": "int4"}, ConfigError, "--dtype int4: it must be one of "),
        ({"lora": {"rank": 4}}, ConfigError, "--lora rank=4: write r=16"),
        ({"lora": {"r": 0}}, ConfigError, "--lora r=0: write r=16"),
        ({"trust_remote_code": "yes"}, ConfigError, "--trust-remote-code yes: it must be true or false."),
        ({"jbos": 2}, ConfigError, "There is no option named 'jbos'. Did you mean 'jobs'?"),
        (
            {"methods": [dict]},
            HarnessError,
            "builtins.dict is no method: it must derive from ",
        ),
        ({"methods": []}, HarnessError, "No method is named: "),
    ],
)
def test_what_is_wrong_is_refused_as_on_the_command_line(stub, world, options, error, sentence):
    with pytest.raises(error) as refused:
        stub(**options)
    assert str(refused.value).startswith(sentence)
    assert not world.path().exists()


def test_all_that_is_wrong_with_the_options_is_said_at_once(stub):
    with pytest.raises(ConfigError) as refused:
        stub(seeds=0, dtype="int4", settings="gamma=2", jbos=1)
    assert len(str(refused.value).splitlines()) == 4


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
    assert found.summary() == "There are no results yet."
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


def test_results_are_summed_up_in_words(stub, monkeypatch):
    found = stub()
    monkeypatch.setattr(sys, "stdout", None)  # it is text, and nothing is printed
    text = found.summary()
    assert max(map(len, text.splitlines()[1:])) <= 80
    assert "probability on the facts to forget" in text
    assert any(line.startswith("gd ") for line in text.splitlines())
    told = " ".join(text.split())
    assert all(sentence in told for sentence in findings(found.leaderboard.to_pylist()))
    assert {"verdict", "verdict_why", "recovered"} <= set(found.to_pandas().columns)


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
