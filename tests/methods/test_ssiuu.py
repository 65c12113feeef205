"""SSIUU's regulariser, followed over steps of the training loop."""

from __future__ import annotations

import pytest
import torch
from harness.methods.gd import GradientDifference
from harness.methods.ssiuu import Ssiuu

from harness.model import models
from harness.model.steps import forget_steps
from harness.model.train import train
from support.equations import (
    differing,
    flat,
    gradients,
    log_probability,
    mean_loss,
    prepared,
    run,
    settings,
)


def attributed(model, examples, influence):
    """g = dP/dphi summed over the batch, and A = phi g, for each parameter."""
    value = 0.0
    for example in examples:
        log_pi = log_probability(model, *example)
        value = value + (log_pi.exp() if influence == "probability" else log_pi)
    g = gradients(model, value)
    return [(p.detach() * each).clone() for p, each in zip(model.parameters(), g, strict=True)], g


@pytest.mark.parametrize("micro", [None, 1])
@pytest.mark.parametrize("anchor", ["previous", "original"])
@pytest.mark.parametrize(("influence", "lambda_"), [("probability", 1e11), ("log-probability", 1e-2)])
def test_ssiuu_adds_its_regulariser_to_the_gradient(influence, lambda_, anchor, micro, tiny, job, data):
    model = tiny(initializer_range=0.05).double()
    method = Ssiuu(Ssiuu.Config(lambda_=lambda_, anchor=anchor, influence=influence))
    prepared(method, job).start(model)
    forget, retain = data
    steps = list(forget_steps(job.tokens, forget, retain, 2, 4, seed=0, micro=micro))
    todo = iter(steps)
    past = []
    sizes, shares = [], []

    def after_backward(model):
        step = next(todo)
        now_f = [forget[i] for part in step for i in part.forget.index.tolist()]
        now_r = [retain[i] for part in step for i in part.retain.index.tolist()]
        before = [p.grad.clone() for p in model.parameters()]
        method.after_backward(model)
        added = flat(p.grad - b for p, b in zip(model.parameters(), before, strict=True))
        attribution, g = attributed(model, now_f, influence)
        plain = flat(gradients(model, -mean_loss(model, now_f) + mean_loss(model, now_r)))
        assert (flat(before) - plain).norm() <= 1e-6 * plain.norm()
        if not past:
            assert added.norm() == 0
        else:
            anchored = past[-1] if anchor == "previous" else past[0]
            expected = flat(
                torch.where(a < 0, 2 * lambda_ * (a - b) * each, torch.zeros_like(a))
                for a, b, each in zip(attribution, anchored, g, strict=True)
            )
            assert (added - expected).norm() <= 1e-6 * expected.norm()
            sizes.append(float(expected.norm() / plain.norm()))
            shares.append(float((expected.abs() > plain.abs()).double().mean()))
        past.append(attribution)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    train(model, steps, method.loss, [optimizer], after_backward=after_backward)
    assert len(past) == 4
    assert min(sizes) > 1e-3  # the regulariser is no rounding error here
    assert job.notes["regulariser_ratio"] == pytest.approx(sum(sizes) / len(sizes), rel=1e-4)
    assert job.notes["regulariser_ratios"] == pytest.approx(sizes, rel=1e-2)
    assert 0 < job.notes["regulariser_share"] < 1 or influence == "log-probability"
    assert job.notes["regulariser_share"] == pytest.approx(sum(shares) / len(shares), abs=1e-3)
    assert job.notes["regulariser_lost"] == 0


@pytest.mark.parametrize("ratio", [0.0, 0.01, 2.0])
def test_the_ratio_of_ssiuu_sets_the_length_of_its_regulariser(ratio, tiny, job, data):
    model = tiny(initializer_range=0.05).double()
    method = Ssiuu(Ssiuu.Config(ratio=ratio, influence="log-probability"))
    free = Ssiuu(Ssiuu.Config(lambda_=1.0, influence="log-probability"))
    for each in (method, free):
        prepared(each, job).start(model)
    seen = []

    def loss(model, batch):
        for _ in free.loss(model, batch):
            pass
        yield from method.loss(model, batch)

    def after_backward(model):
        plain = [p.grad.clone() for p in model.parameters()]
        free.after_backward(model)
        by_lambda = flat(p.grad - b for p, b in zip(model.parameters(), plain, strict=True))
        for parameter, gradient in zip(model.parameters(), plain, strict=True):
            parameter.grad.copy_(gradient)
        method.after_backward(model)
        by_ratio = flat(p.grad - b for p, b in zip(model.parameters(), plain, strict=True))
        seen.append((by_lambda, by_ratio, flat(plain).norm()))

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    steps = forget_steps(job.tokens, *data, 2, 3, seed=0)
    train(model, steps, loss, [optimizer], after_backward=after_backward)
    assert not seen[0][1].any()
    for by_lambda, by_ratio, length in seen[1:]:
        assert by_lambda.norm() > 0
        expected = by_lambda * ratio * length / by_lambda.norm()
        assert (by_ratio - expected).norm() <= 1e-9 * length
    assert job.notes["regulariser_ratio"] == pytest.approx(ratio)


