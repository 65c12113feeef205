"""Utility is lm-eval's own number, in a cell of its own, and for the embedded worlds too."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from harness import command, leaderboard, models, utility
from harness.errors import ConfigError, DataError, HarnessError, PluginError
from harness.store import Store
from harness.utility import Utility
from support.command import harness_cli
from support.paths import DATA
from support.results import committed, rows
from support.saved import save_model

EVALS = DATA / "evals"
LIMIT = 40
OWN = "harness.benchmarks.world_tasks:tasks"

ACC = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
BLIMP = ("anaphor_number_agreement", "principle_A_c_command", "regular_plural_subject_verb_agreement_1")


@pytest.fixture(autouse=True, scope="module")
def no_home(tmp_path_factory):
    """Nothing is written to the user's cache of data sets."""
    import datasets

    place = tmp_path_factory.mktemp("datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", place)
        patch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
        patch.setenv("HF_DATASETS_CACHE", str(place))
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield place


def write_task(folder, name, files, **config):
    """A task as lm-eval's YAML has it, over JSON lines."""
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {split: str(path) for split, path in files.items()}},
        "test_split": "test",
        "metadata": {"version": 3},
    } | config
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))


# --- the real files, against lm-eval's own command line ---


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """ARC with few-shot examples, Winogrande, a group of BLiMP sets, and a task that generates."""
    if not (EVALS / "arc_challenge.jsonl").is_file():
        pytest.skip(f"no evals in {DATA}; HARNESS_TEST_DATA names its place")
    folder = tmp_path_factory.mktemp("tasks")
    choose = {"output_type": "multiple_choice", "metric_list": [ACC]}
    write_task(
        folder,
        "arc_local",
        {"train": EVALS / "arc_easy.jsonl", "test": EVALS / "arc_challenge.jsonl"},
        **choose | {"metric_list": [ACC, {**ACC, "metric": "acc_norm"}]},
        fewshot_split="train",
        num_fewshot=2,
        doc_to_text="{{query}}\nAnswer:",
        doc_to_choice="choices",
        doc_to_target="gold",
    )
    write_task(
        folder,
        "winogrande_local",
        {"test": EVALS / "winogrande.jsonl"},
        **choose,
        doc_to_text="gold",
        doc_to_choice="context_options",
        doc_to_target="continuation",
    )
    for name in BLIMP:
        write_task(
            folder,
            f"local_{name}",
            {"test": EVALS / f"{name}.jsonl"},
            **choose,
            doc_to_text="",
            doc_to_choice="{{[sentence_good, sentence_bad]}}",
            doc_to_target=0,
        )
    write_task(
        folder,
        "generated",
        {"test": EVALS / f"{BLIMP[0]}.jsonl"},
        output_type="generate_until",
        doc_to_text="{{one_prefix_prefix}}",
        doc_to_target="one_prefix_word_good",
        generation_kwargs={"until": ["."], "max_gen_toks": 4, "do_sample": False},
        metric_list=[{**ACC, "metric": "exact_match"}],
    )
    group = {
        "group": "blimp_local",
        "task": [f"local_{name}" for name in BLIMP],
        "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": False}],
        "metadata": {"version": 2},
    }
    (folder / "blimp_local.yaml").write_text(yaml.safe_dump(group))
    return folder


ASKED = ("arc_local", "winogrande_local", "blimp_local", "generated")


