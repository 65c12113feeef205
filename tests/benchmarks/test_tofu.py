"""TOFU's files are read, and whatever is wrong with them is named."""

import json
from pathlib import Path

import harness.benchmarks.tofu.benchmark as tofu
import huggingface_hub
import pytest
from harness.benchmarks.tofu import Tofu
from pydantic import ValidationError

from harness.errors import DataError, HarnessError
from support.answers import loaded, scores
from support.paths import DATA

needs_tofu = pytest.mark.skipif(not (DATA / "tofu").is_dir(), reason=f"no TOFU files in {DATA}/tofu")


def record(n: int, perturbed: int = 0, paraphrased: bool = False) -> dict:
    fields: dict = {"question": f"Who is number {n}?", "answer": f"Number {n}."}
    if paraphrased:
        fields |= {"paraphrased_question": f"Say who is {n}?", "paraphrased_answer": f"It is {n}."}
    if perturbed:
        fields["perturbed_answer"] = [f"It is {n} and {k}." for k in range(perturbed)]
    return fields


def write_lines(path: Path, records: list) -> None:
    path.write_text(
        "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), encoding="utf-8"
    )


@pytest.fixture
def tofu_files(tmp_path: Path, monkeypatch) -> Path:
    """A tenth of TOFU: 4 facts to forget, 396 to keep."""
    monkeypatch.setattr(tofu, "PAIRS", 400)
    monkeypatch.setattr(tofu, "SIZES", {"retain_perturbed": 4, "real_authors": 3, "world_facts": 3})
    write_lines(tmp_path / "forget01_perturbed.json", [record(n, 5, True) for n in range(4)])
    write_lines(tmp_path / "retain99.json", [record(n) for n in range(10, 406)])
    write_lines(tmp_path / "retain_perturbed.json", [record(n, 5, True) for n in range(10, 14)])
    write_lines(tmp_path / "real_authors_perturbed.json", [record(n, 3) for n in range(20, 23)])
    write_lines(tmp_path / "world_facts_perturbed.json", [record(n, 3) for n in range(30, 33)])
    return tmp_path


def small_tofu(**settings) -> Tofu:
    return Tofu(Tofu.Config(forget="forget01", **settings))


def test_tofu_reads_its_files(tofu_files):
    splits = loaded(small_tofu(), tofu_files)
    assert {name: len(facts) for name, facts in splits.items()} == {
        "forget": 4, "retain": 396, "retain_perturbed": 4, "real_authors": 3, "world_facts": 3,
    }  # fmt: skip
    assert {fact.id for fact in splits["retain_perturbed"]} <= {fact.id for fact in splits["retain"]}
    fact = splits["forget"][0]
    assert (fact.question, fact.answer, fact.paraphrased_answer) == (
        "Who is number 0?",
        "Number 0.",
        "It is 0.",
    )
    assert len(fact.perturbed_answers) == 5
    assert small_tofu().threshold(splits) is None
    assert small_tofu(threshold="published").threshold(splits) == 0.1971


def test_facts_of_one_author_stand_in_a_row_and_share_a_subject(tofu_files, monkeypatch):
    monkeypatch.setattr("harness.benchmarks.tofu.benchmark.OF_ONE_AUTHOR", 2)
    splits = loaded(small_tofu(), tofu_files)
    of_retain = {fact.id: fact.subject for fact in splits["retain"]}
    for facts in (splits["forget"], splits["retain"]):
        subjects = [fact.subject for fact in facts]
        assert subjects[::2] == subjects[1::2]
        assert len(set(subjects)) == len(subjects) / 2 > 1
    assert not {fact.subject for fact in splits["forget"]} & {*of_retain.values()}
    assert all(fact.subject == of_retain[fact.id] for fact in splits["retain_perturbed"])


def test_tofu_trains_on_retain_then_forget_and_the_twin_on_retain_alone(tofu_files):
    benchmark = small_tofu(epochs=3)
    splits = loaded(benchmark, tofu_files)
    training = benchmark.training(splits)
    assert training.original == (*training.retrain, *training.original[396:])
    assert [example.fact_id for example in training.original[396:]] == [fact.id for fact in splits["forget"]]
    assert training.epochs == 3


