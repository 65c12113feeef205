"""The shared protocol of unlearning: which rate is taken, and what it leaves behind."""

from __future__ import annotations

import pytest
import torch
from harness.methods.gd import GradientDifference

from harness.core.base import Method
from harness.core.config import MethodConfig
from harness.engine.protocol import Protocol
from harness.engine.unlearning import UnlearningJob, unlearn
from harness.model import models
from harness.model.losses import cross_entropy


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


def test_a_method_may_have_a_score_of_its_own_to_stop_at(follow):
    class Counted(Followed):
        stop = ("probability", 0.5)

        def stop_score(self, job):
            return 1.0 - 0.25 * self.script.step

    job, _, _ = follow(lambda rate, step: 0.0, make=Counted)
    assert [(m.step, m.value) for m in job.metrics] == [(1, 0.75), (2, 0.5)]
    assert (job.notes["stop_at"], job.notes["forgotten"]) == (0.5, True)


def test_the_threshold_is_that_of_the_benchmark(follow):
    job, _, _ = follow(lambda rate, step: 1.0)
    assert (job.notes["stop_metric"], job.notes["stop_at"]) == ("exact_match", 0.25)


def test_a_metric_to_stop_at_that_the_benchmark_does_not_have_gives_way_to_its_threshold(follow):
    class Stopped(Followed):
        stop = ("no_such_metric", 0.5)

    def falling(rate, step):
        return 1.0 if rate is None else 1.0 - step / 10

    plain, stopped = (follow(falling, make=make)[0] for make in (Followed, Stopped))
    assert stopped.notes == plain.notes
    assert (plain.notes["stop_metric"], plain.notes["stop_at"]) == ("exact_match", 0.25)


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


def test_a_method_with_an_unlearn_of_its_own_has_the_engines_loop_and_the_original(
    make_subject, toy_benchmark, tiny
):
    seen = {}

    class Own(Method):
        """Trains by itself."""

        name = "own"

        def unlearn(self, job):
            untouched = models.weights_fingerprint(job.model)
            job.train(lambda model, batch: cross_entropy(model, batch.forget), 1e-3, steps=5, batch_size=4)
            seen["moved"] = models.weights_fingerprint(job.model) != untouched
            job.restore(job.original)
            seen["restored"] = models.weights_fingerprint(job.model) == untouched
            job.train(
                lambda model, batch: cross_entropy(model, batch.retain),
                1e-3,
                steps=5,
                check=lambda step: step == 2,
            )
            seen["threshold"] = job.threshold

    steps = []
    subject = make_subject(toy_benchmark(stop=0.25), tiny(), advance=lambda *told: steps.append(told[:3]))
    job = unlearn(subject, Own(MethodConfig()), seed=0)
    assert seen == {"moved": True, "restored": True, "threshold": 0.25}
    assert job.cost.steps == 7
    assert steps[:2] == [("train at 0.001", 1, 5), ("train at 0.001", 2, 5)]


def test_streams_of_random_numbers_follow_the_seed_and_their_names(make_subject, toy_benchmark, tiny):
    def drawn(seed, *names):
        job = UnlearningJob(make_subject(toy_benchmark(), tiny()), None, seed=seed)
        return job.random(*names).random(), torch.rand(1, generator=job.generator(*names)).item()

    assert drawn(0, "a") == drawn(0, "a")
    assert len({value for of in ((0, "a"), (1, "a"), (0, "b"), (0,)) for value in drawn(*of)}) == 8
