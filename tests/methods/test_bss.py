"""BS-S: its equation, its limits, and whose samples are whose."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
from harness.methods.bss import BSS
from harness.methods.bst import BST
from harness.methods.ga import GradientAscent
from harness.methods.gd import GradientDifference

from harness.engine.unlearning import UnlearningJob
from harness.model import models
from harness.model.steps import forget_steps
from support.beliefs import belief
from support.equations import (
    assert_loss_and_gradient,
    differing,
    flat,
    gradients,
    loss_of,
    mean_loss,
    moved,
    run,
    settings,
)
from support.families import LINEAR

N = 4


def sampled(job, epoch=0, **config):
    """BS-S with samples drawn by the job's model."""
    method = BSS(BSS.Config(**({"max_new_tokens": 3} | config)))
    method.new_epoch(job, epoch)
    return method


@pytest.mark.parametrize(
    ("base", "share", "alpha"), [("bst", 0.5, 1.0), ("bst", 1.0, 0.0), ("ga", 0.3, 2.0), ("ga", 1.0, 1.0)]
)
def test_bss_is_its_equation(base, share, alpha, job, batch, data):
    subject = job.subject
    subject.splits = type(subject.splits)({"forget": job.forget[:N], "retain": job.retain})
    method = sampled(job, lambda_=share, base=base, alpha=alpha, belief=0.4, k=5)
    now = moved(job.model)
    own = 0.4 if base == "bst" else 0.0
    drawn = [sample for samples in method.samples for sample in samples]
    expected = (1 - share) * belief(now, data[0], own, 5) + share * belief(now, drawn, own, 5)
    expected = expected + alpha * mean_loss(now, data[1])
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


@pytest.mark.parametrize("base", ["bst", "ga"])
@pytest.mark.parametrize("micro", [None, 3])
def test_bss_without_samples_is_its_base_bit_for_bit(base, micro, tiny, make_subject, toy_benchmark):
    plain = BST(settings(BST)) if base == "bst" else GradientDifference(settings(GradientDifference))
    bss = BSS(settings(BSS, lambda_=0.0, base=base, max_new_tokens=2))
    left, right = (run(m, make_subject, toy_benchmark, tiny(), micro) for m in (plain, bss))
    assert differing(left, right) == []


def test_bss_of_gradient_ascent_without_retain_is_gradient_ascent(job, batch):
    method = sampled(job, lambda_=0.0, base="ga", alpha=0.0)
    left = flat(gradients(job.model, loss_of(method, job.model, batch)))
    right = flat(gradients(job.model, loss_of(GradientAscent(), job.model, batch)))
    assert (left - right).norm() <= 1e-6 * right.norm()


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("make", [BST, BSS])
def test_micro_batches_add_up_to_the_step(make, micro, job, data):
    job.model.generation_config.eos_token_id = list(range(0, 250, 3))  # so that answers end early
    method = sampled(job) if make is BSS else BST()
    now = moved(job.model)
    [[whole]] = forget_steps(job.tokens, *data, N, 1, seed=0)
    [parts] = forget_steps(job.tokens, *data, N, 1, seed=0, micro=micro)
    assert len(parts) > 1
    if make is BSS:
        assert len({sum(len(answer) for _, answer in samples) for samples in method.samples[:N]}) > 1
    expected = flat(gradients(now, loss_of(method, now, whole)))
    found = sum(flat(gradients(now, loss_of(method, now, part))) for part in parts)
    assert (found - expected).norm() <= 1e-6 * expected.norm()


def test_each_fact_has_samples_of_its_own(job):
    method = sampled(job, n=3)
    assert len(method.samples) == len(job.forget)
    for (prompt, _), samples in zip(job.subject.encode(job.forget), method.samples, strict=True):
        assert len(samples) == 3
        assert {head for head, _ in samples} == {prompt}
        # Cut off at the third token, or ended before it.
        assert all(len(answer) <= 3 for _, answer in samples)
        assert all((answer[-1] == job.tokens.end) or len(answer) == 3 for _, answer in samples)
        assert all(job.tokens.end not in answer[:-1] for _, answer in samples)
    assert len({answer for samples in method.samples for _, answer in samples}) > len(job.forget)


