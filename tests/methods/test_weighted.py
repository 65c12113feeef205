"""WGA, TNPO and SatImp weigh tokens as their equations say, and are GD, NPO and one another at the limits."""

from __future__ import annotations

import pytest
import torch
from harness.methods.gd import GradientDifference
from harness.methods.npo import NPO
from harness.methods.satimp import SatImp
from harness.methods.tnpo import TNPO
from harness.methods.wga import WGA

from harness.model import models
from harness.model.steps import forget_steps
from support.equations import (
    assert_loss_and_gradient,
    differing,
    flat,
    gradients,
    loss_of,
    mean_loss,
    moved,
    prepared,
    run,
    settings,
)
from support.families import LINEAR


def tokens_of(model, examples):
    """log pi of every answer token of the examples, with its graph."""
    for prompt, answer in examples:
        logprobs = model(torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(dim=-1)
        for i, token in enumerate(answer):
            yield logprobs[len(prompt) - 1 + i, token]


def ascent(now, before, examples, weigh):
    """mean_i w_i log pi_i; the weight is a function of pi_i and pi_{0,i}."""
    pairs = list(zip(tokens_of(now, examples), tokens_of(before, examples), strict=True))
    return sum(weigh(log.exp().item(), old.exp().item()) * log for log, old in pairs) / len(pairs)


WEIGHTS = [
    (WGA, {"beta": 1.0}, lambda pi, old: pi),
    (WGA, {"beta": 5.0, "gamma": 0.3}, lambda pi, old: pi**5),
    (TNPO, {"beta": 4.0}, lambda pi, old: 2 * pi**4 / (pi**4 + old**4)),
    (TNPO, {"beta": 0.5, "alpha": 2.0}, lambda pi, old: 2 * pi**0.5 / (pi**0.5 + old**0.5)),
    (SatImp, {"gamma": 1.0}, lambda pi, old: pi**5 * (1 - pi)),
    (SatImp, {"beta1": 0.5, "beta2": 3.0, "alpha": 0.0}, lambda pi, old: pi**0.5 * (1 - pi) ** 3),
]


@pytest.mark.parametrize(("make", "given", "weigh"), WEIGHTS)
def test_each_is_its_equation(make, given, weigh, job, batch, data):
    method = prepared(make(make.Config(**given)), job)
    now = moved(job.model)
    expected = method.config.gamma * ascent(now, job.model, data[0], weigh)
    expected = expected + method.config.alpha * mean_loss(now, data[1])
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


@pytest.mark.parametrize("micro", [None, 3])
@pytest.mark.parametrize(
    ("make", "given"),
    [(WGA, {"beta": 0.0}), (TNPO, {"beta": 0.0}), (SatImp, {"beta1": 0.0, "beta2": 0.0, "gamma": 1.0})],
)
def test_weights_of_one_are_gradient_difference_bit_for_bit(
    make, given, micro, tiny, make_subject, toy_benchmark
):
    gd, weighted = GradientDifference(settings(GradientDifference)), make(settings(make, **given))
    left, right = (run(m, make_subject, toy_benchmark, tiny(), micro) for m in (gd, weighted))
    assert differing(left, right) == []
    assert differing(left, models.snapshot(tiny())) != []


def test_satimp_without_importance_is_wga_bit_for_bit(tiny, make_subject, toy_benchmark):
    wga = WGA(settings(WGA, beta=2.0))
    satimp = SatImp(settings(SatImp, beta1=2.0, beta2=0.0, gamma=1.0))
    left, right = (run(m, make_subject, toy_benchmark, tiny()) for m in (wga, satimp))
    assert differing(left, right) == []


def test_tnpo_begins_as_gradient_difference(job, batch):
    tnpo, gd = prepared(TNPO(), job), GradientDifference()
    assert torch.equal(loss_of(tnpo, job.model, batch), loss_of(gd, job.model, batch))


def test_tnpo_of_answers_of_one_token_has_the_gradient_of_npo(job, data):
    """There a token is the sequence."""
    one = [(prompt, answer[:1]) for prompt, answer in data[0]]
    job.encode = lambda facts: one
    now = moved(job.model)
    [[batch]] = forget_steps(job.tokens, one, data[1], len(one), 1, seed=0)
    found = [
        flat(gradients(now, loss_of(prepared(make(make.Config(beta=0.7, alpha=0.0)), job), now, batch)))
        for make in (TNPO, NPO)
    ]
    assert (found[0] - found[1]).norm() <= 1e-6 * found[1].norm()


@pytest.mark.parametrize("micro", [None, 1])
def test_tnpo_keeps_of_the_original_one_number_for_each_token(micro, job, data):
    job.subject.micro_batch = micro
    method = prepared(TNPO(), job)
    assert set(vars(method)) == {"config", "reference"}
    everything = job.subject.encode(job.forget)
    expected = torch.stack(list(tokens_of(job.model, everything))).detach()
    kept = method.reference
    assert kept.shape == (len(everything), max(len(answer) for _, answer in everything))
    found = torch.cat([row[-len(answer) :] for row, (_, answer) in zip(kept, everything, strict=True)])
    torch.testing.assert_close(found, -expected)
    assert kept.count_nonzero() == len(expected)


@pytest.mark.parametrize("make", [WGA, TNPO, SatImp])
def test_a_token_that_is_gone_is_not_pushed_on(make, job, batch):
    """The gradient of plain ascent does not fall, that of a weighted one does."""
    method = prepared(make(make.Config(alpha=0.0, gamma=1.0)), job)
    nll = torch.tensor([[1e-3, 1.0, 10.0, 50.0]]).double()
    method.reference = torch.zeros(1, 4).double()
    weights = method.weights(nll, type(batch.forget)(*[torch.zeros(1, dtype=torch.long)] * 5, 1, 1))[0]
    assert weights[-1] < 1e-6
    assert weights[2] < weights[1]
    assert weights.max() <= 2


@pytest.mark.parametrize("family", ["gpt2", "phi3"])
@pytest.mark.parametrize("make", [WGA, TNPO, SatImp])
def test_two_steps_stay_finite(make, family, tiny, make_subject, toy_benchmark):
    assert family in LINEAR
    model = tiny(family)
    before = models.snapshot(model)
    after = run(make(settings(make, epochs=1, batch_size=6)), make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert differing(before, after)
