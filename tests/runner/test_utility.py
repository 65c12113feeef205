"""Utility: lm-eval's tasks are found, checked, measured and fingerprinted."""

from __future__ import annotations

import json
import os
import random

import numpy as np
import pytest
import torch

from harness.core.names import GRADIENT, SCORE, UTILITY
from harness.errors import ConfigError, DataError, HarnessError, PluginError
from harness.model import loading, models
from harness.runner import tasks, utility
from harness.runner.tasks import Utility
from support.command import harness_cli
from support.saved import save_model
from support.tasks import HELPER, OWN, write_local

pytestmark = pytest.mark.usefixtures("no_home")


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    return loading.load(save_model(tmp_path_factory.mktemp("stub")))


def test_measuring_twice_gives_the_same_and_changes_nothing_else(local, stub):
    model, tokenizer = stub
    tokenizer.pad_token = None
    weights, padding = models.weights_fingerprint(model), tokenizer.padding_side
    found = tasks.read(None, local, "")
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(7)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    first, second = (utility.measure(model, tokenizer, found, None, None) for _ in range(2))
    after = random.getstate(), np.random.get_state(), torch.get_rng_state()
    assert (first.metrics, first.samples) == (second.metrics, second.samples)
    assert after[0] == before[0]
    assert all(np.array_equal(a, b) for a, b in zip(after[1], before[1], strict=True))
    assert torch.equal(after[2], before[2])
    assert models.weights_fingerprint(model) == weights
    assert (tokenizer.pad_token, tokenizer.padding_side) == (None, padding)


def test_the_score_moves_with_each_task_as_its_share_of_the_items(local, stub):
    outcome = utility.measure(*stub, tasks.read(("both", "say"), local, ""), None, None)
    slopes = outcome.notes[GRADIENT][SCORE][UTILITY]
    assert sum(slopes.values()) == pytest.approx(1)
    items: dict = {}
    for sample in outcome.samples:
        items.setdefault(sample.metric, []).append(sample.value)
    score = sum(slope * np.mean(items[part]) for part, slope in slopes.items())
    assert score == pytest.approx(next(m.value for m in outcome.metrics if m.metric == SCORE))
    facts = {(s.metric, s.fact_id) for s in outcome.samples}
    assert len(facts) == len(outcome.samples)  # the first item of one task is not that of another


def change_question(folder):
    write_local(folder, doc_to_text="Question: What does {{who}} do ?\nAnswer:")


def change_version(folder):
    write_local(folder, metadata={"version": 4})


def change_examples(folder):
    write_local(folder, num_fewshot=1)


def change_item(folder):
    path = folder / "where.jsonl"
    path.write_text(path.read_text().replace("Bonn", "Nice"))


def change_helper(folder):
    (folder / "helper.py").write_text(HELPER)


def change_group(folder):
    path = folder / "both.yaml"
    path.write_text(path.read_text().replace("true", "false"))


@pytest.mark.parametrize(
    "change", [change_question, change_version, change_examples, change_item, change_helper, change_group]
)
def test_a_changed_task_gives_another_fingerprint(local, change):
    tasks = Utility(tasks=("both", "say"), directory=local)
    before = tasks.resolve("")
    change(local)
    after = tasks.resolve("")
    assert before[1] != after[1]


def test_a_task_counts_by_content_and_not_by_place(local, tmp_path):
    elsewhere = write_local(tmp_path / "elsewhere")
    assert Utility(directory=elsewhere).resolve("") == Utility(directory=local).resolve("")


def test_a_function_counts_by_name_and_content_and_not_by_address(local):
    (local / "helper.py").write_text(
        "from functools import partial\n"
        "def first(docs, number):\n    return docs.select(range(number))\n"
        "few = partial(first, number=2)\n"
    )
    with (local / "where.yaml").open("a") as file:
        file.write("process_docs: !function helper.few\n")
    own, seen = Utility(directory=local, trust_code=True), []
    for moment in (1, 2):  # a newer file is executed again
        os.utime(local / "helper.py", (moment, moment))
        seen.append((own.resolve(""), tasks.read(None, local, "", True)))
    assert seen[0][0] == seen[1][0]
    first, second = (found["tasks"]["where"].config.process_docs for _, found in seen)
    assert first.func is not second.func
    assert json.loads(seen[0][0][2])["tasks"]["where"]["items"] == 2


def test_only_the_items_within_the_limit_count(local):
    path = local / "where.jsonl"
    short, full = (Utility(limit=limit, directory=local) for limit in (3, None))
    before = short.resolve(""), full.resolve("")
    path.write_text(path.read_text().replace("Kiev", "Nice"))
    assert short.resolve("") == before[0]
    assert full.resolve("") != before[1]
    told = json.loads(before[0][2])
    assert told["limit"] == 3
    assert told["tasks"]["where"] == {"version": 3, "num_fewshot": 0, "items": 3}


def test_nothing_is_measured_where_nothing_is_asked_for(local):
    assert Utility().resolve("") is None
    assert Utility(tasks=(), directory=local).resolve(OWN) is None


def test_an_unknown_task_is_answered_with_the_nearest(local):
    with pytest.raises(ConfigError, match=r"no lm-eval task 'arc_chalenge'\. Did you mean 'arc_challenge'"):
        Utility(tasks=("where", "arc_chalenge"), directory=local).resolve("")


def test_a_directory_without_tasks_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no YAML file in it defines a task"):
        Utility(directory=tmp_path).resolve("")
    with pytest.raises(ConfigError, match="no such directory"):
        Utility(directory=tmp_path / "missing")


def test_prepare_fetches_the_items_and_records_what_they_were(local, tmp_path):
    def recorded():
        ended = harness_cli(
            "prepare", "--cache", tmp_path, "--utility", "where,say", "--utility-tasks", local
        )
        assert ended.code == 0, ended.err
        [entry] = json.loads((tmp_path / "prepared.json").read_text())[-1:]
        assert (entry["kind"], entry["repo"]) == ("lm-eval", "where, say")
        assert entry["revision"][:12] in ended.out
        return entry["revision"]

    before = recorded()
    assert recorded() == before
    items = (local / "where.jsonl").read_text()
    (local / "where.jsonl").write_text(items.replace("York", "Lima"))
    assert recorded() != before
    unknown = harness_cli("prepare", "--cache", tmp_path, "--utility", "wher", "--utility-tasks", local)
    assert unknown.code == 2
    assert "no lm-eval task 'wher'. Did you mean 'where'" in unknown.err


def test_a_file_that_is_no_yaml_is_not_left_out_in_silence(local):
    (local / "where.yaml").write_text("task: [where")
    with pytest.raises(DataError, match=r"where.yaml, line 1: it is not YAML"):
        Utility(directory=local).resolve("")


def test_a_benchmark_whose_tasks_cannot_be_made_is_named():
    with pytest.raises(PluginError, match="'nowhere:tasks' gives no tasks"):
        Utility().resolve("nowhere:tasks")


def test_items_that_cannot_be_had_are_said_before_anything_runs(local):
    (local / "where.jsonl").unlink()
    with pytest.raises(HarnessError, match=r"'say' cannot be loaded: .*where.jsonl"):
        Utility(directory=local).resolve("")


def test_a_task_without_a_score_in_the_unit_interval_is_refused(local):
    write_local(local, metric_list=[{"metric": "brier_score", "higher_is_better": False}])
    with pytest.raises(HarnessError, match="'where' has none of the metrics acc_norm, acc, exact_match"):
        Utility(directory=local).resolve("")
