"""Loading, checking, asking and scoring: TOFU's real files and the embedded worlds."""

import json
import subprocess
import sys
from pathlib import Path

import harness.benchmarks
import harness.benchmarks.tofu as tofu
import huggingface_hub
import numpy as np
import pytest
from harness.benchmarks.faithun import FaithUn, FaithUnMini
from harness.benchmarks.tofu import Tofu, TofuMini
from pydantic import ValidationError

from harness import metrics
from harness.errors import DataError, HarnessError
from harness.formulas import described
from harness.types import Generate, LogLikelihood, Sample, Splits, TokenScores
from support.command import harness_cli
from support.paths import DATA

needs_tofu = pytest.mark.skipif(not (DATA / "tofu").is_dir(), reason=f"no TOFU files in {DATA}/tofu")
MINIS = (FaithUnMini, TofuMini)
DROPPED = {"extraction_strength", "exact_memorisation", "mia_min_k", "mia_min_k_plus_plus"}
"""Metrics that do not count the end token."""


def loaded(benchmark, data: Path | None):
    benchmark.data = data
    return benchmark.load()


def knowing(request, known):
    """What a model would say that gives probability .9 to known answers, and .1 to all others."""
    question = request.prompt.text.split("Question: ")[-1].split("\n")[0]
    if isinstance(request, Generate):
        return known.get(question, "no idea")
    right = known.get(question) == request.continuation
    count = len(request.continuation.split()) + request.end
    scores = TokenScores(np.full(count, np.log(0.9 if right else 0.1)), np.full(count, right))
    if not request.spread:
        return scores
    return scores._replace(means=np.full(count, -1.0), deviations=np.full(count, 2.0))


def answered(benchmark, splits, known) -> list[Sample]:
    found = []
    for measure in benchmark.measures(splits):
        value = measure.value(*(knowing(request, known) for request in measure.requests))
        assert isinstance(value, float)
        found.append(Sample(measure.split, measure.metric, measure.fact_id, value))
    return found


def scores(benchmark, splits, known) -> dict[tuple[str, str], float]:
    return metrics.means(answered(benchmark, splits, known))


def everything(splits) -> dict[str, str]:
    known = {}
    for fact in (fact for facts in splits.values() for fact in facts):
        for question in (*fact.paraphrases, *fact.multi_hop, *fact.same_answer):
            known[question.text] = question.answer
        known[fact.question] = fact.answer
    return known


# --- registration


def test_four_benchmarks_are_registered_by_name():
    found = {}
    harness.benchmarks.register_benchmarks(found.__setitem__)
    assert set(found) == {"faithun", "faithun-mini", "tofu", "tofu-mini"}
    for name, path in found.items():
        module, attribute = path.split(":")
        assert getattr(sys.modules[module], attribute).name == name


