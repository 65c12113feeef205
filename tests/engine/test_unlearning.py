"""What happens in a cell: the shared protocol of unlearning, the evaluation, and what an attack reports."""

from __future__ import annotations

import pytest
import torch
from harness.methods.gd import GradientDifference

from harness import models
from harness.base import Attack, FinetuneConfig
from harness.errors import HarnessError
from harness.metrics import exact_match, means
from harness.run import Attacking, Unlearning, evaluate, run_attack, unlearn
from harness.targets import Protocol
from harness.types import Reported, Sample, Splits


class Script:
    """A forget score that depends on where the protocol stands: the rate at work and the steps taken."""

    def __init__(self, score):
        self.score = score
        self.rate, self.step, self.asked = None, 0, []

    def __call__(self, split, metric, fact):
        value = self.score(self.rate, self.step)
        self.asked.append((metric, self.rate, self.step))
        return value


class Followed(GradientDifference):
    """Gradient difference that tells a script where it stands, and remembers what every rate began with."""

    def __init__(self, script, config, **more):
        super().__init__(config)
        self.script, self.began, self.prepared = script, [], 0

    def prepare(self, job):
        self.prepared += 1

    def start(self, model):
        self.began.append(models.weights_fingerprint(model))

    def optimizer(self, parameters, lr):
        self.script.rate, self.script.step = lr, 0
        return super().optimizer(parameters, lr)

    def after_backward(self, model):
        self.script.step += 1


def config(**more):
    # Twelve forget facts in batches of four, two passes: six steps for each rate.
    defaults = {"learning_rates": (1e-4, 1e-3, 1e-2), "epochs": 2, "batch_size": 4, "warmup_epochs": 0.0}
    return GradientDifference.Config(**(defaults | more))


@pytest.fixture
def follow(make_subject, toy_benchmark, tiny):
    """Run the protocol on a scripted forget score with threshold 0.25; returns job, method and script."""

    def follow(score, check_every=1, make=Followed, **more):
        script = Script(score)
        protocol = Protocol((), epochs=0, batch_size=0, check_every=check_every, attack_lr_scale=1.0)
        subject = make_subject(toy_benchmark(script, stop=0.25), tiny(), protocol=protocol)
        method = make(script, config(**more))
        return unlearn(subject, method, seed=0), method, script

    return follow


def points(job):
    return [(m.learning_rate, m.step, m.value) for m in job.metrics]


def test_the_lowest_rate_that_reaches_the_threshold_is_taken(follow):
    job, method, _ = follow(lambda rate, step: 0.25 if rate and rate >= 1e-3 and step >= 2 else 1.0)
    assert job.notes["forgotten"] is True
    assert job.notes["learning_rate"] == 1e-3
    assert job.notes["steps"] == 2
    assert len(method.began) == 2  # the highest was not tried


def test_a_rate_stops_at_the_first_check_at_or_below_the_threshold(follow):
    job, _, _ = follow(lambda rate, step: 1.0 - 0.25 * step)
    assert points(job) == [(1e-4, step, 1.0 - 0.25 * step) for step in (1, 2, 3)]
    assert job.notes["steps"] == 3
    assert job.cost.steps == 3


def test_the_curve_of_every_rate_tried_is_kept(follow):
    job, _, _ = follow(lambda rate, step: 0.25 if rate == 1e-3 and step == 1 else 0.9)
    assert points(job) == [(1e-4, step, pytest.approx(0.9)) for step in range(1, 7)] + [(1e-3, 1, 0.25)]
    assert {(m.split, m.metric, m.n) for m in job.metrics} == {("forget", "exact_match", 12)}


def test_every_rate_starts_from_the_original(follow, tiny):
    _, method, _ = follow(lambda rate, step: 1.0)
    assert method.began == [models.weights_fingerprint(tiny())] * 3
    assert method.prepared == 1


def test_a_rate_leaves_the_model_it_would_leave_alone(follow):
    grid, _, _ = follow(lambda rate, step: 0.0 if rate == 1e-2 and step == 3 else 1.0)
    alone, _, _ = follow(lambda rate, step: 0.0 if step == 3 else 1.0, learning_rates=(1e-2,))
    assert models.weights_fingerprint(grid.model) == models.weights_fingerprint(alone.model)


def test_a_threshold_that_is_never_reached_is_said_and_the_highest_rate_is_left(follow):
    job, _, _ = follow(lambda rate, step: 1.0)
    alone, _, _ = follow(lambda rate, step: 1.0, learning_rates=(1e-2,))
    assert job.notes["forgotten"] is False
    assert job.notes["learning_rate"] == 1e-2
    assert job.notes["steps"] == 6
    assert job.cost.steps == 18
    assert models.weights_fingerprint(job.model) == models.weights_fingerprint(alone.model)


