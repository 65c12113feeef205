"""Every utility score is that of lm-eval's own command line, on real files."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
import torch
import yaml

from harness.model import loading
from harness.runner import tasks, utility
from support.paths import DATA
from support.saved import save_model
from support.tasks import ACC, write_task

pytestmark = pytest.mark.usefixtures("no_home")

EVALS = DATA / "evals"
LIMIT = 40
BLIMP = ("anaphor_number_agreement", "principle_A_c_command", "regular_plural_subject_verb_agreement_1")


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
    model, tokenizer = loading.load(place)
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
    found = tasks.read(ASKED, real, "")
    return utility.measure(*loading.load(trained), found, LIMIT, None)


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
    model, tokenizer = loading.load(trained)

    def likelihood(text):
        ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(text).input_ids]])
        with torch.no_grad():
            told = model.double()(ids).logits[0, :-1].log_softmax(-1)
        return told.gather(1, ids[0, 1:, None]).sum().item()

    expected = {
        f"local_{BLIMP[1]}/{i}": float(likelihood(item["sentence_good"]) > likelihood(item["sentence_bad"]))
        for i, item in enumerate(lines(BLIMP[1])[:LIMIT])
    }
    got = {s.fact_id: s.value for s in ours.samples if s.metric == f"local_{BLIMP[1]}/acc"}
    assert got == expected
    [metric] = [m for m in ours.metrics if m.metric == f"local_{BLIMP[1]}/acc"]
    assert metric.n == LIMIT
    assert metric.low < metric.value < metric.high