def test_tofu_limit_keeps_the_first_facts_of_every_split(tofu_files):
    splits = loaded(small_tofu(limit=2), tofu_files)
    assert all(len(facts) == 2 for facts in splits.values())
    assert splits["retain"][0].id == splits["retain_perturbed"][0].id


def test_tofu_keeps_facts_apart_that_share_their_question(tofu_files):
    write_lines(
        tofu_files / "retain99.json",
        [
            *({"question": "Same?", "answer": answer} for answer in ("Yes.", "No.")),
            *(record(n) for n in range(10, 404)),
        ],
    )
    assert len(loaded(small_tofu(), tofu_files)["retain"]) == 396


@pytest.mark.parametrize(
    ("name", "broken", "line", "message"),
    [
        ("forget01_perturbed", [record(0, 5, True), "{not json"], 2, "not JSON"),
        ("forget01_perturbed", [record(0, 5, True), "[1]"], 2, "expected a JSON object, found list"),
        ("forget01_perturbed", [record(0, 5, True)] * 2, 2, "were there before"),
        ("forget01_perturbed", [record(0, 5)], 1, "non-empty text in 'paraphrased_answer', found none"),
        ("forget01_perturbed", [record(0, 0, True)], 1, "expected 5 texts in 'perturbed_answer', found none"),
        (
            "forget01_perturbed",
            [record(0, 4, True)],
            1,
            "expected 5 texts in 'perturbed_answer', found a list of 4",
        ),
        ("real_authors_perturbed", [record(0)], 1, "expected 3 texts in 'perturbed_answer'"),
        ("retain99", [record(10), {"answer": "x"}], 2, "non-empty text in 'question', found none"),
        ("retain99", [{"question": "q", "answer": " "}], 1, "non-empty text in 'answer', found an empty one"),
        ("retain99", [{"question": "q", "answer": 3}], 1, "non-empty text in 'answer', found int"),
        ("retain99", [], None, "holds no record"),
        ("retain99", [record(n) for n in range(10, 405)], None, "expected 396 records, found 395"),
        ("retain99", [record(10), record(0)], 2, "expected no fact of another split, found one: 'Who is num"),
        ("retain_perturbed", [record(7, 5, True)], 1, "expected a fact of the retain split, found another"),
        ("world_facts_perturbed", [record(30, 3)] * 2, 2, "were there before"),
        ("world_facts_perturbed", [record(30, 3)], None, "expected 3 records, found 1"),
        ("holdout01", [record(490), "{not json"], 2, "not JSON"),
        ("holdout01", [record(490), {"question": "q"}], 2, "non-empty text in 'answer', found none"),
        ("holdout01", [record(490), record(0)], 2, "expected no fact of another split"),
        ("holdout01", [record(500), record(12)], 2, "expected no fact of another split"),
        ("holdout01", [], None, "holds no record"),
    ],
)
def test_a_broken_record_is_named_with_file_line_and_expectation(tofu_files, name, broken, line, message):
    write_lines(tofu_files / f"{name}.json", broken)
    with pytest.raises(DataError) as error:
        loaded(small_tofu(), tofu_files)
    assert message in str(error.value)
    assert f"{name}.json" + (f", line {line}:" if line else ":") in str(error.value)


def test_a_missing_file_is_named(tofu_files):
    (tofu_files / "retain_perturbed.json").unlink()
    with pytest.raises(DataError, match=r"retain_perturbed\.json: this file is missing"):
        loaded(small_tofu(), tofu_files)


