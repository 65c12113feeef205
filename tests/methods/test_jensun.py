"""JensUn computes its divergences, which are bounded, and moves no retain answer at the start."""

from __future__ import annotations

import math

import pytest
import torch
from harness.methods._divergence import js, js_to_one
from harness.methods.jensun import JensUn
from hypothesis import given
from hypothesis import strategies as st

from harness import HarnessError, Prompt
from harness.model import models
from support.equations import (
    assert_loss_and_gradient,
    differing,
    loss_of,
    moved,
    prepared,
    run,
    settings,
)

LOG_2 = math.log(2)


def divergence(p, q):
    """JS(p || q) as it is defined, with 0 log 0 = 0."""
    m = (p + q) / 2
    return sum((torch.special.xlogy(x, x) - torch.special.xlogy(x, m)).sum() for x in (p, q)) / 2


def mean_divergence(now, examples, against):
    """Mean over answer tokens of JS(pi || q); q by the text, place and token."""
    total, count = 0.0, 0
    for example in examples:
        prompt, answer = example
        pi = now(torch.tensor([[*prompt, *answer]])).logits[0].softmax(-1)
        for i in range(len(answer)):
            total = total + divergence(pi[len(prompt) - 1 + i], against(example, i))
            count += 1
    return total / count


@pytest.mark.parametrize(("target", "gamma", "alpha"), [("Answer", 1.0, 1.0), ("No idea", 0.5, 2.0)])
def test_jensun_is_its_equation(target, gamma, alpha, job, batch, data):
    method = prepared(JensUn(JensUn.Config(target=target, gamma=gamma, alpha=alpha)), job)
    now = moved(job.model)
    [(_, tokens)] = job.tokens.encode([(Prompt("Who?"), target)])
    words = now.config.vocab_size

    def fixed(example, i):
        return torch.eye(words).double()[tokens[i % len(tokens)]]

    def original(example, i):
        prompt, answer = example
        return (
            job.model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 + i].softmax(-1).detach()
        )

    expected = gamma * mean_divergence(now, data[0], fixed)
    expected = expected + alpha * mean_divergence(now, data[1], original)
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


def test_a_longer_target_is_repeated_from_each_answers_first_token(job, batch, data):
    """Of "No idea" the toy tokenizer makes letters: more than the two and three tokens of an answer."""
    method = prepared(JensUn(JensUn.Config()), job)
    assert len(method.target) == 6
    assert len(prepared(JensUn(JensUn.Config(target="Answer")), job).target) == 1


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_divergence_is_bounded_and_does_not_see_which_comes_first(logits, random):
    p = torch.tensor(logits).double().log_softmax(0)
    q = torch.tensor(random.sample(logits, len(logits))).double().log_softmax(0)
    assert -1e-12 <= js(p, q).item() <= LOG_2 + 1e-12
    torch.testing.assert_close(js(p, q), js(q, p))
    torch.testing.assert_close(js(p, q), divergence(p.exp(), q.exp()), atol=1e-12, rtol=1e-9)
    assert js(p, p).item() == pytest.approx(0, abs=1e-12)


def test_the_forget_loss_ends_at_0_and_never_exceeds_log_2():
    log_p = torch.tensor([-1e4, -50.0, -1.0, 0.0]).double()
    found = js_to_one(log_p)
    assert found[0].item() == LOG_2
    assert found[-1].item() == pytest.approx(0, abs=1e-12)
    assert found.tolist() == sorted(found.tolist(), reverse=True)


def test_at_the_original_jensun_has_no_retain_term(job, batch):
    with_it, without = (
        loss_of(prepared(JensUn(JensUn.Config(alpha=alpha)), job), job.model, batch) for alpha in (1e6, 0.0)
    )
    assert with_it.item() == pytest.approx(without.item(), rel=1e-6)
    assert without.item() < LOG_2


def test_a_target_without_a_token_is_refused(job):
    with pytest.raises(HarnessError, match=r"jensun\.target=' ' has no token"):
        prepared(JensUn(JensUn.Config(target=" ")), job)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_two_steps_of_jensun_stay_finite(family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    after = run(JensUn(settings(JensUn, epochs=1, batch_size=6)), make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert differing(before, after)