def test_what_is_forgotten_already_is_left_alone(follow, tiny):
    job, method, _ = follow(lambda rate, step: 0.25)
    assert job.notes["forgotten"] is True
    assert (job.notes["steps"], job.notes["learning_rate"], job.cost.steps) == (0, None, 0)
    assert (method.began, method.prepared, job.metrics) == ([], 0, [])
    assert models.weights_fingerprint(job.model) == models.weights_fingerprint(tiny())


def test_between_checks_nothing_is_scored_and_the_last_step_is_always_checked(follow):
    job, _, script = follow(lambda rate, step: 1.0, check_every=4, learning_rates=(1e-3,))
    assert [step for _, step, _ in points(job)] == [4, 6]
    assert {step for _, _, step in script.asked} == {0, 4, 6}


def test_a_method_may_stop_at_another_metric_and_value(follow):
    class Stopped(Followed):
        stop = ("probability", 0.5)

    job, _, _ = follow(lambda rate, step: 1.0 - 0.25 * step, make=Stopped)
    assert (job.notes["stop_metric"], job.notes["stop_at"]) == ("probability", 0.5)
    assert [(m.metric, m.step) for m in job.metrics] == [("probability", 1), ("probability", 2)]
    assert job.notes["forgotten"] is True


def test_the_threshold_is_that_of_the_benchmark(follow):
    job, _, _ = follow(lambda rate, step: 1.0)
    assert (job.notes["stop_metric"], job.notes["stop_at"]) == ("exact_match", 0.25)


def test_a_metric_to_stop_at_that_the_benchmark_does_not_have_is_named(follow):
    class Stopped(Followed):
        stop = ("no_such_metric", 0.5)

    with pytest.raises(HarnessError, match=r"toy.* has no .*no_such_metric"):
        follow(lambda rate, step: 1.0, make=Stopped)


def test_all_parameters_train_again_afterwards(follow):
    class Part(Followed):
        def trainable(self, model):
            return model.model.layers[1].parameters()

        def after_backward(self, model):
            super().after_backward(model)
            self.trained = {name for name, p in model.named_parameters() if p.grad is not None}

    job, method, _ = follow(lambda rate, step: 1.0, make=Part)
    assert all("layers.1." in name for name in method.trained)
    assert all(parameter.requires_grad for parameter in job.model.parameters())
    assert all(parameter.grad is None for parameter in job.model.parameters())


def test_the_seed_decides_the_order_and_so_the_result(make_subject, toy_benchmark, tiny):
    def weights(seed):
        subject = make_subject(toy_benchmark(lambda *_: 1.0), tiny())
        job = unlearn(subject, GradientDifference(config(learning_rates=(1e-3,))), seed)
        return models.weights_fingerprint(job.model)

    assert weights(0) == weights(0) != weights(1)


def test_micro_batches_change_memory_and_not_the_result(make_subject, toy_benchmark, tiny):
    def weights(micro):
        subject = make_subject(toy_benchmark(lambda *_: 1.0), tiny().double(), micro_batch=micro)
        method = GradientDifference(config(learning_rates=(1e-3,)))
        return models.snapshot(unlearn(subject, method, seed=0).model)

    for whole, parts in zip(weights(None).values(), weights(3).values(), strict=True):
        torch.testing.assert_close(whole, parts, atol=1e-6, rtol=0)


def test_the_forget_score_is_the_mean_over_the_forget_set(make_subject, toy_benchmark, toy_splits):
    known = {fact.id for fact in toy_splits["forget"][:3]}
    subject = make_subject(toy_benchmark(lambda split, metric, fact: float(fact.id in known)))
    assert Unlearning(subject, None, seed=0).forget_score("exact_match") == pytest.approx(3 / 12)


def test_facts_are_learnt_as_plain_questions_with_their_answers(
    make_subject, toy_benchmark, toy_splits, tokens
):
    [(prompt, answer)] = make_subject(toy_benchmark()).encode(toy_splits["forget"][:1])
    assert tokens.decode(prompt) == "Question : Where does Ada live? Answer :"
    assert tokens.decode(answer) == "Oslo"
    assert answer[-1] == tokens.end


def test_a_benchmark_asked_for_one_metric_runs_no_other(make_subject, toy_benchmark, toy_splits):
    samples = make_subject(toy_benchmark()).score(toy_splits, ["probability"])
    assert {sample.metric for sample in samples} == {"probability"}
    assert len(samples) == 36


