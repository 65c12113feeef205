"""ICU's three terms, and which facts and pairs are in them."""

from __future__ import annotations

import pytest
import torch
from harness.methods.gd import GradientDifference
from harness.methods.icu import ICU

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


def ready(job, known, **given):
    """A method after prepare, before a pass for which these facts are not forgotten."""
    method = prepared(ICU(ICU.Config(**given)), job)
    job.remembered = lambda facts: {fact.id for i, fact in enumerate(facts) if i in known}
    method.new_epoch(job, 0)
    return method


def held(now, before, examples):
    """mean_i H(pi_0, pi) over answer tokens."""
    total, count = 0.0, 0
    for prompt, answer in examples:
        new, old = (
            m(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            for m in (now, before)
        )
        total = total - (old.detach().exp() * new).sum()
        count += len(answer)
    return total / count


@pytest.fixture
def four(job):
    """The job with four facts to forget, all in one step."""
    job.subject.splits = type(job.subject.splits)({"forget": job.forget[:4], "retain": job.retain})
    return job


@pytest.mark.parametrize(("known", "weights"), [((0, 1, 2, 3), (1.0, 0.5, 1.0)), ((1, 2), (2.0, 1.0, 0.3))])
def test_icu_is_its_equation_over_the_facts_that_are_left(known, weights, four, batch, data):
    method = ready(four, known, **dict(zip(("unlearn", "learn", "keep"), weights, strict=True)))
    now, (u, learn, keep) = moved(four.model), weights
    retain = four.subject.encode(four.retain)
    left, pairs = [data[0][i] for i in known], [retain[method.paired[i]] for i in known]
    expected = -u * mean_loss(now, left) + learn * mean_loss(now, pairs) + keep * held(now, four.model, pairs)
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


def test_a_pair_is_the_retain_fact_that_looks_most_alike(job):
    method = prepared(ICU(), job)
    forget, retain = (job.subject.encode(facts) for facts in (job.forget, job.retain))

    def meaning(example):
        ids = torch.tensor([[*example[0], *example[1]]])
        layers = []
        hook = models.blocks(job.model)[-1].register_forward_hook(
            lambda module, args, output: layers.append(output[0] if isinstance(output, tuple) else output)
        )
        job.model(ids)
        hook.remove()
        return layers[0][0].mean(dim=0)

    with torch.no_grad():
        kept = torch.stack([meaning(example) for example in retain])
        for i, example in enumerate(forget):
            near = torch.cosine_similarity(meaning(example)[None], kept)
            assert method.paired[i] == near.argmax().item()


def test_the_forget_term_alone_is_that_of_gradient_difference(four, batch):
    method = ready(four, range(4), learn=0.0, keep=0.0)
    gd = GradientDifference(GradientDifference.Config(alpha=0.0))
    found, expected = (flat(gradients(four.model, loss_of(m, four.model, batch))) for m in (method, gd))
    assert (found - expected).norm() <= 1e-12 * expected.norm()


@pytest.mark.parametrize("micro", [1, 3])
def test_micro_batches_add_up_to_the_step(micro, four, data):
    method, now = ready(four, (0, 2, 3)), moved(four.model)
    [[whole]] = forget_steps(four.tokens, *data, 4, 1, seed=0)
    [parts] = forget_steps(four.tokens, *data, 4, 1, seed=0, micro=micro)
    expected = flat(gradients(now, loss_of(method, now, whole)))
    found = sum(flat(gradients(now, loss_of(method, now, part))) for part in parts)
    assert (found - expected).norm() <= 1e-6 * expected.norm()


def test_when_all_is_forgotten_nothing_is_pushed(four, batch):
    method = ready(four, ())
    assert flat(gradients(four.model, loss_of(method, four.model, batch))).norm() == 0


@pytest.mark.parametrize("family", ["gpt2", "phi3"])
def test_two_steps_of_icu_stay_finite(family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    after = run(ICU(settings(ICU, epochs=1, batch_size=6)), make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert differing(before, after)
