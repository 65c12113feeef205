"""BS-T: its equation and its limits."""

from __future__ import annotations

import pytest
import torch
from harness.methods.bss import BSS
from harness.methods.bst import BST
from harness.methods.gd import GradientDifference

from harness.model import models
from support.beliefs import belief
from support.equations import (
    assert_loss_and_gradient,
    differing,
    flat,
    gradients,
    loss_of,
    mean_loss,
    run,
    settings,
)


@pytest.mark.parametrize(
    ("share", "k", "alpha"), [(0.2, 20, 1.0), (0.2, 1, 1.0), (0.7, 3, 2.0), (1.0, 5, 0.0), (0.0, 20, 1.0)]
)
def test_bst_is_its_equation(share, k, alpha, model, batch, data):
    method = BST(BST.Config(lambda_=share, k=k, alpha=alpha))
    expected = belief(model, data[0], share, k) + alpha * mean_loss(model, data[1])
    assert_loss_and_gradient(model, loss_of(method, model, batch), expected)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("micro", [None, 3])
@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_bst_without_belief_is_gradient_difference_bit_for_bit(
    family, micro, alpha, tiny, make_subject, toy_benchmark
):
    gd = GradientDifference(settings(GradientDifference, alpha=alpha))
    bst = BST(settings(BST, lambda_=0.0, alpha=alpha))
    left, right = (run(m, make_subject, toy_benchmark, tiny(family), micro) for m in (gd, bst))
    assert differing(left, right) == []
    assert differing(left, models.snapshot(tiny(family))) != []


def test_bst_with_belief_is_not_gradient_difference(tiny, make_subject, toy_benchmark):
    gd, bst = (run(m(settings(m)), make_subject, toy_benchmark, tiny()) for m in (GradientDifference, BST))
    assert differing(gd, bst) != []


@pytest.mark.parametrize("beyond", [0, 1000])
def test_bst_of_all_belief_in_all_words_is_the_entropy_with_q_held(beyond, model, batch, data):
    words = model.config.vocab_size
    method = BST(BST.Config(lambda_=1.0, k=words + beyond, alpha=0.0))
    held, entropy, count = 0.0, 0.0, 0
    for prompt, answer in data[0]:
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.log_softmax(dim=-1)
        held = held + (logprobs.detach().exp() * logprobs).sum()
        entropy = entropy - (logprobs.exp() * logprobs).sum().item()
        count += len(answer)
    loss = loss_of(method, model, batch)
    assert loss.item() == pytest.approx(-entropy / count, rel=1e-5)
    # sum_v q_v grad log pi_v is 0 where q is pi: what the model believes is where it stays.
    assert flat(gradients(model, held / count)).norm() < 1e-10
    assert flat(gradients(model, loss)).norm() < 1e-4


def test_the_gradient_of_a_belief_in_some_words_raises_the_others(model, batch, data):
    """d<q, log pi>/dlogits = q - pi: descent lowers the words believed in by what they have too much."""
    k = 3
    method = BST(BST.Config(lambda_=1.0, k=k, alpha=0.0))
    seen = []

    def keep(module, args, output):
        output.retain_grad()
        seen.append(output)

    handle = model.lm_head.register_forward_hook(keep)
    loss_of(method, model, batch).backward()
    handle.remove()
    gradient, logits = seen[0].grad, seen[0].detach()
    answers = batch.forget.labels[:, -batch.forget.answer_width :] != -100
    pi = logits[:, -batch.forget.answer_width - 1 : -1][answers].softmax(dim=-1)
    found = gradient[:, -batch.forget.answer_width - 1 : -1][answers] * batch.forget.step_tokens
    top = pi.topk(k)
    q = torch.zeros_like(pi).scatter(1, top.indices, top.values / top.values.sum(dim=1, keepdim=True))
    torch.testing.assert_close(found, q - pi, atol=1e-6, rtol=1e-5)


def test_bst_and_bss_take_lambda_by_its_name():
    assert BST.Config.model_validate({"lambda": 0.5}).lambda_ == 0.5
    assert BSS.Config.model_validate({"lambda": 0.25}).lambda_ == 0.25
