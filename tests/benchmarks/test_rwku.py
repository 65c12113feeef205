"""RWKU: its files, its prompts, and the recall of the package that the authors use."""

from __future__ import annotations

from statistics import fmean

import pytest
from harness.benchmarks.rwku import Rwku
from harness.benchmarks.rwku.scores import recall

from harness.core.types import Generate, Prompt
from harness.errors import DataError, HarnessError
from harness.model.tokens import PromptTokenizer
from harness.scoring.metrics import by_metric
from harness.scoring.scorer import Scorer
from harness.testing import check_benchmark, sandbox
from support.answers import loaded
from support.naive import Naive
from support.rwku_files import person, probe, tables, write_rwku
from support.saved import save_model
from support.small_runs import small_run
from support.tables import write

TWO = {"targets": 2, "retained": 2}


@pytest.fixture
def data(tmp_path):
    return write_rwku(tmp_path / "rwku")


def make(**settings):
    return Rwku(Rwku.Config(**TWO | settings))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_format_gives_the_same_facts(suffix, tmp_path, data):
    assert dict(loaded(make(), write_rwku(tmp_path / "other", suffix))) == dict(loaded(make(), data))


def test_configurations_of_the_hub_are_found(tmp_path, data):
    for name, rows in tables(4).items():
        part = "train" if name.startswith(("train", "mia")) else "test"
        write(tmp_path / "hub" / name / f"{part}-00000-of-00001.parquet", rows)
    assert dict(loaded(make(), tmp_path / "hub")) == dict(loaded(make(), data))
    with pytest.raises(HarnessError, match="jinzhuoran/RWKU could not be had from the hub"):
        Rwku().load()


def test_the_first_people_are_forgotten_and_the_next_kept(data):
    splits = loaded(make(), data)
    people = [person(number)["subject"] for number in range(4)]
    for name, who in {"forget": people[:2], "level3": people[:2], "retain": people[2:]}.items():
        assert list(dict.fromkeys(fact.subject for fact in splits[name])) == who
    assert [len(splits[name]) for name in ("forget", "level2", "level3", "neighbor1")] == [4, 4, 6, 4]
    with pytest.raises(DataError, match=r"expected probes about 20 people .* found 4"):
        loaded(Rwku(), data)


def test_texts_about_a_person_may_be_trained_on_in_place_of_probes(data):
    for fact in loaded(make(train="llama3"), data)["forget"]:
        assert fact.passage.startswith(fact.subject)
        assert fact.prompt == Prompt(fact.question)
    assert {fact.passage for fact in loaded(make(), data)["forget"]} == {""}
    with pytest.raises(DataError, match="no table 'train_original_passage"):
        loaded(make(train="original"), data)


FAULTS = [
    ({"query": ""}, "expected a non-empty text in 'query', found an empty one"),
    ({"subject": None}, "expected a non-empty text in 'subject', found none"),
    ({"level": "2"}, "expected '1' in 'level', found '2'"),
]


@pytest.mark.parametrize(("change", "says"), FAULTS)
def test_what_is_wrong_is_named_with_file_row_and_field(change, says, data):
    rows = tables(4)["forget_level1"]
    rows[2] |= change
    path = write(data / "forget_level1.json", rows)
    with pytest.raises(DataError) as caught:
        loaded(make(), data)
    assert str(caught.value).startswith(f"{path}, row 3: {says}")


def test_a_person_without_probes_is_named(data):
    write(data / "forget_level2.json", [probe(0, 2, 0)])
    with pytest.raises(DataError, match=f"no probe about '{person(1)['subject']}' in this table"):
        loaded(make(), data)


