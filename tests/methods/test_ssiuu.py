"""Each method computes the equation of its paper, and is what it should be at the ends of its settings."""

from __future__ import annotations

import pytest
import torch
from harness.methods.controls import NoUnlearning, Retrain
from harness.methods.ga import GradientAscent
from harness.methods.gd import GradientDifference
from harness.methods.npo import NPO
from harness.methods.refusal import Refusal
from harness.methods.ssiuu import Ssiuu

from harness import models
from harness.errors import HarnessError
from harness.run import unlearn
from harness.train import forget_steps, train
from support.equations import (
    assert_loss_and_gradient,
    differing,
    flat,
    gradients,
    log_probability,
    loss_of,
    mean_loss,
    moved,
    prepared,
    run,
    settings,
)

N = 4


def test_gradient_ascent_is_minus_the_mean_loss_of_the_forget_set(model, batch, data):
    forget, _ = data
    assert_loss_and_gradient(model, loss_of(GradientAscent(), model, batch), -mean_loss(model, forget))


@pytest.mark.parametrize(("gamma", "alpha"), [(1.0, 1.0), (0.5, 1.0), (1.0, 3.0), (0.0, 1.0)])
def test_gradient_difference_weighs_forget_and_retain(gamma, alpha, model, batch, data):
    forget, retain = data
    method = GradientDifference(GradientDifference.Config(gamma=gamma, alpha=alpha))
    expected = -gamma * mean_loss(model, forget) + alpha * mean_loss(model, retain)
    assert_loss_and_gradient(model, loss_of(method, model, batch), expected)


@pytest.mark.parametrize("retain", ["ce", "none"])
@pytest.mark.parametrize(("beta", "alpha"), [(0.1, 1.0), (0.7, 2.0)])
def test_npo_is_the_preference_loss_against_the_original(beta, alpha, retain, job, batch, data):
    method = prepared(NPO(NPO.Config(beta=beta, alpha=alpha, retain=retain)), job)
    now = moved(job.model)
    forget, kept = data
    expected = 0.0
    for example in forget:
        ratio = log_probability(now, *example) - log_probability(job.model, *example).detach()
        expected = expected - 2 / beta * torch.log(1 / (1 + torch.exp(beta * ratio))) / N
    if retain == "ce":
        expected = expected + alpha * mean_loss(now, kept)
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


def test_the_kl_retain_term_of_npo_is_that_of_the_original_to_the_model_now(job, batch, data):
    job.original = models.snapshot(job.model)
    now = moved(job.model)
    found = [
        loss_of(prepared(NPO(NPO.Config(alpha=2.0, retain=retain)), job), now, batch)
        for retain in ("kl", "none")
    ]
    total = 0.0
    for prompt, answer in data[1]:
        old, new = (
            m(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1].log_softmax(dim=-1)
            for m in (job.model, now)
        )
        total = total + (old.detach().exp() * (old.detach() - new)).sum()
    expected = 2.0 * total / sum(len(answer) for _, answer in data[1])
    assert expected > 0.01
    assert_loss_and_gradient(now, found[0] - found[1], expected, near=1e-5)  # KL is taken in float32


def test_npo_weighs_the_gradient_of_each_sequence_by_how_far_it_has_gone(job, batch, data):
    beta = 0.5
    method = prepared(NPO(NPO.Config(beta=beta, retain="none")), job)
    now = moved(job.model)
    expected = 0.0
    weights = []
    for example in data[0]:
        log_pi = log_probability(now, *example)
        pi, pi_0 = log_pi.exp().detach(), log_probability(job.model, *example).exp().detach()
        weights.append(2 * pi**beta / (pi**beta + pi_0**beta))
        expected = expected + weights[-1] * log_pi / N  # descent on it is weighted ascent on NLL_sum
    assert max(weights) - min(weights) > 0.01
    left, right = flat(gradients(now, loss_of(method, now, batch))), flat(gradients(now, expected))
    assert (left - right).norm() <= 1e-6 * right.norm()