def test_ssiuu_with_the_mean_over_a_batch_of_two_is_its_sum_with_a_quarter_of_lambda(
    tiny, make_subject, toy_benchmark
):
    more = {"influence": "log-probability", "batch_size": 2}
    summed = Ssiuu(settings(Ssiuu, lambda_=0.25, **more))
    mean = Ssiuu(settings(Ssiuu, lambda_=1.0, batch="mean", **more))
    left, right = (run(m, make_subject, toy_benchmark, tiny().double()) for m in (summed, mean))
    for name, weight in left.items():
        torch.testing.assert_close(weight, right[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("micro", [None, 3])
@pytest.mark.parametrize("more", [{}, {"gamma": 0.5, "alpha": 2.0}])
@pytest.mark.parametrize("off", [{"lambda_": 0.0}, {"ratio": 0.0}])
def test_ssiuu_without_regulariser_is_gradient_difference_bit_for_bit(
    family, micro, more, off, tiny, make_subject, toy_benchmark
):
    gd = GradientDifference(settings(GradientDifference, **more))
    ssiuu = Ssiuu(settings(Ssiuu, **off, **more))
    original = models.snapshot(tiny(family))
    left, right = (run(m, make_subject, toy_benchmark, tiny(family), micro) for m in (gd, ssiuu))
    assert differing(left, right) == []
    assert differing(left, original) != []


def test_ssiuu_with_regulariser_is_not_gradient_difference(tiny, make_subject, toy_benchmark):
    gd = GradientDifference(settings(GradientDifference))
    ssiuu = Ssiuu(settings(Ssiuu, lambda_=1.0, influence="log-probability"))
    left, right = (run(m, make_subject, toy_benchmark, tiny()) for m in (gd, ssiuu))
    assert differing(left, right) != []


def test_ssiuu_starts_every_rate_without_the_attributions_of_the_last(tiny, make_subject, toy_benchmark):
    one, two = (
        Ssiuu(
            settings(Ssiuu, lambda_=1.0, influence="log-probability").model_copy(
                update={"learning_rates": grid}
            )
        )
        for grid in ((1e-3,), (1e-4, 1e-3))
    )
    left, right = (run(method, make_subject, toy_benchmark, tiny()) for method in (one, two))
    assert differing(left, right) == []


def test_a_regulariser_whose_square_float32_cannot_hold_has_a_length(job):
    terms = [torch.full((4,), 1e-30), torch.zeros(3)]
    assert models.norm(terms) == pytest.approx(2e-30)


@pytest.mark.parametrize("size", [0.0, 1e-20], ids=["nothing is left", "less than float32 can scale up"])
def test_a_ratio_that_cannot_be_kept_is_said(size, tiny, job, data):
    model = tiny(initializer_range=0.05)
    method = Ssiuu(Ssiuu.Config(ratio=10.0))
    prepared(method, job).start(model)

    def vanished(*args):
        method.gradients = [torch.full_like(g, size) for g in method.gradients]
        method.after_backward(model)

    steps = forget_steps(job.tokens, *data, 2, 4, seed=0)
    train(model, steps, method.loss, [torch.optim.SGD(model.parameters(), lr=0.05)], after_backward=vanished)
    assert job.notes["regulariser_lost"] == 3
    assert job.notes["regulariser_ratio"] == job.notes["regulariser_share"] == 0


def test_ssiuu_takes_lambda_by_its_name():
    assert Ssiuu.Config.model_validate({"lambda": 0.5}).lambda_ == 0.5


def test_a_parameter_that_is_frozen_stays(tiny, make_subject, toy_benchmark):
    class Part(Ssiuu):
        def trainable(self, model):
            return model.model.layers[0].parameters()

    model = tiny()
    before = models.snapshot(model)
    after = run(Part(settings(Ssiuu, lambda_=1.0)), make_subject, toy_benchmark, model)
    assert differing(before, after)
    assert all("layers.0." in name for name in differing(before, after))
