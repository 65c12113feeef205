"""Each stage of an unlearned model starts from the same weights, and its metrics say what they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.core.base import Attack, Method
from harness.core.config import FinetuneConfig
from harness.core.types import Metric, Outcome, Reported, Sample, Splits
from harness.engine.cell import UnlearnedModel
from harness.engine.surroundings import Surroundings
from harness.errors import HarnessError
from harness.model import models
from harness.scoring import metrics


class Shift(Method):
    """Adds one to every weight, and says so."""

    name = "shift"
    seeded = False

    def unlearn(self, job):
        with torch.no_grad():
            for parameter in job.model.parameters():
                parameter.add_(1)
        job.metrics.append(Metric("forget", "probability", 0.5, n=12, step=3, learning_rate=1e-3))
        job.notes["forgotten"] = True
        job.cost.steps = 3


class Wreck(Attack):
    """Sets every weight to zero, and then fails if it is told to."""

    name = "wreck"
    reads = frozenset({"forget"})
    Config = FinetuneConfig

    def __init__(self, fails=False):
        super().__init__()
        self.fails = fails

    def attack(self, job):
        with torch.no_grad():
            for parameter in job.model.parameters():
                parameter.zero_()
        job.checkpoint()
        if self.fails:
            raise RuntimeError("no")


@pytest.fixture
def unlearned(make_subject, toy_benchmark):
    class Reporting(toy_benchmark):
        reports = (Reported("probability", ("forget",), metrics.probability, at_most="exact_match"),)

    return UnlearnedModel.unlearn(make_subject(Reporting(lambda *_: 0.25)), Shift(), 0, Surroundings())


def same(model, weights):
    return all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_every_stage_leaves_the_unlearned_weights(unlearned):
    weights = models.snapshot(unlearned.subject.model)
    unlearned.attack(Wreck(), seed=0)
    assert same(unlearned.subject.model, weights)
    with pytest.raises(RuntimeError):
        unlearned.attack(Wreck(fails=True), seed=0)
    assert same(unlearned.subject.model, weights)

    def measure(subject):
        assert same(subject.model, weights)
        with torch.no_grad():
            next(subject.model.parameters()).zero_()
        return Outcome()

    unlearned.utility(measure)
    assert same(unlearned.subject.model, weights)


def test_an_evaluation_holds_the_unlearning_curve_and_bears_its_cost(unlearned):
    outcome = unlearned.evaluate()
    [point] = [metric for metric in outcome.metrics if metric.step is not None]
    assert (point.value, point.step) == (0.5, 3)
    assert outcome.notes["forgotten"] is True
    assert outcome.cost.steps == 3
    outcome.cost.steps = 0
    assert unlearned.evaluate().cost.steps == 3


@pytest.mark.parametrize("kept", [True, False])
def test_an_attacker_who_needs_the_original_has_it_where_it_was_kept(kept, make_subject, toy_benchmark):
    class Undo(Wreck):
        needs_original = True

        def attack(self, job):
            job.restore(job.original)
            job.checkpoint()

    subject = make_subject(toy_benchmark())
    original = models.snapshot(subject.model)
    known = subject.score(Splits({"forget": subject.splits["forget"]}), ["probability"])
    unlearned = UnlearnedModel.unlearn(subject, Shift(), 0, Surroundings(), keep_original=kept)
    if not kept:
        with pytest.raises(HarnessError, match="needs the original"):
            unlearned.attack(Undo(), seed=0)
        return
    found = {
        (s.fact_id, s.value) for s in unlearned.attack(Undo(), seed=0).samples if s.metric == "probability"
    }
    assert found == {(s.fact_id, s.value) for s in known}
    assert not same(subject.model, original)


def test_an_attack_says_whether_the_model_had_forgotten(unlearned):
    assert unlearned.attack(Wreck(), seed=0).notes["forgotten"] is True


def test_metrics_of_every_stage_say_what_they_are(unlearned):
    for outcome in (unlearned.evaluate(), unlearned.attack(Wreck(), seed=0)):
        reported = [m for m in outcome.metrics if (m.split, m.metric) == ("forget", "probability")]
        assert len(reported) == 2
        for metric in reported:
            assert (metric.low_bound, metric.high_bound, metric.at_most) == (0, 1, "exact_match")
            assert "exp(-NLL" in metric.definition
        others = {metric.definition for metric in outcome.metrics if metric not in reported}
        assert others <= {None}


def test_an_evaluation_is_compared_with_the_twin_it_is_given(unlearned):
    twin = [Sample("forget", "probability", "f1", 0.1)]
    seen = []
    cls = type(unlearned.subject.benchmark)
    cls.against_twin = lambda self, samples, other: seen.append(other) or {"near": 1.0}
    unlearned.evaluate()
    assert seen == []
    unlearned.subject.twin = twin
    assert ("all", "near") in {(m.split, m.metric) for m in unlearned.evaluate().metrics}
    assert seen == [twin]


def test_samples_say_what_their_facts_are_about(make_subject, toy_benchmark, toy_splits):
    first, *others = toy_splits["forget"]
    splits = Splits({**toy_splits, "forget": (replace(first, subject=""), *others)})
    subject = make_subject(toy_benchmark(lambda *_: 0.25), splits=splits)
    unlearned = UnlearnedModel.unlearn(subject, Shift(), 0, Surroundings())
    for outcome in (unlearned.evaluate(), unlearned.attack(Wreck(), seed=0)):
        clusters = {sample.fact_id: sample.cluster for sample in outcome.samples if sample.split == "forget"}
        assert clusters == {first.id: first.id} | {fact.id: fact.subject for fact in others}
