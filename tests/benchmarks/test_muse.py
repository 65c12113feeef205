"""MUSE: its files, its six criteria, and passages as what is forgotten."""

from __future__ import annotations

from statistics import fmean

import pytest
from harness.benchmarks.muse import Muse
from harness.benchmarks.muse.scores import REFERENCE, knowmem
from harness.benchmarks.passages import cut

from harness.errors import DataError, HarnessError
from harness.model.tokens import PromptTokenizer
from harness.scoring.metrics import by_metric
from harness.scoring.scorer import Scorer
from harness.testing import check_benchmark, sandbox
from support.answers import loaded
from support.muse_files import pair, text, write_muse
from support.naive import Naive, common, recall, words
from support.small_runs import small_run
from support.tables import write

TOKENS = 7


@pytest.fixture
def data(tmp_path):
    return write_muse(tmp_path / "muse")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_format_gives_the_same_facts(suffix, tmp_path, data):
    assert dict(loaded(Muse(), write_muse(tmp_path / "other", suffix))) == dict(loaded(Muse(), data))


def test_files_of_the_hub_and_of_the_authors_are_found(tmp_path, data):
    hub = write_muse(tmp_path / "hub", ".parquet")
    for path in sorted(hub.rglob("*.parquet")):
        path.rename(path.with_name(f"{path.stem}-00000-of-00001.parquet"))
    own = write_muse(tmp_path / "own" / "data" / "bbc")
    for name in ("retain_qa", "retain_qa_icl"):
        path = own / "knowmem" / f"{name}.json"
        path.rename(path.with_name(f"{name.replace('retain', 'retain2')}.json"))
    for folder in (hub, tmp_path / "own"):
        assert dict(loaded(Muse(), folder)) == dict(loaded(Muse(), data))


def test_without_a_directory_the_hub_is_asked_for_the_corpus():
    for corpus, name in (("news", "MUSE-News"), ("books", "MUSE-Books")):
        with pytest.raises(HarnessError, match=f"muse-bench/{name} could not be had from the hub"):
            Muse(Muse.Config(corpus=corpus)).load()


def test_a_passage_is_begun_and_what_follows_is_looked_for(data):
    splits = loaded(Muse(), data)
    assert [fact.passage for fact in splits["forget"]] == [text(number) for number in range(4)]
    for fact in splits["forget"]:
        assert fact.passage.startswith(fact.question)
        assert fact.prompt.running
        assert f"{fact.question} {fact.answer}".split() == fact.passage.split()
    assert [len(splits[name]) for name in ("retain", "read", "verbmem", "privleak_holdout")] == [4, 8, 4, 4]


@pytest.mark.parametrize(
    ("most", "lengths"), [(7, [6, 6, 6, 6]), (24, [24]), (23, [12, 12]), (5, [4, 5, 5, 5, 5]), (100, [24])]
)
def test_a_long_text_is_cut_into_passages_of_one_length_that_lose_no_word(most, lengths):
    whole = text(1)
    parts = cut(whole, most)
    assert [len(part.split()) for part in parts] == lengths
    assert [word for part in parts for word in part.split()] == whole.split()
    assert all(part in whole for part in parts)


@pytest.mark.parametrize(("fold", "first", "count"), [("scal_2", 0, 8), ("sust_1", 50, 4)])
def test_a_fold_is_forgotten_in_place_of_all(fold, first, count, data):
    forget = loaded(Muse(Muse.Config(forget=fold)), data)["forget"]
    assert (forget[0].passage, len(forget)) == (text(first), count)
    with pytest.raises(DataError, match="no table 'scal/forget_4' is here"):
        loaded(Muse(Muse.Config(forget="scal_4")), data)


def test_what_is_wrong_is_named_with_file_row_and_field(data):
    path = write(data / "knowmem" / "forget_qa.json", [pair(0), {"question": "Who ?"}])
    with pytest.raises(DataError, match=r"forget_qa.json, row 2: expected a non-empty text in 'answer'"):
        loaded(Muse(), data)
    write(path, [pair(0)])
    write(data / "raw" / "forget.json", ["a b", 7])
    with pytest.raises(DataError, match=r"forget.json, row 2: expected an object or a text, found int"):
        loaded(Muse(), data)
    write(data / "raw" / "forget.json", ["a b", "alone"])
    with pytest.raises(DataError, match=r"row 2: expected at least two words in 'text', found 'alone'"):
        loaded(Muse(), data)
    (data / "verbmem" / "forget.json").unlink()
    write(data / "raw" / "forget.json", ["a b"])
    with pytest.raises(DataError, match="no table 'verbmem/forget' is here"):
        loaded(Muse(), data)


