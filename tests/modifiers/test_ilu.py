"""ilu adds the squared slope of a loss on other data in a scale of the logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from harness.modifiers.ilu import ILU
from torch.nn.functional import cross_entropy

from support.composed import Opposed, gradients_of, over
from support.equations import flat, gradients, mean_loss


def penalty(model, examples):
    """(d/dw CE(w z; D) at w = 1)^2 by autograd, through a graph of the derivative."""
    w = torch.ones((), dtype=torch.float64, requires_grad=True)
    total, tokens = 0.0, 0
    for prompt, answer in examples:
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        total = total + cross_entropy(w * logits, torch.tensor(answer), reduction="sum")
        tokens += len(answer)
    [slope] = torch.autograd.grad(total / tokens, w, create_graph=True)
    return slope**2


@pytest.mark.parametrize("micro", [None, 5])
def test_the_gradient_of_the_penalty_is_added_to_the_methods(micro, model, batch, data, job):
    job.reads = frozenset({"instruct"})
    job.subject = replace(job.subject, micro_batch=micro)
    forget, retain = data
    lambda_, instruct = 0.3, job.subject.encode(job.data["instruct"])
    settings = {"ilu_lambda_": lambda_, "ilu_batch_size": len(instruct)}
    method = over(Opposed, ILU, **settings)
    method.prepare(job)
    method.start(model)
    expected = mean_loss(model, retain) - mean_loss(model, forget) + lambda_ * penalty(model, instruct)
    right = flat(gradients(model, expected))
    plain = flat(gradients(model, mean_loss(model, retain) - mean_loss(model, forget)))
    left = flat(gradients_of(method, model, batch))
    assert (left - right).norm() <= 1e-5 * right.norm()
    assert (right - plain).norm() > 1e-3 * right.norm()


def test_the_penalty_counts_as_what_holds(model, batch, job):
    job.reads = frozenset({"instruct"})
    plain = gradients_of(over(Opposed), model, batch, by_name=True)
    method = over(Opposed, ILU)
    method.prepare(job)
    method.start(model)
    parts = gradients_of(method, model, batch, by_name=True)
    assert parts.keys() == {"forget", "retain"}
    assert torch.equal(flat(parts["forget"]), flat(plain["forget"]))
    assert not torch.equal(flat(parts["retain"]), flat(plain["retain"]))


def test_each_rate_sees_the_other_data_in_the_same_order(job):
    job.reads = frozenset({"instruct"})
    ilu = ILU(ILU.Config(batch_size=5), Opposed())
    ilu.prepare(job)
    orders = []
    for _ in range(2):
        ilu.start(job.model)
        orders.append([ilu.next_facts() for _ in range(5)])
    assert orders[0] == orders[1]
    taken = [i for step in orders[0] for i in step]
    assert sorted(taken[:12]) == sorted(taken[12:24]) == list(range(12))


def test_without_other_data_it_says_what_is_missing(job):
    splits = job.subject.splits.only(frozenset({"forget", "retain"}))
    assert over(Opposed, ILU).lacks(splits) == "the benchmark has no split 'instruct' (ilu.data)"
    assert over(Opposed, ILU, ilu_data="retain").lacks(splits) is None