@pytest.mark.parametrize("chosen", [[0], [5], [7, 2], [3, 11, 0], list(range(12))])
def test_a_batch_learns_from_the_samples_of_its_own_facts_alone(chosen, job):
    method = sampled(job, n=2)
    forget, retain = job.subject.encode(job.forget), job.subject.encode(job.retain)
    size = (len(chosen), sum(len(forget[i][1]) for i in chosen))
    texts, kept = (job.tokens.collate(examples, chosen, *size) for examples in (forget, retain))
    seen = []

    def watched(**kwargs):
        for ids, mask in zip(kwargs["input_ids"], kwargs["attention_mask"], strict=True):
            seen.append(tuple(ids[mask.bool()].tolist()))
        return job.model(**kwargs)

    batch = type("Batch", (), {"forget": texts, "retain": kept})()
    loss_of(method, watched, batch)
    samples = [(*head, *answer) for i in chosen for head, answer in method.samples[i]]
    true = [(*forget[i][0], *forget[i][1]) for i in chosen]
    rest = [(*retain[i][0], *retain[i][1]) for i in chosen]
    assert Counter(seen) == Counter([*samples, *true, *rest])


def drawn_at(epochs, job, **config):
    """The samples in use in each epoch."""
    method = BSS(BSS.Config(max_new_tokens=3, **config))
    found = []
    for epoch in range(epochs):
        method.new_epoch(job, epoch)
        found.append(copy.deepcopy(method.samples))
    return found


def test_off_policy_draws_once(job):
    found = drawn_at(7, job, policy="off", resample=1)
    assert all(samples == found[0] for samples in found)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_on_policy_draws_anew_every_so_many_epochs(every, job):
    found = drawn_at(7, job, policy="on", resample=every)
    for epoch in range(1, 7):
        assert (found[epoch] != found[epoch - 1]) == (epoch % every == 0)


def test_what_is_drawn_depends_on_the_seed_alone(make_subject, toy_benchmark, model):
    def of_seed(seed):
        return drawn_at(5, UnlearningJob(make_subject(toy_benchmark(), model), None, seed), resample=1)

    assert of_seed(0) == of_seed(0)
    every = [str(samples) for seed in range(4) for samples in of_seed(seed)]
    assert len(set(every)) == len(every)  # no seed goes where another one was an epoch earlier


def test_on_policy_follows_the_model_and_off_policy_does_not(job, tiny):
    other = tiny(seed=5).double()
    found = {}
    for policy in ("on", "off"):
        method = BSS(BSS.Config(policy=policy, max_new_tokens=3))
        method.new_epoch(job, 0)
        before = method.samples
        own, job.subject.model = job.subject.model, other
        method.new_epoch(job, 2)
        job.subject.model = own
        found[policy] = (before, method.samples)
    assert found["off"][0] == found["off"][1]
    assert found["on"][0] != found["on"][1]


def test_bss_draws_again_where_a_rate_starts(tiny, make_subject, toy_benchmark):
    one, two = (
        BSS(settings(BSS, max_new_tokens=2).model_copy(update={"learning_rates": grid}))
        for grid in ((1e-3,), (1e-4, 1e-3))
    )
    left, right = (run(method, make_subject, toy_benchmark, tiny()) for method in (one, two))
    assert differing(left, right) == []


@pytest.mark.parametrize("family", LINEAR)
@pytest.mark.parametrize(("make", "more"), [(BST, {}), (BSS, {"max_new_tokens": 3})])
def test_two_steps_in_any_family_stay_finite(make, more, family, tiny, make_subject, toy_benchmark):
    method = make(settings(make, epochs=1, batch_size=6, **more))
    after = run(method, make_subject, toy_benchmark, tiny(family))
    assert all(value.isfinite().all() for value in after.values())
    assert differing(after, models.snapshot(tiny(family))) != []
