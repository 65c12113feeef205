"""Utility in whole runs: a cell of its own for each model, run again alone where it failed."""

from __future__ import annotations

import json
from importlib.metadata import version

import pyarrow as pa
import pytest

from harness.leaderboard import board as board_module
from harness.leaderboard import columns
from harness.leaderboard.groups import grouped
from harness.report.markdown import markdown
from harness.store import store
from harness.store.store import Store
from support.command import harness_cli
from support.results import committed, rows
from support.tasks import HELPER

pytestmark = pytest.mark.usefixtures("no_home")


def test_each_model_has_a_row_of_utility_and_the_original_is_measured_once(world, local):
    ended = world.run("gd", "nudge", "stub", "--utility-tasks", local, "--utility-limit", 4)
    assert ended.code == 0, ended.err
    assert "utility: say, where (lm_eval " in ended.out
    found = rows(world.path(), stage="utility")
    assert sorted((row["method"], row["seed"]) for row in found) == sorted(
        (method, seed) for method in ("none", "retrain", "refusal", "gd") for seed in (0, 1)
    )
    for row in found:
        told = json.loads(row["attack_config"])
        assert (row["attack"], row["attack_plugin"]) == ("none", f"lm_eval {version('lm_eval')}")
        assert {name: task["items"] for name, task in told["tasks"].items()} == {"say": 4, "where": 4}
    values = {
        (m["key"], m["metric"]): m["value"]
        for m in Store(world.path()).metrics().to_pylist()
        if m["split"] == "utility" or m["metric"] == "utility_lm_eval"
    }
    original = [row for row in found if row["method"] == "none"]
    assert len({values[row["key"], "utility_lm_eval"] for row in original}) == 1
    assert sorted(row["seconds"] > 0 for row in original) == [False, True]
    for row in found:
        parts = values[row["key"], "say/exact_match"], values[row["key"], "where/acc"]
        assert values[row["key"], "utility_lm_eval"] == pytest.approx(sum(parts) / 2)

    board = board_module.build(grouped(*store.tables([Store(world.path())]))).to_pylist()
    before = {row["method"]: row for row in board if row["attack"] == "none"}
    score = values[original[0]["key"], "utility_lm_eval"]
    assert {row["lm_eval_original"] for row in before.values()} == {score}
    assert before["none"]["lm_eval"] == score
    assert {row["lm_eval"] for row in board if row["attack"] != "none"} == {None}
    schema = columns.SCHEMA
    shown = markdown(pa.Table.from_pylist(board, schema=schema))
    assert f"{score:.3f} (100%)" in shown
    assert "where v3 0-shot 4 items" in shown


def test_a_failing_task_fails_its_own_cell_and_is_run_again_alone(world, local):
    fault = world.switch("utility")
    helper = "from pathlib import Path\n" + HELPER.replace(
        "    return", f"    if Path({str(fault)!r}).exists():\n        raise RuntimeError('no')\n    return"
    )
    (local / "helper.py").write_text(helper)
    (local / "where.yaml").write_text(
        (local / "where.yaml").read_text() + "process_results: !function helper.same\n"
    )
    options = ("none", "nudge", "stub", "--utility-tasks", local, "--trust-code")
    ended = world.run(*options, controls=False)
    assert ended.code == 1, ended.err
    failed = rows(world.path(), status="failed")
    assert {row["stage"] for row in failed} == {"utility"}
    assert "no" in failed[0]["error_message"]
    assert rows(world.path(), stage="evaluation", status="ok")
    assert rows(world.path(), attack="nudge", status="ok")
    before = committed(world.path())
    board = board_module.build(grouped(*store.tables([Store(world.path())]))).to_pylist()
    [row] = [row for row in board if row["attack"] == "none"]
    assert (row["seeds"], row["failed"], row["lm_eval"]) == (2, 2, None)
    assert "seed 0, utility: RuntimeError: no" in row["errors"][0]

    fault.unlink()
    assert world.run(*options, controls=False).code == 0
    after = committed(world.path())
    assert {key for key in after if after[key] != before[key]} == {row["key"] for row in failed}
    assert not rows(world.path(), status="failed")


def test_another_set_of_tasks_runs_utility_again_and_nothing_else(world, local):
    options = ("none", "nudge", "stub", "--utility-tasks", local)
    world.run(*options, controls=False, seeds=1)
    before = committed(world.path())
    world.run(*options, "--utility", "where", controls=False, seeds=1)
    after = committed(world.path())
    [fresh] = after.keys() - before.keys()
    assert all(after[key] == before[key] for key in before)
    [row] = rows(world.path(), key=fresh)
    assert json.loads(row["attack_config"])["asked"] == ["where"]


def test_errors_of_the_options_are_one_sentence(world, tmp_path):
    ended = world.run("none", "none", "stub", "--utility-tasks", tmp_path / "missing")
    assert ended.code == 2
    assert "--utility-tasks" in ended.sentence
    assert "Traceback" not in ended.err
    assert not world.path().exists()


def test_the_embedded_worlds_bring_their_tasks_along(tmp_path):
    ended = harness_cli(
        *("run", "--methods", "none", "--attacks", "none", "--seeds", 1, "--no-controls", "--dry-run"),
        *("--results", tmp_path / "results", "--cache", tmp_path / "cache"),
    )
    assert ended.code == 0, ended.err
    assert ended.out.count("world_facts_mc, world_pairs, world_instructions") == 1
    assert "cells: 4," in ended.out