def lines(name):
    return [json.loads(line) for line in (EVALS / f"{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(real, tmp_path_factory):
    """A small model that has read other sentences of the same kind, saved."""
    read = [item["sentence_good"] for name in BLIMP for item in lines(name)[-300:]]
    seen = [item["sentence_good"] + item["sentence_bad"] for name in BLIMP for item in lines(name)[:LIMIT]]
    asked = [item["query"] + " ".join(item["choices"]) for item in lines("arc_challenge")[:LIMIT]]
    place = tmp_path_factory.mktemp("model")
    save_model(place, [*read, *seen, *asked], hidden_size=32, max_position_embeddings=768)
    model, tokenizer = models.load(place)
    ids = [torch.tensor([tokenizer.eos_token_id, *tokenizer(text).input_ids]) for text in read]
    order = random.Random(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        chosen = order.sample(ids, 32)
        batch = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True, padding_value=-100)
        loss = model(input_ids=batch.clamp(min=0), labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def ours(real, trained):
    """What we measure on the saved model, in memory."""
    found = utility.read(ASKED, real, "")
    return utility.measure(*models.load(trained), found, LIMIT, None)


@pytest.fixture(scope="module")
def theirs(real, trained, tmp_path_factory):
    """The result file of lm-eval's command line on the saved model, in another process."""
    out = tmp_path_factory.mktemp("out")
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu"]
    command += ["--model_args", f"pretrained={trained},dtype=float32", "--tasks", ",".join(ASKED)]
    command += ["--include_path", real, "--limit", LIMIT, "--batch_size", 8, "--output_path", out]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=out)
    assert done.returncode == 0, done.stderr[-2000:]
    [file] = out.rglob("results_*.json")
    return json.loads(file.read_text())


def test_every_score_is_that_of_lm_evals_command_line(ours, theirs):
    mine = {m.metric: m.value for m in ours.metrics if m.split == "utility"}
    expected = {
        f"{task}/{metric.removesuffix(',none')}": value
        for task, scores in theirs["results"].items()
        for metric, value in scores.items()
        if "," in metric and "_stderr" not in metric
    }
    assert mine == pytest.approx(expected, abs=1e-6)
    assert {"arc_local/acc_norm", "winogrande_local/acc", "blimp_local/acc", "generated/exact_match"} <= {
        *mine
    }
    assert sum(0 < value < 1 for value in mine.values()) >= 6  # a score of 0 or 1 would prove little
    assert mine["generated/exact_match"] > 0


def test_the_aggregate_is_the_mean_of_what_was_asked_for(ours, theirs):
    [score] = [m for m in ours.metrics if m.split == "all"]
    told = theirs["results"]
    parts = [told["arc_local"]["acc_norm,none"], told["winogrande_local"]["acc,none"]]
    parts += [told["blimp_local"]["acc,none"], told["generated"]["exact_match,none"]]
    assert (score.metric, score.value) == ("utility_lm_eval", pytest.approx(sum(parts) / 4, abs=1e-12))
    assert score.n == 6 * LIMIT


def test_a_minimal_pair_is_won_by_the_likelier_sentence(ours, trained):
    model, tokenizer = models.load(trained)

    def likelihood(text):
        ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(text).input_ids]])
        with torch.no_grad():
            told = model.double()(ids).logits[0, :-1].log_softmax(-1)
        return told.gather(1, ids[0, 1:, None]).sum().item()

    expected = {
        str(i): float(likelihood(item["sentence_good"]) > likelihood(item["sentence_bad"]))
        for i, item in enumerate(lines(BLIMP[1])[:LIMIT])
    }
    got = {s.fact_id: s.value for s in ours.samples if s.metric == f"local_{BLIMP[1]}/acc"}
    assert got == expected
    [metric] = [m for m in ours.metrics if m.metric == f"local_{BLIMP[1]}/acc"]
    assert metric.n == LIMIT
    assert metric.low < metric.value < metric.high


# --- what needs no real file: two small tasks about the words of the stub's model ---

WHERE = [("Ada", "Oslo"), ("Bo", "Rome"), ("Cleo", "Lima"), ("Dan", "Bonn"), ("Eve", "Kiev")]
HELPER = "def same(doc, results):\n    return {'acc': float(results[0][0] > results[1][0])}\n"


@pytest.fixture
def local(tmp_path):
    return write_local(tmp_path / "local")


