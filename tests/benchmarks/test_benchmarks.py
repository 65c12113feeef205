"""Measures of the benchmarks that come along: what knowing all, nothing or a part is worth."""

import importlib
import subprocess
import sys

import harness.benchmarks
import numpy as np
import pytest
from harness.benchmarks.faithun import FaithUn, FaithUnMini
from harness.benchmarks.tofu import Tofu, TofuMini

from harness.core.formulas import described
from harness.core.types import LogLikelihood, Splits
from harness.scoring import metrics
from support.answers import answered, everything, scores
from support.command import harness_cli

MINIS = (FaithUnMini, TofuMini)
DROPPED = {"extraction_strength", "exact_memorisation", "mia_min_k", "mia_min_k_plus_plus"}
"""Metrics that do not count the end token."""


def test_nine_benchmarks_are_registered_by_name():
    found = {}
    harness.benchmarks.register_benchmarks(found.__setitem__)
    assert set(found) == {
        *("countries", "faithun", "faithun-mini", "lume", "muse", "rwku", "tofu", "tofu-mini", "wmdp")
    }
    for name, path in found.items():
        module, attribute = path.split(":")
        assert getattr(importlib.import_module(module), attribute).name == name


def test_loading_a_mini_imports_no_torch():
    program = (
        "import sys, harness.benchmarks.faithun, harness.benchmarks.tofu as t; t.TofuMini().load();"
        "assert not {'torch', 'transformers', 'datasets', 'rouge_score'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


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
    assert benchmark.threshold(part) is None
    assert 0 < kind(kind.Config(threshold="published")).threshold(part) < 1
    assert kind(kind.Config(threshold=0.25)).threshold(part) == 0.25
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


def test_tofu_minis_published_threshold_is_below_its_chance():
    benchmark = TofuMini(TofuMini.Config(threshold="published"))
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