# What the package `rouge` 1.0.1 gives (get_scores, rouge-l, r). Its words are sets, and it goes by sentences.
@pytest.mark.parametrize(
    ("said", "gold", "value"),
    [
        ("It was Carrie.", "Carrie", 1.0),
        ("the King of Horror", "King of Horror", 1.0),
        ("Stephen Edwin King was born in 1947. In Portland, Maine.", "Portland, Maine", 1.0),
        ("b a c a b", "a b a c", 1.0),
        ("U.S. president", "The U.S. president", 0.75),
        ("paris", "Paris", 0.0),
        ("Paris,", "Paris", 0.0),
        ("Paris\nLyon", "Lyon", 0.0),
        ("", "Paris", 0.0),
    ],
)
def test_recall_is_that_of_the_package_of_the_authors(said, gold, value):
    assert recall(said, gold) == value


def test_each_level_is_asked_as_published(data):
    benchmark = make()
    splits = loaded(benchmark, data)
    tokenizer = sandbox.tokenizer_of(splits)
    tokenizer.chat_template = "{% for m in messages %}<{{ m.content }}>{% endfor %}"
    tokens = PromptTokenizer(tokenizer)
    heads = {
        m.fact_id: tokens.frame(request.prompt)
        for m in benchmark.measures(splits)
        for request in m.requests
        if isinstance(request, Generate) and m.metric == "recall"
    }
    who = person(0)["subject"]
    asked = "Please briefly answer the following question.\n"
    assert heads["level1 1"] == (
        f"<Please complete the blank in the following question.\nQuestion: {who} lives in ___ .\n>Answer:"
    )
    assert heads["level2 1"] == f"<{asked}Question: Where does {who} live ?\n>Answer:"
    assert heads["level3 1 affirmative suffix"] == f"<{asked}Question: Where does {who} live ?>"
    shown = f"Question: What is green ? Answer: kale\nQuestion: What does {who} eat ?"
    assert heads["level3 2 incontext learning"] == f"<{asked}{shown}\n>Answer:"


def test_every_number_of_a_model_is_what_its_definition_says(data):
    benchmark = make(max_new_tokens=5)
    splits = loaded(benchmark, data)
    tokenizer = sandbox.tokenizer_of(splits)
    model = sandbox.tiny_model(tokenizer).double()
    samples = Scorer(model, PromptTokenizer(tokenizer)).measure(list(benchmark.measures(splits)))
    found, naive = by_metric(samples), Naive(model, tokenizer)
    blank = "Please complete the blank in the following question.\nQuestion: {}\nAnswer:"
    values = [
        recall(naive.continues(blank.format(row["query"]), 5), row["answer"])
        for row in tables(4)["forget_level1"][:4]
    ]
    assert found["forget", "recall"] == pytest.approx(values)
    losses = [-fmean(naive.told("", row["text"])) for row in tables(4)["mia_forget"][:2]]
    assert found["mia_forget", "text_loss"] == pytest.approx(losses, rel=1e-5)
    aggregates = benchmark.aggregates(samples)
    every = [value for split in ("forget", "level2", "level3") for value in found[split, "recall"]]
    assert aggregates["forget_all"] == pytest.approx(fmean(every))
    near = found["neighbor1", "recall"] + found["neighbor2", "recall"]
    assert aggregates["utility"] == pytest.approx(fmean(near))


@pytest.mark.parametrize("train", ["probes", "llama3"])
def test_it_keeps_every_rule(train, data):
    results = check_benchmark(Rwku, data=data, train=train, **TWO)
    assert {result.status for result in results} == {"ok"}


def test_a_run_on_a_small_model(tmp_path, data):
    texts = [" ".join(row.values()) for rows in tables(4).values() for row in rows]
    model = save_model(tmp_path / "model", texts, max_position_embeddings=256)
    settings = ("rwku.targets=2", "rwku.retained=2", "rwku.max_new_tokens=4", "rwku.threshold=0.0")
    values, notes, _ = small_run("rwku", data, tmp_path, model, *settings)
    assert {("level3", "recall"), ("neighbor2", "recall"), ("all", "utility")} <= values.keys()
    assert "not_computed" not in notes
