"""Unlearned models that are kept: later cells start from them, and are what they are in one go."""

from __future__ import annotations

import json
import os
import shutil

import pytest

import harness.engine.cell
import harness.runner.keeping
from harness.engine.keeping import ACCOUNT, kept
from harness.engine.note import DONE
from harness.store.decided import unlearned
from support.child import eventually
from support.command import harness_cli
from support.results import numbers, rows, total

WEIGHTS = "model.safetensors"
SAME = ("key", "target_weights", "notes", "steps", "tokens")
"""Columns of a row that neither time nor machine decide."""


@pytest.fixture
def run(world):
    """``run(attacks, ...)``: gd on the stub, with a cache of its own."""
    shutil.copytree(world.cache, world.folder / "cache") if world.cache.is_dir() else None
    world.cache = world.folder / "cache"

    def start(attacks="none", *more, **options):
        return world.run("gd", attacks, "stub", *more, **{"controls": False, "seeds": 1, **options})

    return start


@pytest.fixture
def no_unlearning(monkeypatch):
    """Whoever unlearns fails."""

    def unlearn(*arguments):
        raise AssertionError("it is unlearned again")

    monkeypatch.setattr(harness.engine.cell, "unlearn", unlearn)


def models(world):
    return dict(kept(world.cache))


def of_gd(found, seeds=1):
    """What of the grid's numbers such a run finds, too."""
    wanted = {
        row["key"]
        for row in found["cells"]
        if row["method"] == "gd" and row["benchmark"] == "stub" and row["seed"] < seeds
    }
    return {
        table: [row for row in found[table] if row["key"] in wanted]
        for table in ("cells", "metrics", "samples")
    }


def test_cells_from_a_kept_model_are_those_of_one_go(run, world, undisturbed, request):
    ended = run("nudge", "--keep", "all")
    assert (ended.code, "to keep: 1 unlearned model, " in ended.out) == (0, True), ended.err
    [(path, account)] = models(world).items()
    assert (account.benchmark, account.method, account.seed) == ("stub", "gd", 0)
    assert {unlearned(row) for row in rows(world.path())} == {path.name}
    request.getfixturevalue("no_unlearning")
    ended = run("private-data,instruction,nudge", "--analyses", "gap,lift")
    assert (ended.code, "unlearned already: 1" in ended.out) == (0, True), ended.err
    found = numbers(world.path())
    wanted = of_gd(undisturbed)
    for table, part in wanted.items():
        assert [row for row in found[table] if row["key"] in {r["key"] for r in wanted["cells"]}] == part
    # Also the evaluation, which says how unlearning went and what it cost.
    assert run("none", results="elsewhere").code == 0
    [again], [first] = (rows(world.path(name), stage="evaluation") for name in ("elsewhere", "results"))
    assert [again[name] for name in SAME] == [first[name] for name in SAME]
    assert again["seconds"] >= account.seconds > 0


def test_analyses_find_in_a_kept_model_what_they_find_in_one_go(run, world, no_unlearning, monkeypatch):
    from harness.store.store import Store

    monkeypatch.undo()
    assert run("nudge", "--analyses", "gap,lift", results="one-go").code == 0
    assert run("none", "--keep", "all").code == 0
    monkeypatch.setattr(harness.engine.cell, "unlearn", None)
    ended = run("nudge", "--analyses", "gap,lift")
    assert ended.code == 0, ended.err
    assert numbers(world.path()) == numbers(world.path("one-go"))
    one, other = (Store(world.path(name)) for name in ("results", "one-go"))
    keys = [row["key"] for row in rows(world.path(), stage="analysis")]
    assert keys
    assert [one.numbers(key)[2] for key in keys] == [other.numbers(key)[2] for key in keys]


def test_adapters_are_kept_as_adapters(run, world, monkeypatch):
    pytest.importorskip("peft")
    lora = ("--lora", "r=2")
    assert run("nudge", *lora, results="one-go").code == 0
    assert run("none", *lora, "--keep", "all").code == 0
    [path] = models(world)
    assert {"adapter_model.safetensors", "adapter_config.json"} <= {*os.listdir(path)}
    assert WEIGHTS not in os.listdir(path)
    monkeypatch.setattr(harness.engine.cell, "unlearn", None)
    ended = run("nudge", *lora)
    assert ended.code == 0, ended.err
    assert numbers(world.path()) == numbers(world.path("one-go"))