def write_local(folder, **config):
    folder.mkdir(exist_ok=True)
    items = [{"who": who, "town": town, "towns": [town, "York"], "gold": 0} for who, town in WHERE]
    (folder / "where.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    ask = {"doc_to_text": "Question: Where does {{who}} live ?\nAnswer:"}
    choose = {"output_type": "multiple_choice", "metric_list": [ACC]}
    choose |= {"doc_to_choice": "towns", "doc_to_target": "gold"}
    write_task(folder, "where", {"test": folder / "where.jsonl"}, **ask | choose | config)
    said = {"until": ["\n"], "max_gen_toks": 2, "do_sample": False}
    generate = {"doc_to_target": "town", "generation_kwargs": said}
    generate |= {"metric_list": [{**ACC, "metric": "exact_match"}]}
    write_task(folder, "say", {"test": folder / "where.jsonl"}, **ask | generate)
    metric = {"metric": "acc", "aggregation": "mean", "weight_by_size": True}
    group = {"group": "both", "task": ["where"], "aggregate_metric_list": [metric]}
    (folder / "both.yaml").write_text(yaml.safe_dump(group))
    return folder


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    return models.load(save_model(tmp_path_factory.mktemp("stub")))


def test_measuring_twice_gives_the_same_and_changes_nothing_else(local, stub):
    model, tokenizer = stub
    tokenizer.pad_token = None
    weights, padding = models.weights_fingerprint(model), tokenizer.padding_side
    found = utility.read(None, local, "")
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


def change_question(folder):
    write_local(folder, doc_to_text="Question: What does {{who}} do ?\nAnswer:")


def change_version(folder):
    write_local(folder, metadata={"version": 4})


def change_item(folder):
    path = folder / "where.jsonl"
    path.write_text(path.read_text().replace("Bonn", "Nice"))


def change_helper(folder):
    (folder / "helper.py").write_text(HELPER)


def change_group(folder):
    path = folder / "both.yaml"
    path.write_text(path.read_text().replace("true", "false"))


@pytest.mark.parametrize(
    "change", [change_question, change_version, change_item, change_helper, change_group]
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
    seen = []
    for moment in (1, 2):  # a newer file is executed again
        os.utime(local / "helper.py", (moment, moment))
        seen.append((Utility(directory=local).resolve(""), utility.read(None, local, "")))
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
    with pytest.raises(DataError, match=r"where.yaml: not YAML"):
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


# --- whole runs ---


def test_each_model_has_a_row_of_utility_and_the_original_is_measured_once(world, local):
    ended = world.run("gd", "nudge", "stub", "--utility-tasks", local, "--utility-limit", 4)
    assert ended.code == 0, ended.err
    assert "utility: say, where (lm_eval " in ended.out
    found = rows(world.path(), variant="utility")
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

    board = leaderboard.build(*command.tables([Store(world.path())])).to_pylist()
    before = {row["method"]: row for row in board if row["attack"] == "none"}
    score = values[original[0]["key"], "utility_lm_eval"]
    assert {row["lm_eval_original"] for row in before.values()} == {score}
    assert before["none"]["lm_eval"] == score
    assert {row["lm_eval"] for row in board if row["attack"] != "none"} == {None}
    schema = leaderboard.SCHEMA
    shown = command.markdown.markdown(pa.Table.from_pylist(board, schema=schema))
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
    options = ("none", "nudge", "stub", "--utility-tasks", local)
    ended = world.run(*options, controls=False)
    assert ended.code == 1, ended.err
    failed = rows(world.path(), status="failed")
    assert {row["variant"] for row in failed} == {"utility"}
    assert "no" in failed[0]["error_message"]
    assert rows(world.path(), attack="none", variant="", status="ok")
    assert rows(world.path(), attack="nudge", status="ok")
    before = committed(world.path())
    board = leaderboard.build(*command.tables([Store(world.path())])).to_pylist()
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


# --- the embedded worlds ---


@pytest.fixture(scope="module")
def embedded():
    return utility.read(None, None, OWN)


def test_the_embedded_worlds_bring_their_tasks_along(tmp_path):
    ended = harness_cli(
        *("run", "--methods", "none", "--attacks", "none", "--seeds", 1, "--no-controls", "--dry-run"),
        *("--results", tmp_path / "results", "--cache", tmp_path / "cache"),
    )
    assert ended.code == 0, ended.err
    assert ended.out.count("world_facts_mc, world_pairs, world_instructions") == 1
    assert "cells: 4," in ended.out


def test_embedded_tasks_are_new_to_the_model_and_in_its_words(embedded):
    from harness.benchmarks.world import world

    from harness.targets import word_tokenizer

    training = world().training
    taught = {(e.prompt.text, e.answer) for e in training.original}
    asked = {e.prompt.text for e in training.original}
    others = {fact.question for facts in world().faithun.values() for fact in facts}
    vocabulary = word_tokenizer(training.vocabulary)
    sizes = {}
    for name, task in embedded["tasks"].items():
        docs = list(task.eval_docs)
        sizes[name] = len(docs)
        assert len({json.dumps(doc) for doc in docs}) == len(docs)
        for doc in docs:
            answers = doc.get("choices") or [doc["answer"]]
            assert not {(doc["question"], answer) for answer in answers} & taught
            if name != "world_pairs":
                assert doc["question"] not in asked | others
            for text in (doc["question"], *answers):
                pieces = vocabulary.tokenize(text)
                assert not [piece for piece in pieces if piece.startswith(("##", "<|"))], text
            assert len({*answers}) == len(answers)
    assert sizes == {"world_facts_mc": 112, "world_pairs": 160, "world_instructions": 140}


def test_where_the_right_answer_stands_says_nothing(embedded):
    for name, options in (("world_facts_mc", 3), ("world_pairs", 2)):
        golds = [doc["gold"] for doc in embedded["tasks"][name].eval_docs]
        for place in range(options):
            assert golds.count(place) / len(golds) == pytest.approx(1 / options, abs=0.12)


def test_a_model_of_the_world_is_above_chance_on_each_task_and_one_that_read_nothing_is_not(embedded):
    from harness.benchmarks.world import world

    from harness.targets import Tiny, fit, tiny_model, word_tokenizer
    from harness.tokens import Tokens

    training = world().training
    known = {fact.id for fact in world().faithun["rest"]}
    # A fifth of the text, half the passes: ten seconds instead of minutes, and enough to be above chance.
    text = [
        example
        for example in training.original
        if not example.prompt.literal
        and (example.fact_id in known or example.fact_id.startswith(("instruct", "author-1", "author-2")))
    ]
    tokenizer = word_tokenizer(training.vocabulary)
    model = tiny_model(Tiny(), len(tokenizer), tokenizer.eos_token_id).eval()

    def scores():
        metrics = utility.measure(model, tokenizer, embedded, None, None).metrics
        return {m.metric.split("/")[0]: m for m in metrics if m.split == "utility"}

    chance = {"world_facts_mc": 1 / 3, "world_pairs": 1 / 2, "world_instructions": 1 / 12}
    ignorant = scores()
    fit(model, Tokens(tokenizer), text, 8, Tiny().learning_rate, 32, lambda step, steps: None)
    taught = scores()
    for name, guess in chance.items():
        assert ignorant[name].low <= guess
        assert taught[name].low > guess
