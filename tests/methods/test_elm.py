"""ELM teaches what a novice would say; without a contrast it is the divergence from the original."""

from __future__ import annotations

import pytest
import torch
from harness.methods.elm import ELM

from harness import Prompt, losses
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

WORDS = {"expert": "What {concept}", "novice": "Where does Ada", "turn": "eat soup", "max_new_tokens": 3}
"""In words of the toy benchmark; the novice's are about no concept."""


def method_of(**given):
    return ELM(ELM.Config(**(WORDS | given)))


def ids(job, text):
    [(found, _)] = job.tokens.encode([(Prompt("", literal=True, opening=text), "")])
    return found


def logits_at(model, before, text, answer):
    """Logits that predict each token of an answer behind other tokens, one text at a time."""
    logits = model(torch.tensor([[*before, *text, *answer]])).logits[0]
    first = len(before) + len(text) - 1
    return logits[first : first + len(answer)]


def erased(now, before, job, examples, facts, eta, tau):
    """mean_i H(p*_i, pi_i), one answer token at a time."""
    total, count = 0.0, 0
    for (x, y), fact in zip(examples, facts, strict=True):
        expert, novice = ids(job, f"What {fact.question}"), ids(job, "Where does Ada")
        plain, knows, not_ = (logits_at(before, told, x, y).detach() for told in ((), expert, novice))
        student = logits_at(now, (), x, y)
        for i in range(len(y)):
            ramp = 1 + (eta - 1) * (len(x) + i) / (len(x) + len(y) - 1)
            contrast = not_[i].log_softmax(0) - knows[i].log_softmax(0)
            target = ((plain[i] + ramp * contrast) / tau).softmax(0)
            total = total - (target * student[i].log_softmax(0)).sum()
            count += 1
    return total / count


def divergence(now, before, examples):
    """KL(pi_0 || pi), the mean over answer tokens."""
    total, count = 0.0, 0
    for x, y in examples:
        old, new = (logits_at(model, (), x, y).log_softmax(1) for model in (before, now))
        total = total + (old.detach().exp() * (old.detach() - new)).sum()
        count += len(y)
    return total / count


@pytest.mark.parametrize(
    ("eta", "tau", "u", "r", "c"), [(1000.0, 1.2, 1.0, 1.0, 1.0), (3.0, 0.7, 0.5, 2.0, 1.5)]
)
def test_elm_is_its_equation(eta, tau, u, r, c, job, batch, data):
    method = prepared(method_of(eta=eta, temperature=tau, erase=u, keep=r, fluent=c), job)
    now = moved(job.model)
    expected = u * erased(now, job.model, job, data[0], job.forget[:4], eta, tau)
    expected = expected + r * divergence(now, job.model, data[1])
    expected = expected + c * sum(mean_loss(now, [text]) for text in method.fluent[:4]) / 4
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


def test_the_stronger_the_contrast_the_more_the_target_says_what_a_novice_would(job):
    x, y = job.encode(job.forget)[0]
    told = ids(job, "Where does Ada"), ids(job, f"What {job.forget[0].question}")
    novice, expert = (logits_at(job.model, words, x, y).log_softmax(1) for words in told)
    text = job.tokens.collate([(x, y)], [0], 1, 1)
    targets = [
        prepared(method_of(eta=eta, temperature=1.0), job).target(job.model, text) for eta in (1.0, 5.0, 50.0)
    ]
    assert all(target.sum(dim=1).sub(1).abs().max() < 1e-9 for target in targets)
    said = [(target * (novice - expert)).sum().item() for target in targets]
    assert said[0] < said[1] < said[2]


def test_words_about_a_fact_are_of_its_question_or_of_the_concept(job):
    texts = job.encode(job.forget)
    method = prepared(method_of(), job)
    named = prepared(method_of(concept="Ada"), job)
    for i, ((x, y), fact) in enumerate(zip(texts, job.forget, strict=True)):
        assert method.expert[i] == ((*ids(job, f"What {fact.question}"), *x), y)
        assert named.expert[i] == ((*ids(job, "What Ada"), *x), y)
        assert method.novice[i] == named.novice[i] == ((*ids(job, "Where does Ada"), *x), y)


def test_what_keeps_fluent_is_the_phrase_and_what_the_original_says_behind_it(job):
    method = prepared(method_of(), job)
    behind = [Prompt(fact.question, opening=f"{fact.answer} eat soup") for fact in job.forget]
    for (x, y), fact, [sampled] in zip(
        method.fluent, job.forget, job.sample(behind, 1, 3, "elm"), strict=True
    ):
        assert job.tokens.decode(x).endswith(fact.answer)
        assert job.tokens.decode(y[: len(y) - len(sampled)]) == "eat soup"
        assert y[len(y) - len(sampled) :] == tuple(sampled)


def test_elm_without_a_contrast_is_the_divergence_from_the_original(job, batch):
    method = prepared(method_of(expert=WORDS["novice"], temperature=1.0, fluent=0.0), job)
    at_the_original = flat(gradients(job.model, loss_of(method, job.model, batch)))
    assert at_the_original.norm() < 1e-10
    now = moved(job.model)
    found = flat(gradients(now, loss_of(method, now, batch)))
    both = sum(losses.kl_to(now, job.original, texts) for texts in (batch.forget, batch.retain))
    expected = flat(gradients(now, both))
    assert expected.norm() > 1e-3
    assert (found - expected).norm() <= 1e-6 * expected.norm()


def test_micro_batches_add_up_to_the_step(job, data):
    method = prepared(method_of(eta=3.0), job)
    [[whole]] = forget_steps(job.tokens, *data, 4, 1, seed=0)
    [parts] = forget_steps(job.tokens, *data, 4, 1, seed=0, micro=1)
    assert len(parts) > 1
    expected = flat(gradients(job.model, loss_of(method, job.model, whole)))
    found = sum(flat(gradients(job.model, loss_of(method, job.model, part))) for part in parts)
    assert (found - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_two_steps_of_elm_stay_finite_and_move_maps_of_the_chosen_layers_alone(
    family, tiny, make_subject, toy_benchmark
):
    model = tiny(family)
    before = models.snapshot(model)
    chosen = {id(weight) for weight in method_of(low=0.5, high=1.0).trainable(model)}
    names = {name for name, weight in model.named_parameters() if id(weight) in chosen}
    method = ELM(settings(ELM, epochs=1, batch_size=6, low=0.5, high=1.0, **WORDS))
    after = run(method, make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert set(differing(before, after)) == names
    [last] = {name.rpartition("layers.")[2].split(".")[0] for name in names if "layers." in name} or {"1"}
    assert last == "1"