def test_an_evaluation_holds_every_metric_the_samples_and_what_the_benchmark_adds_up(
    make_subject, toy_benchmark
):
    class Useful(toy_benchmark):
        def aggregates(self, samples):
            values = means(samples)
            return {"utility": values["retain", "exact_match"] + values["forget", "exact_match"]}

    scores = {"forget": 0.25, "retain": 0.5, "instruct": 1.0}
    subject = make_subject(Useful(lambda split, metric, fact: scores[split]))
    outcome = evaluate(subject)
    found = {(m.split, m.metric): m.value for m in outcome.metrics}
    assert found == {
        **{(split, metric): value for split, value in scores.items() for metric in Useful.curve_metrics},
        ("all", "utility"): 0.75,
    }
    assert len(outcome.samples) == 72
    assert outcome.notes == {
        "forget_metric": "exact_match",
        "retain_metric": ["retain", "exact_match"],
        "threshold": 0.3,
        "chance": 0.0,
        "n_scored": 12,
    }


@pytest.mark.parametrize("with_twin", [False, True])
def test_what_is_reported_and_was_not_computed_is_named_with_the_reason(
    make_subject, toy_benchmark, with_twin
):
    class Reporting(toy_benchmark):
        reports = (
            Reported("exact_match", ("forget", "holdout"), exact_match),
            Reported("distance", ("all",), exact_match, ("twin",)),
            Reported("leak", ("all",), exact_match, ("holdout", "twin")),
            Reported("odd", ("all",), exact_match),
        )

        def against_twin(self, samples, twin):
            return {"distance": float(len(samples) - len(twin))}

    twin = [Sample("forget", "exact_match", "a", 1.0)] if with_twin else None
    outcome = evaluate(make_subject(Reporting(), twin=twin))
    expected = {
        "holdout.exact_match": "there is no split 'holdout'",
        "distance": "there is no retrain twin",
        "leak": "there is no split 'holdout'",
        "odd": "it is not defined on these facts",
    }
    found = {m.metric: m.value for m in outcome.metrics if m.split == "all"}
    if with_twin:
        del expected["distance"]
        assert found == {"distance": 71.0}
    else:
        assert found == {}
    assert outcome.notes["not_computed"] == expected


# Attacks, as the engine runs them.


class Scripted(Attack):
    """An attack that does what a test says."""

    name = "scripted"
    reads = frozenset({"instruct"})
    Config = FinetuneConfig

    def __init__(self, do, **settings):
        super().__init__(FinetuneConfig(**({"learning_rates": (1e-3,), "steps": 4} | settings)))
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


def test_every_rate_of_an_attack_starts_from_the_unlearned_model(attack, tiny):
    seen = []

    def do(job):
        restart = job.restart

        def watched():
            seen.append(models.weights_fingerprint(job.model))
            restart()
            seen.append(models.weights_fingerprint(job.model))

        job.restart = watched
        job.finetune(job.data["instruct"])

    attack(do, learning_rates=(1e-3, 1e-2), steps=2)
    unlearned = models.weights_fingerprint(tiny())
    # Before and after: scoring at step 0, the first rate, the second.
    assert [fingerprint == unlearned for fingerprint in seen] == [True, True, True, True, False, True]


def test_restart_brings_the_unlearned_weights_back(attack, tiny):
    def do(job):
        job.finetune(job.data["instruct"])
        assert models.weights_fingerprint(job.model) != models.weights_fingerprint(tiny())
        job.restart()

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


def test_the_facts_remembered_are_those_above_the_threshold(make_subject, toy_benchmark, toy_splits):
    values = {"forget-00": 1.0, "forget-01": 0.31, "forget-02": 0.3}
    benchmark = toy_benchmark(lambda split, metric, fact: values.get(fact.id, 0.0), stop=0.3)
    subject = make_subject(benchmark)
    assert subject.remembered(toy_splits["forget"]) == {"forget-00", "forget-01"}
    assert subject.remembered(toy_splits["forget"][2:]) == set()


def test_the_facts_answered_are_those_with_a_perfect_forget_metric(make_subject, toy_benchmark, toy_splits):
    values = {"forget-00": 1.0, "forget-01": 0.99, "forget-02": 1.0}
    subject = make_subject(toy_benchmark(lambda split, metric, fact: values.get(fact.id, 0.0)))
    job = Attacking(subject, None, 0, Splits({}), {})
    assert job.answered(toy_splits["forget"]) == {"forget-00", "forget-02"}
