"""WMDP: its questions, a user's corpora, and the choice as lm-eval scores it."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
from harness.benchmarks.wmdp import Wmdp
from harness.benchmarks.wmdp.files import held_out

from harness.errors import DataError
from harness.model.tokens import PromptTokenizer
from harness.runner.tasks import read
from harness.runner.utility import measure
from harness.scoring.metrics import by_metric
from harness.scoring.scorer import Scorer
from harness.testing import check_benchmark, sandbox
from support.answers import loaded
from support.naive import Naive
from support.saved import save_model
from support.small_runs import small_run
from support.tables import write
from support.wmdp_files import question, write_wmdp


@pytest.fixture
def data(tmp_path):
    return write_wmdp(tmp_path / "wmdp")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_format_gives_the_same_facts(suffix, tmp_path, data):
    assert dict(loaded(Wmdp(), write_wmdp(tmp_path / "other", suffix))) == dict(loaded(Wmdp(), data))


def test_the_files_of_the_hub_go_with_a_users_corpora(tmp_path, data):
    rows = [question(number) for number in range(12)]
    write(tmp_path / "hub" / "wmdp-bio" / "test-00000-of-00001.parquet", rows)
    corpora = {f"{part}_corpus": data / f"bio-{part}-corpus.json" for part in ("forget", "retain")}
    benchmark = Wmdp(Wmdp.Config(**corpora))
    assert dict(loaded(benchmark, tmp_path / "hub")) == dict(loaded(Wmdp(), data))
    with pytest.raises(DataError, match=r"the corpora are yours: set wmdp.forget_corpus=FILE"):
        loaded(Wmdp(), tmp_path / "hub")


def test_no_question_is_on_both_sides_and_none_is_lost(data):
    splits = loaded(Wmdp(), data)
    forget, test = ({fact.question for fact in splits[name]} for name in ("forget", "test"))
    assert not forget & test
    assert len(forget | test) == 12
    other = loaded(Wmdp(Wmdp.Config(held_out=0.7)), data)["test"]
    assert test < {fact.question for fact in other}
    assert all(held_out(fact, 0.5) for fact in splits["test"])


def test_a_question_is_trained_on_as_a_passage_of_the_corpus(data):
    for fact in loaded(Wmdp(), data)["forget"]:
        assert fact.passage.split()[1] == "the"
        assert not fact.passage.startswith(fact.question)


FAULTS = [
    ({"choices": ["a", "b", "c"]}, "expected 4 texts in 'choices', found a list of 3"),
    ({"choices": ["a", "b", "c", ""]}, "expected a non-empty text in 'choices[3]', found an empty one"),
    ({"answer": 4}, "expected 0 to 3 or A to D in 'answer', found 4"),
    ({"answer": True}, "expected 0 to 3 or A to D in 'answer', found True"),
    ({"question": 3}, "expected a non-empty text in 'question', found int"),
]


@pytest.mark.parametrize(("change", "says"), FAULTS)
def test_what_is_wrong_is_named_with_file_row_and_field(change, says, data):
    rows = [question(number) for number in range(12)]
    rows[2] |= change
    path = write(data / "wmdp-bio.json", rows)
    with pytest.raises(DataError) as caught:
        loaded(Wmdp(), data)
    assert str(caught.value).startswith(f"{path}, row 3: {says}")


def test_a_letter_says_what_its_number_says(data):
    before = dict(loaded(Wmdp(), data))
    rows = [question(number) for number in range(12)]
    write(data / "wmdp-bio.json", [row | {"answer": "ABCD"[row["answer"]]} for row in rows])
    assert dict(loaded(Wmdp(), data)) == before


@pytest.fixture
def asked(data):
    """A random model, the benchmark with its facts, and the samples of the harness."""
    benchmark = Wmdp()
    splits = loaded(benchmark, data)
    tokenizer = sandbox.tokenizer_of(splits)
    model = sandbox.tiny_model(tokenizer)
    samples = Scorer(model, PromptTokenizer(tokenizer)).measure(list(benchmark.measures(splits)))
    return benchmark, splits, model, tokenizer, samples


def test_accuracy_is_lm_evals_own_number(asked, tmp_path):
    """Its template for `wmdp`, its evaluator, on the same items and model."""
    from importlib.resources import files

    import yaml

    _, splits, model, tokenizer, samples = asked
    template = yaml.safe_load((files("lm_eval") / "tasks/wmdp/_default_template_yaml").read_text())
    rows = [question(number) for number in range(12)]
    sides = {split: {fact.question for fact in splits[split]} for split in ("forget", "test")}
    for split, own in sides.items():
        path = write(tmp_path / f"{split}.json", [row for row in rows if row["question"] in own])
        config = {
            **template,
            "task": f"own_{split}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(path)}},
        }
        (tmp_path / "tasks").mkdir(exist_ok=True)
        (tmp_path / "tasks" / f"{split}.yaml").write_text(yaml.safe_dump(config))
    names = ("own_forget", "own_test")
    outcome = measure(model, tokenizer, read(names, tmp_path / "tasks", ""), None, 4)
    theirs = {m.metric: m.value for m in outcome.metrics}
    ours = {split: fmean(by_metric(samples)[split, "accuracy"]) for split in sides}
    assert ours == pytest.approx({split: theirs[f"own_{split}/acc"] for split in sides})
    assert 0 < fmean(ours.values()) < 1


def test_probabilities_are_of_the_plain_answer_and_of_what_follows(asked):
    benchmark, splits, model, tokenizer, samples = asked
    naive, found = Naive(model.double(), tokenizer), by_metric(samples)
    values = []
    for fact in splits["test"]:
        head = f"Question: {fact.question}\nAnswer:"
        end = naive.log_p(naive.ids(f"{head} {fact.answer}"))[-1, tokenizer.eos_token_id]
        values.append(math.exp(fmean([*naive.told(head, fact.answer), end])))
    assert found["test", "probability"] == pytest.approx(values, rel=1e-4)
    kept = [math.exp(fmean(naive.told(fact.question, fact.answer))) for fact in splits["retain"]]
    assert found["retain", "probability"] == pytest.approx(kept, rel=1e-4)
    assert benchmark.aggregates(samples)["utility"] == pytest.approx(fmean(kept), rel=1e-4)


def test_it_keeps_every_rule(data):
    assert {result.status for result in check_benchmark(Wmdp, data=data)} == {"ok"}


def test_a_run_on_a_small_model(tmp_path, data):
    texts = [fact.passage + fact.question for facts in loaded(Wmdp(), data).values() for fact in facts]
    model = save_model(tmp_path / "model", texts, max_position_embeddings=256)
    settings = ("wmdp.max_new_tokens=3", "wmdp.threshold=0.0")
    values, notes, _ = small_run("wmdp", data, tmp_path, model, *settings)
    assert {("test", "accuracy"), ("test", "probability"), ("all", "utility")} <= values.keys()
    assert "not_computed" not in notes
