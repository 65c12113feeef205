"""Attacks, as the engine runs them: what they may read and train on, and what they report."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.core.base import Attack
from harness.core.config import FinetuneConfig
from harness.core.types import Prompt, Splits
from harness.engine.attacking import AttackJob, run_attack
from harness.errors import HarnessError
from harness.model import models


class Scripted(Attack):
    """An attack that does what a test says."""

    name = "scripted"
    reads = frozenset({"instruct"})
    Config = FinetuneConfig

    def __init__(self, do, **settings):
        super().__init__(
            FinetuneConfig(**({"learning_rates": (1e-3,), "steps": 4, "batch_size": 32} | settings))
        )
        self.do = do

    def attack(self, job):
        self.do(job)


@pytest.fixture
def attack(make_subject, toy_benchmark, tiny):
    """Run an attack on a tiny model whose forget scores are scripted by the number of checkpoints so far."""

    def attack(do, score=lambda n, metric, fact: 0.5, seed=0, **settings):
        jobs = []

        def remember(job):
            jobs.append(job)
            do(job)

        benchmark = toy_benchmark(lambda split, metric, fact: score(len(jobs[0].curve), metric, fact))
        subject = make_subject(benchmark, tiny())
        outcome = run_attack(subject, Scripted(remember, **settings), seed, models.snapshot(subject.model))
        return outcome, jobs[0]

    return attack


def final(outcome):
    return {m.metric: m for m in outcome.metrics if m.step is None}


def test_an_attack_sees_only_the_splits_it_declared(attack):
    def do(job):
        assert set(job.data) == {"instruct"}
        with pytest.raises(KeyError):
            job.data["forget"]
        job.checkpoint()

    attack(do)


def test_an_attack_without_a_checkpoint_has_nothing_to_report(attack):
    with pytest.raises(HarnessError, match="'scripted' ended without a checkpoint"):
        attack(lambda job: None)


def test_facts_that_are_scored_cannot_be_trained_on(attack):
    with pytest.raises(HarnessError, match="1 facts are both trained on and scored, forget-03"):
        attack(lambda job: job.finetune([job.scored[3]]))


def test_the_scored_facts_stand_before_the_first_checkpoint(attack):
    def do(job):
        job.checkpoint()
        job.score_only(job.scored[:5])

    with pytest.raises(HarnessError, match="after its first checkpoint"):
        attack(do)


def test_fewer_than_two_scored_facts_are_refused(attack):
    with pytest.raises(HarnessError, match="Only 1 forget facts are left"):
        attack(lambda job: job.score_only(job.scored[:1]))


def test_only_the_chosen_facts_are_scored(attack):
    def do(job):
        job.score_only(job.scored[:5])
        job.checkpoint()

    outcome, _ = attack(do)
    assert {s.fact_id for s in outcome.samples} == {f"forget-0{i}" for i in range(5)}
    assert {m.n for m in outcome.metrics} == {5}
    assert outcome.notes["n_scored"] == 5


def test_an_attack_is_scored_at_step_0_and_at_its_checkpoints_of_every_rate(attack):
    outcome, _ = attack(
        lambda job: job.finetune(job.data["instruct"]),
        learning_rates=(1e-3, 1e-4),
        steps=4,
        checkpoints=(1, 3, 9),
    )
    curve = [(m.step, m.learning_rate) for m in outcome.metrics if m.metric == "exact_match"]
    expected = [(0, None), *((step, rate) for rate in (1e-3, 1e-4) for step in (1, 3, 4))]
    assert curve[:-1] == expected  # the last is the score
    assert outcome.cost.steps == 8


@pytest.mark.parametrize("best", [0, 2, 5])
def test_the_score_is_the_maximum_over_all_checkpoints_and_rates(best, attack):
    outcome, _ = attack(
        lambda job: job.finetune(job.data["instruct"]),
        score=lambda n, metric, fact: 0.75 if n == best else 0.5 - 0.01 * n,
        learning_rates=(1e-3, 1e-4),
        steps=3,
        checkpoints=(1, 2),
    )
    assert final(outcome)["exact_match"].value == pytest.approx(0.75)
    expected = [(0, None), *((step, rate) for rate in (1e-3, 1e-4) for step in (1, 2, 3))][best]
    assert (outcome.notes["best_step"], outcome.notes["learning_rate"]) == expected


def test_every_metric_has_its_own_maximum_and_the_samples_of_it(attack):
    def score(n, metric, fact):
        return 0.9 if n == (0 if metric == "probability" else 2) else 0.1

    outcome, _ = attack(
        lambda job: job.finetune(job.data["instruct"]), score=score, steps=2, checkpoints=(1, 2)
    )
    assert {metric: m.value for metric, m in final(outcome).items()} == pytest.approx(
        {"exact_match": 0.9, "probability": 0.9}
    )
    assert {s.value for s in outcome.samples} == {0.9}
    assert len(outcome.samples) == 24
    assert outcome.notes["best_step"] == 2


def test_every_rate_of_an_attack_starts_from_the_unlearned_model(attack, tiny, monkeypatch):
    seen = []
    restore = models.restore

    def watched(model, weights):
        seen.append(models.weights_fingerprint(model))
        restore(model, weights)
        seen.append(models.weights_fingerprint(model))

    monkeypatch.setattr(models, "restore", watched)
    attack(lambda job: job.finetune(job.data["instruct"]), learning_rates=(1e-3, 1e-2), steps=2)
    unlearned = models.weights_fingerprint(tiny())
    # Before and after: scoring at step 0, the first rate, the second.
    assert [fingerprint == unlearned for fingerprint in seen] == [True, True, True, True, False, True]


def test_restart_brings_the_unlearned_weights_back(attack, tiny):
    def do(job):
        job.finetune(job.data["instruct"])
        assert models.weights_fingerprint(job.model) != models.weights_fingerprint(tiny())
        job.restore()

    _, job = attack(do)
    assert models.weights_fingerprint(job.model) == models.weights_fingerprint(tiny())


def test_an_attack_learns_what_it_is_given(make_subject, toy_benchmark, toy_splits, tiny):
    def do(job):
        job.score_only(job.scored[6:])
        job.finetune(toy_splits["forget"][:6])

    subject = make_subject(toy_benchmark(), tiny(initializer_range=0.1))
    weights = models.snapshot(subject.model)
    trained = Splits({"forget": toy_splits["forget"][:6]})
    before = [s.value for s in subject.score(trained, ["probability"])]
    run_attack(subject, Scripted(do, learning_rates=(1e-2,), steps=30, checkpoints=()), 0, weights)
    after = [s.value for s in subject.score(trained, ["probability"])]
    assert max(before) < 0.3 < 0.5 < min(after)


def test_a_checkpoint_may_rewrite_requests_and_holds_answers_against_the_same(
    asked, make_subject, toy_benchmark
):
    subject = make_subject(toy_benchmark())
    job = AttackJob(subject, None, 0, Splits({}), {})
    job.checkpoint(3, 1e-3, ask=lambda request: replace(request, prompt=Prompt("Who ?")))
    assert {request.prompt for request in asked} == {Prompt("Who ?")}
    [(step, rate, samples)] = job.curve
    assert (step, rate) == (3, 1e-3)
    assert {s.fact_id for s in samples} == {fact.id for fact in subject.splits["forget"]}


def test_a_checkpoint_after_training_stands_where_training_has_come_to(attack):
    def do(job):
        job.finetune(job.data["instruct"])
        job.checkpoint()
        job.restore()
        job.checkpoint()

    _, job = attack(do, learning_rates=(1e-3, 1e-2), steps=4, checkpoints=(2, 4))
    at = [(step, rate) for step, rate, _ in job.curve]
    assert at == [(0, None), (2, 1e-3), (4, 1e-3), (2, 1e-2), (4, 1e-2), (4, 1e-2), (0, None)]


def test_another_optimiser_steps_and_a_look_takes_the_place_of_a_checkpoint(attack):
    made, looks = [], []

    def do(job):
        def optimizer(parameters, rate):
            made.append((len(parameters), rate))
            return torch.optim.SGD(parameters, rate)

        job.finetune(job.data["instruct"], optimizer, lambda step, rate: looks.append((step, rate)))
        assert made == [(len(list(job.model.parameters())), 1e-3)]

    outcome, _ = attack(do, steps=4, checkpoints=(2,))
    assert looks == [(2, 1e-3), (4, 1e-3)]
    assert {m.step for m in outcome.metrics} == {0, None}  # only the first look of all is scored
    assert outcome.cost.steps == 4


def test_only_an_attacker_who_needs_the_original_is_given_it(make_subject, toy_benchmark, tiny):
    original, given = models.snapshot(tiny(seed=1)), []

    def do(job):
        given.append(job.original)
        job.checkpoint()

    class Knowing(Scripted):
        needs_original = True

    subject = make_subject(toy_benchmark())
    weights = models.snapshot(subject.model)
    for attack in (Scripted(do), Knowing(do)):
        run_attack(subject, attack, 0, weights, original)
    assert given[0] == {}
    assert given[1] is original
    with pytest.raises(HarnessError, match="needs the original model, which was not kept"):
        run_attack(subject, Knowing(do), 0, weights)
