"""Both plugins keep the harness's rules, and the loss is the paper's."""

import torch
from harness.model.steps import forget_steps
from harness.testing import check_attack, check_method, sandbox
from harness.testing.facts import SPLITS, Toy

from unlearning_wga.interpolate import Interpolate
from unlearning_wga.wga import WeightedGradientAscent, weighted_ascent


def test_the_method_keeps_the_rules() -> None:
    check_method(WeightedGradientAscent)


def test_the_attack_keeps_the_rules() -> None:
    check_attack(Interpolate)


def test_each_token_is_weighted_by_its_own_probability() -> None:
    subject = sandbox.subject(Toy(), SPLITS)
    data = subject.encode(SPLITS["forget"])
    [[batch]] = forget_steps(subject.tokens, data, data, len(data), 1, seed=0)
    for alpha in (0.0, 1.0, 2.5):
        expected, tokens = 0.0, 0
        for prompt, answer in data:
            logits = subject.model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
            p = logits.double().softmax(dim=-1)[range(len(answer)), list(answer)]
            expected += (p**alpha * p.log()).sum().item()
            tokens += len(answer)
        found = weighted_ascent(subject.model, batch.forget, alpha)
        torch.testing.assert_close(found.item(), expected / tokens, rtol=1e-4, atol=1e-6)


def test_the_weight_has_no_gradient() -> None:
    subject = sandbox.subject(Toy(), SPLITS)
    data = subject.encode(SPLITS["forget"][:1])
    [[batch]] = forget_steps(subject.tokens, data, data, 1, 1, seed=0)
    prompt, answer = data[0]
    logits = subject.model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    told = logits.log_softmax(dim=-1)[range(len(answer)), list(answer)]
    head = subject.model.get_output_embeddings().weight
    [expected] = torch.autograd.grad((told.exp().detach() * told).sum() / len(answer), [head])
    [found] = torch.autograd.grad(weighted_ascent(subject.model, batch.forget, 1.0), [head])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
