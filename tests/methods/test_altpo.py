"""AltPO prefers the alternates that the original made up, one after the other."""

from __future__ import annotations

import pytest
import torch
from harness.methods.altpo import AltPO

from harness import Prompt
from harness.model import models
from support.equations import (
    assert_loss_and_gradient,
    differing,
    log_probability,
    loss_of,
    mean_loss,
    moved,
    prepared,
    run,
    settings,
)

N = 4


def method_of(**given):
    return AltPO(AltPO.Config(**({"n": 2, "max_new_tokens": 3} | given)))


@pytest.mark.parametrize(("beta", "alpha"), [(0.1, 1.0), (0.7, 2.0)])
def test_altpo_is_its_equation_with_the_alternate_of_the_pass(beta, alpha, job, batch, data):
    method, now = prepared(method_of(beta=beta, alpha=alpha), job), moved(job.model)
    values = []
    for epoch in (0, 1, 2):
        method.new_epoch(job, epoch)
        values.append(loss_of(method, now, batch).item())
    assert values[0] == values[2] != values[1]
    expected = alpha * mean_loss(now, data[1])
    for alternate, true in zip(method.alternates[0], data[0], strict=False):
        gain_w, gain_l = (
            log_probability(now, *example) - log_probability(job.model, *example).detach()
            for example in (alternate, true)
        )
        expected = expected - 2 / beta * torch.log(torch.sigmoid(beta * (gain_w - gain_l))) / N
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


def test_alternates_are_what_the_original_says_to_the_instruction(job):
    method = prepared(method_of(instruction="{question} not {answer}"), job)
    prompts = [Prompt(f"{fact.question} not {fact.answer}") for fact in job.forget]
    sampled = job.sample(prompts, 2, 3, "altpo")
    for i, (head, _) in enumerate(job.subject.encode(job.forget)):
        for k in range(2):
            prompt, answer = method.alternates[k][i]
            assert prompt == head
            assert answer[:3] == (*sampled[i][k], *job.tokens.tail)[:3]
            assert (answer[-1:] == job.tokens.tail[-1:]) == (len(sampled[i][k]) < 3)
    assert job.notes["alternates"] == 2 * len(job.forget)


def test_alternates_that_are_the_truth_are_counted(job, monkeypatch):
    truth = [answer[: -len(job.tokens.tail)] for _, answer in job.subject.encode(job.forget)]
    monkeypatch.setattr(
        job, "sample", lambda prompts, n, *rest: [[truth[0]] * n for _ in prompts], raising=False
    )
    prepared(method_of(max_new_tokens=9), job)
    assert job.notes["same_as_true"] == 2 * sum(answer == truth[0] for answer in truth) > 0


def test_the_same_seed_makes_up_the_same(tiny, make_subject, toy_benchmark):
    left, right = (run(AltPO(settings(AltPO, n=1, max_new_tokens=3)), make_subject, toy_benchmark, tiny())
                   for _ in range(2))  # fmt: skip
    assert differing(left, right) == []
    assert differing(left, models.snapshot(tiny()))
