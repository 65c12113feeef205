"""The two methods of our own: their equations, and what they are at their limits."""

from __future__ import annotations

import math

import pytest
import torch
from harness.methods.direct_token import DirectToken
from harness.methods.ga import GradientAscent
from harness.methods.marginal_information import MarginalInformation

from harness import Prompt
from harness.model import models
from harness.model.steps import forget_steps
from harness.model.train import terms
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


def each_token(model, examples):
    """For each answer token in its order: its text, its place, and log pi over all words."""
    for text, (prompt, answer) in enumerate(examples):
        logprobs = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        yield from ((text, i, token, logprobs[i]) for i, token in enumerate(answer))


@pytest.fixture
def four(job):
    """The job with four facts to forget and four to keep, all in one step."""
    splits = {"forget": job.forget[:4], "retain": job.retain[:4]}
    job.subject.splits = type(job.subject.splits)(splits)
    return job


def targets_of(job, data, rho):
    """Text and place of the tokens with the highest context gain."""
    [(alone, _)] = job.tokens.encode([(Prompt(""), "")])
    asked, bare = (
        list(each_token(job.model, texts)) for texts in (data, [(alone, answer) for _, answer in data])
    )
    gains = {a[:2]: (a[3][a[2]] - b[3][b[2]]).item() for a, b in zip(asked, bare, strict=True)}
    return sorted(gains, key=gains.get, reverse=True)[: round(rho * len(gains))]


@pytest.mark.parametrize(("rho", "gamma", "alpha"), [(0.5, 1.0, 1.0), (0.2, 0.5, 3.0)])
def test_direct_token_is_its_equation(rho, gamma, alpha, four, batch, data):
    method = prepared(DirectToken(DirectToken.Config(rho=rho, gamma=gamma, alpha=alpha)), four)
    now, chosen = moved(four.model), targets_of(four, data[0], rho)
    tokens = list(each_token(now, data[0]))
    pairs = list(zip(tokens, each_token(four.model, data[0]), strict=True))
    ascent = sum(log[token] for text, i, token, log in tokens if (text, i) in chosen) / len(chosen)
    kept = [(new[3], old[3].detach()) for new, old in pairs if new[:2] not in chosen]
    divergence = sum((old.exp() * (old - new)).sum() for new, old in kept) / len(kept)
    assert 0 < len(chosen) < len(tokens)
    assert four.notes["target_share"] == len(chosen) / len(tokens)
    expected = gamma * ascent + alpha * divergence
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected, near=1e-5)


def test_the_ascent_of_direct_token_goes_across_what_holds_the_others(four, batch):
    method, now = prepared(DirectToken(), four), moved(four.model)
    apart = {
        name: dict(zip(now.parameters(), gradients(now, term), strict=True))
        for name, term in terms(method.loss, method.loss(now, batch))
    }
    method.combine(now, apart)
    forget, others = (flat(apart[name].values()) for name in ("forget", "others"))
    ascent = flat([parameter.grad for parameter in now.parameters()]) - others
    assert abs(forget @ others) > 1e-3 * forget.norm() * others.norm()
    assert abs(ascent @ others) < 1e-9 * forget.norm() * others.norm()
    expected = forget - (forget @ others) / (others @ others) * others
    torch.testing.assert_close(ascent, expected, atol=1e-9, rtol=1e-6)


def test_direct_token_of_all_tokens_is_gradient_ascent(tiny, make_subject, toy_benchmark):
    direct = DirectToken(settings(DirectToken, rho=1.0))
    left, right = (
        run(m, make_subject, toy_benchmark, tiny())
        for m in (direct, GradientAscent(settings(GradientAscent)))
    )
    assert differing(left, right) == []
    assert differing(left, models.snapshot(tiny()))


def divergence(p, q):
    m = (p + q) / 2
    return sum((torch.special.xlogy(x, x) - torch.special.xlogy(x, m)).sum() for x in (p, q)) / 2


@pytest.mark.parametrize("longest", [2, 3])
@pytest.mark.parametrize(("weight", "alpha"), [(1.0, 1.0), (0.5, 2.0)])
def test_marginal_information_is_its_equation(weight, alpha, longest, four, batch, data):
    config = MarginalInformation.Config(lambda_=weight, alpha=alpha)
    kept = [example for example in data[1] if len(example[1]) <= longest]
    four.encode = lambda facts: kept
    method, now = prepared(MarginalInformation(config), four), moved(four.model)
    of_place = {}
    for _, i, _, log in each_token(four.model, kept):
        of_place.setdefault(i, []).append(log.detach().exp())
    r = {i: torch.stack(each).mean(dim=0) for i, each in of_place.items()}
    told = [divergence(log.exp(), r[min(i, max(r))]) for _, i, _, log in each_token(now, data[0])]
    expected = weight * sum(told) / len(told) + alpha * mean_loss(now, data[1])
    assert 0 < sum(told).item() / len(told) < math.log(2)
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("make", [DirectToken, MarginalInformation])
def test_micro_batches_add_up_to_the_step(make, micro, four, data):
    method, now = prepared(make(), four), moved(four.model)
    [[whole]] = forget_steps(four.tokens, *data, 4, 1, seed=0)
    [parts] = forget_steps(four.tokens, *data, 4, 1, seed=0, micro=micro)
    expected = flat(gradients(now, loss_of(method, now, whole)))
    found = sum(flat(gradients(now, loss_of(method, now, part))) for part in parts)
    assert (found - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("family", ["gpt2", "phi3"])
@pytest.mark.parametrize("make", [DirectToken, MarginalInformation])
def test_two_steps_stay_finite(make, family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    after = run(make(settings(make, epochs=1, batch_size=6)), make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert differing(before, after)