def test_the_best_of_a_methods_seeds_is_kept(run, world):
    """It forgot, and kept the most of the retain set; it takes the place of those before it."""
    assert run("none", "--keep", "best", seeds=4).code == 0
    [account] = models(world).values()
    found = {}
    for row in rows(world.path(), stage="evaluation"):
        metrics = [m for m in numbers(world.path())["metrics"] if m["key"] == row["key"]]
        [value] = [
            m["value"]
            for m in metrics
            if (m["split"], m["metric"], m["step"]) == ("retain", "probability", None)
        ]
        found[json.loads(row["notes"])["forgotten"] is True, value, -row["seed"]] = row["seed"]
    assert len(found) == 4
    assert account.seed == found[max(found)]
    assert account.standing.order == max(found)
    assert world.cache.joinpath("claims").exists() is False


def test_controls_are_not_kept_but_refusal(run, world):
    ended = world.run("none", "none", "stub", "--keep", "all", controls=True, seeds=1)
    assert ended.code == 0, ended.err
    assert [account.method for account in models(world).values()] == ["refusal"]


def cut(path, other):
    os.truncate(path / WEIGHTS, 100)


def swap(path, other):
    shutil.copy(other / WEIGHTS, path)


def invent(path, other):
    told = json.loads((path / ACCOUNT).read_text())
    told["notes"]["forgotten"] = "certainly"
    (path / ACCOUNT).write_text(json.dumps(told))


def rename(path, other):
    shutil.rmtree(path)
    shutil.copytree(other, path)


def empty(path, other):
    for file in path.iterdir():
        if file.name != DONE:
            file.unlink()


def test_one_that_is_not_what_was_kept_is_made_again(run, world):
    assert run("none", "--keep", "all", seeds=2).code == 0
    path, other = sorted(models(world), key=lambda path: models(world)[path].seed)
    [before] = rows(world.path(), seed=0)
    for number, damage in enumerate((cut, swap, invent, rename, empty)):
        damage(path, other)
        ended = run("none", "--keep", "all", results=f"results-{number}")
        assert ended.code == 0, ended.err
        assert "warning: stub gd seed 0 is unlearned again: The " in ended.err, (damage, ended.err)
        assert "Traceback" not in ended.err
        [row] = rows(world.path(f"results-{number}"))
        assert [row[name] for name in SAME] == [before[name] for name in SAME], damage
        assert models(world)[path] is not None  # and it is kept again
    assert "unlearned again" not in run("none", results="last").err


def test_more_than_the_budget_is_refused_before_anything_is_done(run, world):
    ended = run("none", "--keep", "all", "--keep-budget", "0.00001", seeds=2)
    assert ended.code == 2
    *_, sentence = ended.err.splitlines()
    assert sentence.startswith("Error: --keep all: this run would keep 2 unlearned models, 0.0")
    assert "and --keep-budget is 1e-05 GiB: keep fewer" in sentence
    assert not world.path().joinpath("cells").exists()
    assert run("none", "--keep", "best", "--keep-budget", "0.00006", seeds=2).code == 0
    [path] = models(world)
    expected = int(2**30 * 0.00006)
    assert 0.5 * expected < os.path.getsize(path / WEIGHTS) < expected
    ended = run("nudge", "--keep", "all", "--keep-budget", "0.00006", seeds=2, results="elsewhere")
    assert (ended.code, "MiB that are kept already" in ended.err) == (2, True)