def test_npo_tends_to_gradient_ascent_on_whole_sequences_as_beta_falls(job, batch, data):
    now = moved(job.model)
    ascent = flat(gradients(now, sum(log_probability(now, *example) for example in data[0]) / N))
    distances = []
    for beta in (1.0, 0.1, 0.01, 0.001):
        method = prepared(NPO(NPO.Config(beta=beta, retain="none")), job)
        gradient = flat(gradients(now, loss_of(method, now, batch)))
        distances.append(float((gradient - ascent).norm() / ascent.norm()))
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 1e-3
    assert distances[-1] < 1e-3
    assert torch.cosine_similarity(gradient, ascent, dim=0) > 0.9999


def test_npo_keeps_of_the_original_one_number_for_each_fact(job):
    method = prepared(NPO(), job)
    [reference] = [value for value in vars(method).values() if isinstance(value, torch.Tensor)]
    assert not any(isinstance(value, torch.nn.Module) for value in vars(method).values())
    assert reference.shape == (len(job.forget),)
    assert not reference.requires_grad
    expected = [-log_probability(job.model, *example).item() for example in job.subject.encode(job.forget)]
    torch.testing.assert_close(reference, torch.tensor(expected, dtype=reference.dtype))


def test_refusal_learns_to_decline_and_keeps_the_rest(job, batch, data):
    method = prepared(Refusal(), job)
    refusal = (*job.tokens.tokenizer("I can't answer the question.").input_ids, job.tokens.end)
    forget, retain = data
    expected = mean_loss(job.model, [(prompt, refusal) for prompt, _ in forget]) + mean_loss(
        job.model, retain
    )
    assert_loss_and_gradient(job.model, loss_of(method, job.model, batch), expected)


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("make", [GradientAscent, GradientDifference, NPO, Refusal, Ssiuu])
def test_micro_batches_add_up_to_the_step(make, micro, job, data):
    method = prepared(make(), job)
    method.start(job.model)
    [[whole]] = forget_steps(job.tokens, *data, N, 1, seed=0)
    [parts] = forget_steps(job.tokens, *data, N, 1, seed=0, micro=micro)
    assert len(parts) > 1
    expected = flat(gradients(job.model, loss_of(method, job.model, whole)))
    found = sum(flat(gradients(job.model, loss_of(method, job.model, part))) for part in parts)
    assert (found - expected).norm() <= 1e-6 * expected.norm()


# Ssiuu's regulariser, followed over steps of the training loop.


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
    method.start(model)
    forget, retain = data
    steps = list(forget_steps(job.tokens, forget, retain, 2, 4, seed=0, micro=micro))
    todo = iter(steps)
    past = []
    sizes = []

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
        past.append(attribution)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    train(model, steps, method.loss, [optimizer], after_backward=after_backward)
    assert len(past) == 4
    assert min(sizes) > 1e-3  # the regulariser is no rounding error here
    assert method.log()["regulariser_ratio"] == pytest.approx(sum(sizes) / len(sizes), rel=1e-4)


@pytest.mark.parametrize("ratio", [0.0, 0.01, 2.0])
def test_the_ratio_of_ssiuu_sets_the_length_of_its_regulariser(ratio, tiny, job, data):
    model = tiny(initializer_range=0.05).double()
    method = Ssiuu(Ssiuu.Config(ratio=ratio, influence="log-probability"))
    free = Ssiuu(Ssiuu.Config(lambda_=1.0, influence="log-probability"))
    for each in (method, free):
        each.start(model)
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
    assert method.log()["regulariser_ratio"] == pytest.approx(ratio)


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


# Controls.


def test_none_leaves_every_bit(tiny, make_subject, toy_benchmark):
    model = tiny()
    before = models.weights_fingerprint(model)
    job = unlearn(make_subject(toy_benchmark(), model), NoUnlearning(), seed=0)
    assert models.weights_fingerprint(model) == before
    assert (job.cost.steps, job.metrics) == (0, [])


def test_retrain_takes_the_weights_of_the_twin(tiny, tokenizer, tmp_path, make_subject, toy_benchmark):
    twin = tiny(seed=1)
    models.save(twin, tokenizer, tmp_path / "twin", {})
    model = tiny(seed=0)
    unlearn(make_subject(toy_benchmark(), model, retrain=tmp_path / "twin"), Retrain(), seed=0)
    assert models.weights_fingerprint(model) == models.weights_fingerprint(twin)


def test_retrain_without_a_twin_says_so(make_subject, toy_benchmark):
    with pytest.raises(HarnessError, match="there is no twin"):
        unlearn(make_subject(toy_benchmark()), Retrain(), seed=0)