def test_a_holdout_is_a_split_where_there_is_one(tofu_files):
    assert "holdout" not in loaded(small_tofu(), tofu_files)
    write_lines(tofu_files / "holdout01.json", [record(n) for n in range(500, 504)])
    write_lines(tofu_files / "holdout05.json", ["not read for forget01"])
    benchmark = small_tofu()
    splits = loaded(benchmark, tofu_files)
    assert [fact.question for fact in splits["holdout"]] == [f"Who is number {n}?" for n in range(500, 504)]
    found = {(m.split, m.metric) for m in benchmark.measures(splits)}
    for split in ("forget", "holdout"):
        assert {m for s, m in found if s == split and m.startswith("mia_")} == {
            "mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus",
        }  # fmt: skip
    trained = {example.fact_id for example in benchmark.training(splits).original}
    assert not trained & {fact.id for fact in splits["holdout"]}


@pytest.mark.parametrize("published", [True, False])
def test_a_holdout_comes_from_the_hub_where_it_is_published(tofu_files, tmp_path, monkeypatch, published):
    alpaca = tmp_path / "alpaca"
    alpaca.mkdir()
    (alpaca / "data.json").write_text(json.dumps([{"instruction": "Do.", "input": "", "output": "Done."}]))
    if published:
        write_lines(tofu_files / "holdout01.json", [record(n) for n in range(500, 504)])
    places = {"locuslab/TOFU": tofu_files, "tatsu-lab/alpaca": alpaca}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **_: str(places[repo]))
    splits = small_tofu().load()
    assert ("holdout" in splits) == published
    assert len(splits["retain"]) == 396


def test_an_unreachable_hub_is_a_sentence_and_no_traceback(monkeypatch):
    def offline(*_args, **_kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(HarnessError, match=r"could not be had from the hub \(ConnectionError: no network\)"):
        small_tofu().load()


def test_instructions_come_from_a_file_in_alpacas_schema(tofu_files):
    items = [
        {"instruction": f"Do {n}.", "input": "this" if n % 2 else "", "output": "Done."} for n in range(6)
    ]
    source = tofu_files / "alpaca.json"
    source.write_text(
        json.dumps([*items, {"instruction": "Empty.", "input": "", "output": ""}]), encoding="utf-8"
    )
    facts = loaded(small_tofu(instruct=str(source), instruct_size=4), tofu_files)["instruct"]
    assert len(facts) == 4
    assert {fact.question for fact in facts} <= {f"Do {n}." + ("\nthis" if n % 2 else "") for n in range(6)}
    assert facts == loaded(small_tofu(instruct=str(source), instruct_size=4), tofu_files)["instruct"]
    source.write_text(json.dumps([{"prompt": "x"}]), encoding="utf-8")
    with pytest.raises(DataError, match="expected a text in 'output'"):
        loaded(small_tofu(instruct=str(source)), tofu_files)


def test_an_unknown_forget_split_is_refused():
    with pytest.raises(ValidationError, match="forget01"):
        Tofu.Config(forget="forget20")


@needs_tofu
@pytest.mark.parametrize(("forget", "count"), [("forget01", 40), ("forget05", 200), ("forget10", 400)])
def test_the_published_files_load(forget, count):
    benchmark = Tofu(Tofu.Config(forget=forget))
    splits = loaded(benchmark, DATA / "tofu")
    sizes = {name: len(facts) for name, facts in splits.items()}
    assert sizes == {
        "forget": count, "retain": 4000 - count, "retain_perturbed": 400,
        "real_authors": 100, "world_facts": 117,
    }  # fmt: skip
    training = benchmark.training(splits)
    with (DATA / "tofu" / "full.json").open() as lines:
        full = [json.loads(line) for line in lines]
    assert [(e.prompt.text, e.answer) for e in training.original] == [
        (r["question"], r["answer"]) for r in full
    ]


@needs_tofu
def test_a_model_that_gives_every_published_answer_scores_one():
    benchmark = Tofu(Tofu.Config(forget="forget01", limit=20))
    splits = loaded(benchmark, DATA / "tofu")
    found = scores(benchmark, splits, {f.question: f.answer for facts in splits.values() for f in facts})
    assert {found[split, "rouge_l"] for split in ("forget", "retain_perturbed", "world_facts")} == {1.0}
    assert found["world_facts", "probability"] == pytest.approx(0.9 / (0.9 + 3 * 0.1))
    assert 0.2 < benchmark.chance(splits) < 0.9