def test_more_than_is_free_is_refused_before_anything_is_done(run, world, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(harness.runner.keeping.shutil, "disk_usage", lambda place: usage)
    ended = run("none", "--keep", "all")
    assert ended.code == 2
    assert f"{world.cache} has 0.00 MiB left" in ended.err
    assert not world.path().joinpath("cells").exists()
    assert run("none").code == 0


def test_a_disk_that_is_full_at_last_costs_no_cell(run, world, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(harness.engine.keeping.note, "keep", full)
    ended = run("nudge", "--keep", "all")
    assert ended.code == 0, ended.err
    assert "warning: The model of stub gd seed 0 is not kept: " in ended.err
    assert models(world) == {}


@pytest.mark.parametrize("event", ["open /cache/unlearned/. 4", "os.rename /cache/unlearned/. 1"])
def test_a_run_that_is_killed_while_it_keeps_leaves_nothing(run, world, undisturbed, monkeypatch, event):
    world.faults.mkdir(exist_ok=True)
    monkeypatch.setenv("STUB_TRAP", event)
    more = ("gd", "nudge", "stub", "--keep", "all")
    child = world.start(*more, controls=False, seeds=1)
    eventually(lambda: (world.faults / "trapped").exists() or not child.alive(), "nothing was kept", 60)
    assert child.alive()
    child.kill()
    monkeypatch.delenv("STUB_TRAP")
    eventually(lambda: not child.group(), "a worker outlives its run", 10)
    assert any((world.cache / "unlearned").glob(".*.part"))
    ended = run("nudge", "--keep", "all")
    assert (ended.code, total(ended.out)[0]) == (0, 3), ended.err
    assert list(world.cache.rglob(".*")) == []
    assert len(models(world)) == 1
    theirs = {row["key"]: row for row in of_gd(undisturbed)["cells"]}
    assert all(row == theirs[row["key"]] for row in numbers(world.path())["cells"])


class TestModels:
    """harness models list, export and prune."""

    @pytest.fixture
    def filled(self, run, world):
        assert run("none", "--keep", "all", seeds=2).code == 0
        return world

    def command(self, world, *arguments):
        return harness_cli("models", *arguments, "--cache", world.cache)

    def test_everything_about_one(self, filled, tmp_path):
        (path, account), (other, _) = models(filled).items()
        told = json.loads(self.command(filled, "list", "--json").out)
        first = told["models"][0]
        assert first["key"] == path.name
        assert (first["benchmark"], first["method"], first["seed"]) == ("stub", "gd", account.seed)
        assert (first["state"], first["kept_as"]) == ("ready", "weights")
        assert first["bytes"] == sum(file.stat().st_size for file in path.iterdir())
        shown = self.command(filled, "list").out
        assert path.name[:12] in shown
        assert other.name[:12] in shown

        from harness.model import loading
        from harness.model import models as parts

        out = tmp_path / "exported"
        assert self.command(filled, "export", path.name[:10], out).code == 0
        model, _ = loading.load(out)
        wanted, _ = loading.load(path)
        assert parts.weights_fingerprint(model) == parts.weights_fingerprint(wanted)
        assert (ended := self.command(filled, "export", path.name, out)).code == 2
        assert ended.sentence == f"{out} is there already: name a directory that is not."
        assert self.command(filled, "export", "xyz", tmp_path / "b").sentence == (
            "No kept model 'xyz' can be chosen: there is none. See harness models list."
        )
        swap(path, other)
        ended = self.command(filled, "export", path.name, tmp_path / "b")
        assert (ended.code, "is not what was made there" in ended.err) == (2, True)
        assert not (tmp_path / "b").exists()

        (path / ACCOUNT).write_text("{}")
        assert json.loads(self.command(filled, "list", "--json").out)["models"][0]["state"] == "damaged"
        assert self.command(filled, "prune").code == 2
        assert self.command(filled, "prune", "--stale").out.startswith("Removed 1 kept model, ")
        assert [*models(filled)] == [other]
        assert self.command(filled, "prune", other.name[:8]).code == 0
        assert models(filled) == {}
        assert self.command(filled, "list").out == "kept models: none\n\n"


def test_an_exported_model_is_as_a_checkpoint_what_its_method_left(run, world, tmp_path):
    assert run("nudge", "--keep", "all").code == 0
    [path] = models(world)
    out = tmp_path / "exported"
    assert harness_cli("models", "export", path.name, out, "--cache", world.cache).code == 0
    asked = ("checkpoint", "nudge", "stub", "--set", f"checkpoint.path={out}")
    ended = world.run(*asked, controls=True, seeds=1)
    assert ended.code == 0, ended.err
    theirs = rows(world.path(), method="checkpoint")
    assert len(theirs) == len(rows(world.path(), method="gd")) == 3
    for row in theirs:
        same = {name: row[name] for name in ("stage", "attack", "variant", "seed")}
        [of_gd] = rows(world.path(), method="gd", **same)
        for table in ("metrics", "samples"):
            own, other = (
                [
                    {name: value for name, value in line.items() if name != "key"}
                    for line in numbers(world.path())[table]
                    # The curve of its unlearning is nowhere but with gd.
                    if line["key"] == cell["key"] and (row["stage"] != "evaluation" or not line.get("step"))
                ]
                for cell in (row, of_gd)
            )
            assert own == other
            assert own
    assert json.loads(theirs[0]["method_config"])["path"].startswith("exported@")
    # It is a line of the board, with a verdict, beside the controls.
    assert "checkpoint" in harness_cli("results", "--results", world.path()).out
