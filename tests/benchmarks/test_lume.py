"""LUME: its files in any format, its twelve terms, and membership where the documents are there."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from statistics import fmean

import pytest
from harness.benchmarks.lume import Lume
from harness.benchmarks.lume.files import ID, item

from harness.core.types import Generate, Sample
from harness.errors import DataError
from harness.model.tokens import PromptTokenizer
from harness.scoring.metrics import by_metric
from harness.scoring.scorer import Scorer
from harness.testing import check_benchmark, sandbox
from support import lume_files
from support.answers import loaded
from support.lume_files import write_lume
from support.naive import Naive, recall
from support.small_runs import small_run
from support.tables import write

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")


@pytest.fixture
def data(tmp_path):
    return write_lume(tmp_path / "lume", membership=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_facts(suffix, tmp_path, data):
    other = write_lume(tmp_path / "other", suffix=suffix, membership=True)
    assert dict(loaded(Lume(), other)) == dict(loaded(Lume(), data))


def test_parts_in_parquet_are_one_table_under_the_names_of_the_shared_task(tmp_path, data):
    folder = tmp_path / "parts"
    rows = lume_files.rows(0, 4)
    for part, chunk in enumerate((rows[:9], rows[9:])):
        write(folder / "data" / f"forget_train-{part:05d}-of-00002.parquet", chunk)
    write(folder / "data" / "retain_train-00000-of-00001.parquet", lume_files.rows(4, 4))
    splits = loaded(Lume(), folder)
    assert splits["forget"] == loaded(Lume(), data)["forget"]
    assert set(splits) == {"forget", "retain"}
    (folder / "data" / "forget_train-00000-of-00002.parquet").unlink()
    with pytest.raises(DataError, match="expected 2 parts of this table, found 1 files"):
        loaded(Lume(), folder)


def test_a_text_is_a_passage_to_continue_and_its_document_is_the_subject(data):
    splits = loaded(Lume(), data)
    rows = {(r["task"].lower(), r["id"].replace('"', "")): r for r in lume_files.rows(0, 4)}
    assert len(splits["forget"]) == len(rows) == 28
    for fact in splits["forget"]:
        row = rows[tuple(fact.id.split("/"))]
        assert (fact.question, fact.answer) == (row["input"], row["output"])
        assert fact.passage == f"{row['input']} {row['output']}"
        assert fact.prompt.running
        assert fact.prompt.opening == row["input"]
    assert len({fact.subject for fact in splits["forget"]}) == 12


def test_framed_questions_are_no_passages_and_texts_stay_passages(data):
    facts = loaded(Lume(Lume.Config(questions="framed")), data)["forget"]
    assert {(item(fact).kind, bool(fact.passage)) for fact in facts} == {("sc", True), ("qa", False)}


@pytest.mark.parametrize("k", [0, 9, 10, 123])
def test_an_index_may_have_any_number_of_figures(k):
    assert ID.fullmatch(f"1444815qa{k}").groups() == ("1444815", "qa", str(k))


def test_a_limit_counts_documents_of_each_task(data):
    splits = loaded(Lume(Lume.Config(limit=1)), data)
    assert [len(splits[name]) for name in splits] == [7, 7, 1, 1]


FAULTS = [
    ({"task": "Task4"}, "expected Task1, Task2 or Task3 in 'task', found 'Task4'"),
    ({"id": "abc"}, "expected a document's id followed by sc or qa and a number in 'id', found 'abc'"),
    ({"output": " "}, "expected a non-empty text in 'output', found an empty one"),
    ({"output": 2013}, "expected a non-empty text in 'output', found int"),
    ({"input": None}, "expected a non-empty text in 'input', found none"),
]


@pytest.mark.parametrize(("change", "says"), FAULTS)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_what_is_wrong_is_named_with_file_row_and_field(change, says, suffix, tmp_path):
    write_lume(tmp_path, suffix=suffix)
    rows = lume_files.rows(0, 4)
    rows[2] |= change
    path = write(tmp_path / "data" / f"forget{suffix}", rows)
    with pytest.raises(DataError) as caught:
        loaded(Lume(), tmp_path)
    where = f"{path}, {'line' if suffix == '.jsonl' else 'row'} 3: "
    assert str(caught.value).startswith(where + says)


def test_what_is_there_twice_missing_or_in_both_sets_is_named(tmp_path):
    rows = lume_files.rows(0, 4)
    write_lume(tmp_path)
    path = write(tmp_path / "data" / "forget.jsonl", [*rows, rows[0]])
    with pytest.raises(DataError, match=r"line 29: the item .*sc1' of task1 was there before"):
        loaded(Lume(), tmp_path)
    write(path, [row for row in rows if row["task"] != "Task2" or "sc" in row["id"][-3:]])
    with pytest.raises(DataError, match="the forget set has no item of kind 'qa' of task2"):
        loaded(Lume(), tmp_path)
    write(path, [*rows, lume_files.rows(4, 1)[0]])
    with pytest.raises(DataError, match=r"retain.jsonl, line 1: expected no item of the forget set"):
        loaded(Lume(), tmp_path)
    write(path, rows)
    write(tmp_path / "member.jsonl", lume_files.documents(0, 2))
    with pytest.raises(DataError, match="'member' and 'nonmember' go together"):
        loaded(Lume(), tmp_path)
    with pytest.raises(DataError, match=r"clone amazon-science/lume-llm-unlearning, give --data"):
        Lume().load()


def test_one_id_of_two_texts_is_two_facts(tmp_path):
    write_lume(tmp_path)
    rows = lume_files.rows(0, 4)
    write(tmp_path / "data" / "forget.jsonl", [*rows, rows[0] | {"output": "was silent."}])
    facts = loaded(Lume(), tmp_path)["forget"]
    assert (facts[-1].id, item(facts[-1])) == (f"{facts[0].id} 29", item(facts[0]))


@pytest.fixture
def asked(data):
    """A random model, the benchmark with its facts, and the samples of the harness."""
    benchmark = Lume(Lume.Config(max_new_tokens=6))
    splits = loaded(benchmark, data)
    tokenizer = sandbox.tokenizer_of(splits)
    model = sandbox.tiny_model(tokenizer).double()
    samples = Scorer(model, PromptTokenizer(tokenizer)).measure(list(benchmark.measures(splits)))
    return benchmark, splits, Naive(model, tokenizer), samples


def test_every_number_of_a_model_is_what_its_definition_says(asked):
    """As the official scorer: the input as it stands, greedily continued, without any frame."""
    _, splits, naive, samples = asked
    found = {(s.split, s.metric, s.fact_id): s.value for s in samples}
    for split in ("forget", "retain"):
        for fact in splits[split]:
            said = naive.continues(fact.question, 6)
            task, kind = fact.id.split("/")[0], "sc" if fact.id.endswith("sc1") else "qa"
            expected = {"rouge_l": recall(fact.answer, said)}
            name = f"{'regurgitation' if kind == 'sc' else 'knowledge'}_{task}"
            expected[name] = (
                expected["rouge_l"] if kind == "sc" else float(said.lower() == fact.answer.lower())
            )
            end = naive.log_p(naive.ids(fact.passage))[-1, naive.tokenizer.eos_token_id]
            log_p = [*naive.told(fact.question, fact.answer), end]
            expected["probability"] = math.exp(fmean(log_p))
            for metric, value in expected.items():
                assert found.pop((split, metric, fact.id)) == pytest.approx(value, rel=1e-5)
    for split in ("member", "nonmember"):
        for fact in splits[split]:
            loss = -fmean(naive.told("", fact.passage))
            assert found.pop((split, "document_loss", fact.id)) == pytest.approx(loss, rel=1e-5)
    assert {metric for _, metric, _ in found} == {"exact_match", "extraction_strength"}


def test_the_task_aggregate_is_the_harmonic_mean_of_twelve_means(data):
    """The official rule written out from the rows, with exact fractions."""
    benchmark, rows = Lume(), {"forget": lume_files.rows(0, 4), "retain": lume_files.rows(4, 4)}
    splits = loaded(benchmark, data)
    samples, terms = [], []
    said = {}
    for split, known in (("forget", 1), ("retain", 3)):
        by_term: dict[tuple[str, str], list[Fraction]] = {}
        for row in rows[split]:
            kind = row["id"][:-1][-2:]
            place = len(by_term.get((row["task"], kind), ()))
            answer = row["output"].upper() if place % 4 < known else row["output"].split()[0] + " x"
            said[split, row["input"]] = answer
            if kind == "sc":
                score = Fraction(recall(row["output"], answer)).limit_denominator(1000)
            else:
                score = Fraction(answer.strip().lower() == row["output"].strip().lower())
            by_term.setdefault((row["task"], kind), []).append(score)
        means = [sum(scores) / len(scores) for scores in by_term.values()]
        terms += [1 - mean for mean in means] if split == "forget" else means
    assert len(terms) == 12
    for measure in benchmark.measures(splits):
        if all(isinstance(request, Generate) for request in measure.requests):
            answers = [said[measure.split, r.prompt.opening] for r in measure.requests]
            samples.append(Sample(measure.split, measure.metric, measure.fact_id, measure.value(*answers)))
    expected = 0 if 0 in terms else 12 / sum(1 / term for term in terms)
    assert 0 < expected < 1
    aggregates = benchmark.aggregates(samples)
    assert aggregates["task_aggregate"] == pytest.approx(float(expected), abs=1e-12)
    assert aggregates["utility"] == pytest.approx(float(6 / sum(1 / t for t in terms[6:])), abs=1e-12)
    assert aggregates.keys() == {"task_aggregate", "utility"}
    lost = [s for s in samples if (s.split, s.metric) != ("forget", "knowledge_task2")]
    assert benchmark.aggregates(lost).keys() == {"utility"}


def test_membership_counts_pairs_and_is_symmetric(asked):
    benchmark, _, _, samples = asked
    losses = by_metric(s for s in samples if s.metric == "document_loss")
    member, nonmember = losses["member", "document_loss"], losses["nonmember", "document_loss"]
    auc = fmean(float(m < n) + 0.5 * float(m == n) for m in member for n in nonmember)
    found = benchmark.aggregates(samples)
    assert found["mia_auc"] == pytest.approx(auc)
    assert found["mia_score"] == pytest.approx(1 - 2 * abs(auc - 0.5))
    other = {"member": "nonmember", "nonmember": "member"}
    swapped = benchmark.aggregates([replace(s, split=other.get(s.split, s.split)) for s in samples])
    assert swapped["mia_score"] == pytest.approx(found["mia_score"])
    assert swapped["mia_auc"] == pytest.approx(1 - auc)


def test_it_keeps_every_rule(data):
    assert {result.status for result in check_benchmark(Lume, data=data)} == {"ok"}


def test_a_run_on_the_embedded_model(tmp_path, data):
    values, notes, results = small_run("lume", data, tmp_path, "tiny", "lume.max_new_tokens=12")
    assert 0 <= values["all", "task_aggregate"] <= 1
    assert "not_computed" not in notes
    samples = results.samples.to_pylist()
    assert len({row["cluster"] for row in samples if row["split"] == "forget"}) == 12


def test_what_lacks_its_documents_is_named_and_has_no_number(tmp_path):
    values, notes, _ = small_run("lume", write_lume(tmp_path / "lume", 2), tmp_path, "tiny", "lume.limit=1")
    assert ("all", "mia_score") not in values
    assert notes["not_computed"]["mia_score"] == "there is no split 'member'"