def f1(gold: str, said: str) -> float:
    told, found = words(gold, stem=False), words(said, stem=False)
    both = common(told, found)
    return 2 * both / (len(told) + len(found)) if both else 0.0


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("3 figs", 1.0),
        ("3 figs\n\nMore", 1.0),
        ("3\nQuestion: figs", 2 / 3),
        ("3 Question: figs", 2 / 3),
        ("", 0),
    ],
)
def test_an_answer_ends_where_the_model_goes_on_with_another_question(said, value):
    assert knowmem(said, "3 figs") == pytest.approx(value)


@pytest.fixture
def asked(data, monkeypatch):
    """A random model, the benchmark with its facts, and the samples of the harness; few tokens are said."""
    for name in ("VERBATIM", "ANSWER"):
        monkeypatch.setattr(f"harness.benchmarks.muse.benchmark.{name}", TOKENS)
    benchmark = Muse()
    splits = loaded(benchmark, data)
    tokenizer = sandbox.tokenizer_of(splits)
    model = sandbox.tiny_model(tokenizer).double()
    samples = Scorer(model, PromptTokenizer(tokenizer)).measure(list(benchmark.measures(splits)))
    return benchmark, splits, Naive(model, tokenizer), samples


def test_every_criterion_of_a_model_is_what_its_definition_says(asked):
    """From the rows, as the authors ask: raw text, greedy, the gold cut to as many tokens as are said."""
    benchmark, splits, naive, samples = asked
    found = by_metric(samples)

    def cut_to(gold: str) -> str:
        return naive.tokenizer.decode(naive.ids(gold)[:TOKENS])

    excerpts = [(t[:9], t[9:]) for t in (text(number).split() for number in range(4))]
    assert found["verbmem", "verbmem"] == pytest.approx(
        [f1(cut_to(" ".join(gt)), naive.continues(" ".join(begin), TOKENS)) for begin, gt in excerpts]
    )
    for split, own, icl in (("forget_qa", range(4), (70, 71)), ("retain_qa", range(4, 8), (80, 81))):
        shown = "".join("Question: {question}\nAnswer: {answer}\n\n".format(**pair(n)) for n in icl)
        values = [
            f1(
                pair(n)["answer"],
                naive.continues(f"{shown}Question: {pair(n)['question']}\nAnswer: ", TOKENS),
            )
            for n in own
        ]
        assert found[split, "knowmem"] == pytest.approx(values)
    assert found["forget", "rouge_l"] == pytest.approx(
        [recall(fact.answer, naive.continues(fact.question, TOKENS)) for fact in splits["forget"]]
    )
    scores = {}
    for split, numbers in (("privleak_forget", range(4)), ("privleak_holdout", range(60, 64))):
        every = [sorted(naive.told("", text(number))) for number in numbers]
        scores[split] = [-fmean(log_p[: int(0.4 * len(log_p))]) for log_p in every]
        assert found[split, "mia_min_k"] == pytest.approx(scores[split], rel=1e-5)
    stranger = fmean(
        float(f > h) + 0.5 * float(f == h)
        for f in scores["privleak_forget"]
        for h in scores["privleak_holdout"]
    )
    aggregates = benchmark.aggregates(samples)
    assert aggregates["auc_min_k"] == pytest.approx(1 - stranger)
    published = 100 * (stranger - REFERENCE["news"]) / REFERENCE["news"]
    assert aggregates["privleak_published"] == pytest.approx(published)
    assert aggregates["utility"] == pytest.approx(fmean(found["retain_qa", "knowmem"]))
    assert benchmark.against_twin(samples, samples) == {"privleak": 0.0}
    books = Muse(Muse.Config(corpus="books")).aggregates(samples)["privleak_published"]
    assert books == pytest.approx(100 * (stranger - 0.5393) / 0.5393)


def test_it_keeps_every_rule(data):
    assert {result.status for result in check_benchmark(Muse, data=data)} == {"ok"}


def test_a_run_on_the_embedded_model(tmp_path, data):
    values, notes, _ = small_run("muse", data, tmp_path)
    assert {("verbmem", "verbmem"), ("forget_qa", "knowmem"), ("all", "privleak")} <= values.keys()
    assert "not_computed" not in notes
