"""Each conformance rule finds the benchmark that breaks it, and one that breaks none is fine."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from harness import BenchmarkConfig, Field
from harness.core.formulas import formula
from harness.core.types import Example, Generate, Measure, Prompt, Reported, Splits, Training
from harness.plugins.registry import Registry
from harness.scoring import metrics
from harness.testing import ConformanceError, check_benchmark, examine
from harness.testing.facts import SPLITS, Toy
from support.command import harness_cli
from support.paths import DATA, ROOT


@formula("whether the answer is right", 0, 1, "lower", "0")
def right(said):
    return float(bool(said))


class Facts(Toy):
    """Twelve facts, all declared."""

    name = "facts"
    reports = (
        Reported("exact_match", ("forget", "retain", "instruct"), right),
        Reported("probability", ("forget", "retain", "instruct"), metrics.probability),
    )

    def __init__(self, config=None):
        super().__init__()
        self.config = self.Config() if config is None else config

    def training(self, splits):
        retain, forget = (
            tuple(Example(Prompt(f.question), f.answer, f.id) for f in SPLITS[name])
            for name in ("retain", "forget")
        )
        return Training(retain + forget, retain)


def forget(change):
    """The splits with another forget set."""
    return Splits({**SPLITS, "forget": tuple(change(SPLITS["forget"]))})


class Empty(Facts):
    """Nothing to forget."""

    def load(self):
        return forget(lambda facts: ())


class Hubbed(Facts):
    """Asks the hub and does not say so."""

    def load(self):
        return self.hub.dataset("some/where", ["*.json"])


class NoIds(Facts):
    """A fact without an id."""

    def load(self):
        return forget(lambda facts: [replace(facts[0], id=""), *facts[1:]])


class SameIds(Facts):
    """Two facts with one id."""

    def load(self):
        return forget(lambda facts: [replace(facts[0], id="forget-01"), *facts[1:]])


class SharedIds(Facts):
    """A fact to forget and one to keep with one id."""

    def load(self):
        return forget(lambda facts: [replace(facts[0], id="retain-01"), *facts[1:]])


class Dice(Facts):
    """Other facts each time."""

    def load(self):
        mine = random.Random(random.getstate()[1][5])
        return forget(lambda facts: mine.sample(facts, 12))


class Seeds(Facts):
    """Seeds the global generator."""

    def load(self):
        random.seed(0)
        return super().load()


class Twice(Facts):
    """Measures everything twice."""

    def measures(self, splits):
        yield from super().measures(splits)
        yield from super().measures(splits)


class NoCurve(Facts):
    """Follows a metric that nothing measures."""

    curve_metrics = ("exact_match", "probability")

    def measures(self, splits):
        return (m for m in super().measures(splits) if m.metric != "probability")


class WholeOnly(Facts):
    """Always measures all facts."""

    def measures(self, splits):
        return super().measures(SPLITS)


class Unreported(Facts):
    """Measures more than it declares."""

    reports = Facts.reports[:1]


class Percent(Facts):
    """Gives percentages for shares."""

    def measures(self, splits):
        for measure in super().measures(splits):
            yield replace(measure, value=lambda *answers: 50.0)


class Aggregate(Facts):
    """An aggregate that is not declared."""

    def aggregates(self, samples):
        return {"utility": 0.5}


class NoLevel(Facts):
    """A chance level that is no number."""

    def chance(self, splits):
        return float("nan")


class HighLevel(Facts):
    """A threshold in percent."""

    def threshold(self, splits):
        return 30.0


class Leaks(Facts):
    """Shows its twin the forget set."""

    def training(self, splits):
        training = super().training(splits)
        return replace(training, retrain=training.original)


class Untaught(Facts):
    """Never teaches what is to be forgotten."""

    def training(self, splits):
        training = super().training(splits)
        return replace(training, original=training.retrain)


class Bare(Facts):
    """Declares nothing."""

    reports = ()


class Picky(Facts):
    """Its value only takes what one model says."""

    def ask(self, split, fact):
        for measure in super().ask(split, fact):
            if measure.metric == "probability":
                seen = {}

                def value(scores, seen=seen):
                    if seen.setdefault("first", scores.logprobs.tobytes()) != scores.logprobs.tobytes():
                        raise ValueError("another model")
                    return 0.5

                measure = replace(measure, value=value)
            yield measure


class Renamed(Facts):
    """Its forget metric has another name than those that methods stop at."""

    forget_metric = "recall"
    curve_metrics = ("recall", "probability")
    retain_metric = ("retain", "recall")
    reports = (Reported("recall", ("forget", "retain", "instruct"), right), Facts.reports[1])

    def ask(self, split, fact):
        for metric, measure in zip(self.curve_metrics, super().ask(split, fact), strict=True):
            request = Generate(Prompt(fact.question), 4)
            if metric == "recall":
                measure = Measure(split, metric, fact.id, (request,), right)
            yield measure


class Counts(Renamed):
    """Its threshold looks for a fact by its number."""

    def threshold(self, splits):
        return 0.3 if splits["retain"][11] else 0.5


def test_a_benchmark_without_the_metric_at_which_a_control_stops_keeps_that_control():
    results = {result.rule: result for result in check_benchmark(Renamed)}
    assert results["every control runs on it"].detail == "none, retrain, refusal"


def test_a_control_that_cannot_run_is_named_with_the_reason():
    found = {r.rule: r for r in examine(Counts) if r.status == "failed"}
    assert str(found["every control runs on it"]) == (
        "every control runs on it: 'refusal' raised IndexError: tuple index out of range. Measure "
        "`forget_metric` on any part of the forget set: `refusal` trains until hardly one is answered."
    )


def test_a_benchmark_that_declares_no_metric_is_told_so_and_passes():
    [skipped] = [result for result in check_benchmark(Bare) if result.status == "skipped"]
    assert skipped.rule == "declares its metrics"
    assert "`reports` is empty" in skipped.detail


@pytest.mark.skipif(not (DATA / "tofu").is_dir(), reason=f"no TOFU files in {DATA}/tofu")
def test_a_benchmark_from_files_is_checked_with_its_files():
    results = check_benchmark(Registry().benchmark("tofu").load(), DATA / "tofu")
    assert {result.status for result in results} == {"ok"}


def test_a_benchmark_from_files_is_checked_with_the_settings_they_need(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    files = ROOT / "docs" / "examples" / "faithun"
    if not files.is_dir():
        pytest.skip("no checkout with docs/")
    ended = harness_cli("check", "faithun", "--data", files, "--set", "faithun.clusters=6")
    assert ended.code == 0, ended.out
    assert "17 of 17 rules hold." in ended.out


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("faithun.cluster=6", "Did you mean 'clusters'?"),
        ("faithun.clusters=0", "faithun.clusters=0 is not allowed"),
        ("gd.epochs=1", "is not part of this run, which has faithun"),
        ("clusters", "write NAME.setting=value"),
    ],
)
def test_a_setting_that_does_not_fit_is_one_sentence(assignment, words):
    ended = harness_cli("check", "faithun", "--set", assignment)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err


def test_a_benchmark_whose_files_are_not_there_says_which(tmp_path):
    with pytest.raises(ConformanceError, match="expected"):
        check_benchmark(Registry().benchmark("faithun").load(), tmp_path)


def test_a_benchmark_is_fine():
    assert all(result.status == "ok" for result in check_benchmark(Facts))


@pytest.mark.parametrize(
    ("cls", "rule", "words"),
    [
        (Empty, "loads its facts", ["'forget' has 0 facts"]),
        (Hubbed, "loads its facts", ["needs_data is False", "some/where"]),
        (NoIds, "each fact has an id, a question and an answer", ["id ''"]),
        (SameIds, "each fact has an id, a question and an answer", ["forget-01", "several"]),
        (SharedIds, "each fact has an id, a question and an answer", ["retain-01"]),
        (Dice, "loads the same facts each time", ["other facts"]),
        (Seeds, "leaves global state alone", ["random"]),
        (Twice, "measures each fact once", ["2 times"]),
        (NoCurve, "measures what it says it looks at", ["forget.probability"]),
        (WholeOnly, "measures a part of the forget set alone", ["given two"]),
        (Unreported, "declares its metrics", ["forget.probability"]),
        (Percent, "its numbers lie in their range", ["is 50", "[0, 1]"]),
        (Aggregate, "its numbers lie in their range", ["utility is not among"]),
        (NoLevel, "states a threshold and a chance level", ["chance is nan"]),
        (HighLevel, "states a threshold and a chance level", ["threshold is 30"]),
        (Picky, "scores in bfloat16 and with another family (GPT-NeoX)", ["another model"]),
        (Leaks, "its twin never sees the forget set", ["12 forget facts are in Training.retrain"]),
        (Untaught, "its twin never sees the forget set", ["12 forget facts are not in Training.original"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_rule_finds_the_benchmark_that_breaks_it(cls, rule, words):
    found = {r.rule: r for r in examine(cls) if r.status == "failed"}
    assert rule in found, found
    assert all(word in found[rule].detail for word in words), found[rule].detail


class Sized(Facts):
    """As many forget facts as its settings say."""

    class Config(BenchmarkConfig):
        size: int = Field(12, ge=1, description="forget facts")

    def load(self):
        return forget(lambda facts: facts[: self.config.size])


def test_settings_can_be_given():
    [loaded] = [r for r in check_benchmark(Sized, size=5) if r.rule == "loads its facts"]
    assert loaded.detail == "forget 5, retain 12, instruct 12"
    with pytest.raises(ConformanceError, match="'forget' has 1 facts"):
        check_benchmark(Sized, size=1)