def test_loading_a_mini_imports_no_torch():
    program = (
        "import sys, harness.benchmarks.faithun, harness.benchmarks.tofu as t; t.TofuMini().load();"
        "assert not {'torch', 'transformers', 'datasets', 'rouge_score'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# --- measures of the embedded worlds


@pytest.mark.parametrize("kind", MINIS)
def test_a_model_that_knows_everything_scores_one(kind):
    benchmark = kind()
    splits = benchmark.load()
    samples = answered(benchmark, splits, everything(splits))
    found = metrics.means(samples)
    free = {
        "probability",
        "truth_ratio",
        "log_truth_ratio",
        "truth_ratio_knowledge",
        "probability_paraphrase",
    }
    free |= {metric for _, metric in found if metric.startswith("mia_")}
    paraphrased = {("forget", "accuracy")} if kind is TofuMini else set()
    assert {key for key, value in found.items() if value != 1.0 and key[1] not in free} == paraphrased
    assert benchmark.aggregates(samples)["utility"] > 0.85 if kind is FaithUnMini else True


@pytest.mark.parametrize("kind", MINIS)
def test_a_model_that_knows_nothing_scores_zero(kind):
    benchmark = kind()
    splits = benchmark.load()
    samples = answered(benchmark, splits, {})
    found = metrics.means(samples)
    for key in (
        (split, metric) for split, metric in found if metric in ("accuracy", "exact_match", "rouge_l")
    ):
        assert found[key] == 0.0
    assert benchmark.aggregates(samples)["utility"] == 0.0


@pytest.mark.parametrize("kind", MINIS)
def test_a_part_of_the_forget_set_can_be_measured_alone(kind):
    benchmark = kind()
    part = Splits({"forget": benchmark.load()["forget"][3:5]})
    measures = list(benchmark.measures(part))
    assert {measure.split for measure in measures} == {"forget"}
    assert len({measure.fact_id for measure in measures}) == 2
    assert set(benchmark.curve_metrics) <= {measure.metric for measure in measures}
    assert benchmark.forget_metric in benchmark.curve_metrics
    assert 0 < benchmark.chance(part) < 1
    assert 0 < benchmark.threshold(part) < 1
    assert benchmark.aggregates([]) == {}


@pytest.mark.parametrize("kind", MINIS)
def test_there_is_one_value_per_split_metric_and_fact(kind):
    keys = [(m.split, m.metric, m.fact_id) for m in kind().measures(kind().load())]
    assert len(keys) == len(set(keys))
    assert kind.retain_metric in {key[:2] for key in keys}


def test_extraction_is_asked_for_without_the_end_token_and_probability_with_it():
    for kind in MINIS:
        for measure in kind().measures(kind().load()):
            ends = {request.end for request in measure.requests if isinstance(request, LogLikelihood)}
            if measure.metric in DROPPED:
                assert ends == {False}
            elif ends and not measure.metric.startswith("accuracy"):
                assert ends == {True}, measure.metric


def test_tofu_mini_threshold_is_below_its_chance():
    benchmark = TofuMini()
    splits = benchmark.load()
    assert 0.1 < benchmark.threshold(splits) < benchmark.chance(splits) < 0.5


def test_tofu_mini_chance_is_what_a_guesser_in_the_right_format_gets():
    """Guesses in the format of the paraphrase, with all random words wrong, are worth nearly the same."""
    benchmark = TofuMini()
    splits = benchmark.load()
    guesses = [
        metrics.rouge_l_recall(wrong, fact.paraphrased_answer)
        for fact in splits["forget"]
        for wrong in fact.perturbed_answers
    ]
    assert abs(np.mean(guesses) - benchmark.chance(splits)) < 0.08


def test_tofu_mini_accuracy_prefers_the_paraphrase_to_the_perturbed():
    benchmark = TofuMini()
    splits = Splits({"forget": benchmark.load()["forget"]})
    known = {fact.question: fact.paraphrased_answer for fact in splits["forget"]}
    found = scores(benchmark, splits, known)
    assert found["forget", "accuracy"] == 1.0
    assert found["forget", "log_truth_ratio"] == pytest.approx(np.log(0.1 / 0.9))
    assert found["forget", "truth_ratio"] == pytest.approx(1 / 9)


def test_what_unlearning_should_do_shows_in_the_aggregates_of_tofu():
    """Of a model that knows all, one that knows all but the forget set, and one that knows nothing."""
    benchmark = TofuMini()
    splits = benchmark.load()
    stays = everything({"facts": (*splits["real_authors"], *splits["world_facts"])})
    stays |= {fact.question: fact.paraphrased_answer for fact in splits["retain_perturbed"]}
    knows = stays | {fact.question: fact.paraphrased_answer for fact in splits["forget"]}
    original, twin, empty = (answered(benchmark, splits, known) for known in (knows, stays, {}))
    aggregates = [benchmark.aggregates(samples) for samples in (original, twin, empty)]
    assert aggregates[0]["utility"] == aggregates[1]["utility"] > 0.3
    assert aggregates[2]["utility"] == 0
    assert aggregates[0]["mem"] < aggregates[1]["mem"]
    assert {name for name in aggregates[0] if name.startswith("auc_")} == {
        "auc_loss", "auc_zlib", "auc_min_k", "auc_min_k_plus_plus",
    }  # fmt: skip
    same = benchmark.against_twin(twin, twin)
    assert same == {"forget_quality": 1.0, "log10_forget_quality": 0.0, "privleak": 0.0}
    told = benchmark.against_twin(original, twin)
    assert told["forget_quality"] < 1e-20
    assert told["log10_forget_quality"] == pytest.approx(np.log10(told["forget_quality"]))


def test_membership_is_seen_where_the_answers_to_the_forget_set_are_known():
    benchmark = TofuMini()
    splits = benchmark.load()
    known = {fact.question: fact.answer for fact in splits["forget"]}
    original, twin = (answered(benchmark, splits, said) for said in (known, {}))
    assert benchmark.aggregates(original)["auc_loss"] == benchmark.aggregates(original)["auc_min_k"] == 1.0
    assert benchmark.aggregates(twin)["auc_min_k"] == 0.5
    assert benchmark.against_twin(original, twin)["privleak"] == -100
    # Without a scale there is no number.
    assert "privleak" not in benchmark.against_twin(twin, original)


def test_the_holdout_can_be_measured_alone():
    benchmark = TofuMini()
    part = Splits({"holdout": benchmark.load()["holdout"][:2]})
    assert {(m.split, m.metric) for m in benchmark.measures(part)} == {
        ("holdout", f"mia_{score}") for score in ("loss", "zlib", "min_k", "min_k_plus_plus")
    }
    assert benchmark.aggregates(answered(benchmark, part, {})) == {}


def test_without_a_holdout_nothing_is_said_about_membership():
    benchmark = TofuMini()
    splits = Splits({name: facts for name, facts in benchmark.load().items() if name != "holdout"})
    samples = answered(benchmark, splits, everything(splits))
    assert not [sample for sample in samples if sample.metric.startswith("mia_")]
    assert benchmark.aggregates(samples).keys() == {"utility", "mem"}
    assert benchmark.against_twin(samples, samples).keys() == {"forget_quality", "log10_forget_quality"}


@pytest.mark.parametrize("kind", MINIS)
def test_every_metric_is_described_and_every_description_is_of_a_metric(kind):
    benchmark = kind()
    splits = benchmark.load()
    samples = answered(benchmark, splits, everything(splits))
    found = set(metrics.by_metric(samples))
    found |= {("all", name) for name in benchmark.aggregates(samples)}
    found |= {("all", name) for name in benchmark.against_twin(samples, samples)}
    described = [(split, reported.metric) for reported in kind.reports for split in reported.splits]
    assert len(described) == len(set(described))
    assert found == set(described)


@pytest.mark.parametrize("kind", MINIS)
def test_values_lie_in_the_range_that_is_declared(kind):
    benchmark = kind()
    splits = benchmark.load()
    ranges = {
        (split, reported.metric): described(reported.formula)
        for reported in kind.reports
        for split in reported.splits
    }
    for known in ({}, everything(splits)):
        for sample in answered(benchmark, splits, known):
            formula = ranges[sample.split, sample.metric]
            assert formula.low <= sample.value <= formula.high, sample


@pytest.mark.parametrize("kind", [Tofu, FaithUn])
def test_show_prints_name_definition_range_direction_and_ideal_of_every_metric(kind, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = harness_cli("show", kind.name).out.partition("metrics")[2]
    lines = [" ".join(line.split()) for line in said.splitlines()]
    for reported in kind.reports:
        formula = described(reported.formula)
        assert f"{reported.metric} {formula.definition}" in lines
        rest = f"in {formula.range}; better: {reported.better or formula.better}; ideal: "
        assert any(rest + (reported.ideal or formula.ideal) in line for line in lines)


# --- TOFU's files


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
    assert small_tofu().threshold(splits) == 0.1971


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
        ("forget01_perturbed", [record(0, 5, True), "{not json"], 2, "not a JSON object"),
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
        ("holdout01", [record(490), "{not json"], 2, "not a JSON object"),
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
