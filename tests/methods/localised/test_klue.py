"""KLUE trains the neurons that answer by knowledge, and no other."""

from __future__ import annotations

import pytest
import torch
from harness.methods.gd import GradientDifference
from harness.methods.klue import KLUE

from harness.model import models
from support.attribution import influence_of_one
from support.equations import log_probability, loss_of, mean_loss, prepared, run
from support.families import LINEAR
from support.localised import assert_same_gradient, entries, settings


def influence_of_all(model, examples, positive=False):
    """Mean A (L, units) over examples, one at a time."""
    total = 0.0
    for example in examples:
        each = torch.stack([influence_of_one(model, *example, layer).amax(dim=0) for layer in range(2)])
        total = total + (each.clamp(min=0) if positive else each)
    return total / len(examples)


@pytest.mark.parametrize("contrast", [0.0, 0.5, 10.0])
def test_klue_chooses_neurons_for_the_true_answers_and_not_for_others(contrast, job, data, monkeypatch):
    asked = []
    plain = KLUE.mean_influence

    def watched(self, job, rows, positive=False):
        asked.append(rows)
        return plain(self, job, rows, positive)

    monkeypatch.setattr(KLUE, "mean_influence", watched)
    method = prepared(KLUE(KLUE.Config(n=3, contrast=contrast, share=0.25)), job)
    true, others = sorted(asked, key=len)
    assert true == data[0]
    for i, (prompt, answer) in enumerate(true):
        mine = others[3 * i : 3 * i + 3]
        assert {head for head, _ in mine} == {prompt}
        assert {wrong for _, wrong in mine} == {a for _, a in true} - {answer}
    scores = influence_of_all(job.model, true) - contrast * influence_of_all(job.model, others, positive=True)
    assert int(method.chosen.sum()) == 12
    assert scores[method.chosen].min() >= scores[~method.chosen].max() - 1e-6 * scores.abs().max()


def test_the_mismatched_answers_of_klue_depend_on_the_seed_alone(job):
    def chosen(seed):
        job.seed = seed
        return prepared(KLUE(KLUE.Config(n=1)), job).chosen

    assert torch.equal(chosen(0), chosen(0))
    assert any(not torch.equal(chosen(0), chosen(seed)) for seed in range(1, 6))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_klue_trains_the_share_it_is_told(share, job):
    method = prepared(KLUE(KLUE.Config(share=share)), job)
    assert int(method.chosen.sum()) == max(1, round(share * 48))


@pytest.mark.parametrize(("gamma", "alpha"), [(1.0, 1.0), (0.5, 3.0)])
@pytest.mark.parametrize("known", [(0, 1, 2, 3), (0, 3), (2,)])
def test_klue_is_gradient_difference_on_what_is_not_forgotten(known, gamma, alpha, job, batch, data):
    ids = {job.forget[i].id for i in known}
    job.subject.benchmark.value = lambda split, metric, fact: float(fact.id in ids)
    method = prepared(KLUE(KLUE.Config(gamma=gamma, alpha=alpha)), job)
    method.new_epoch(job, 0)
    forget, retain = data
    total = sum(len(forget[i][1]) for i in known)
    expected = alpha * mean_loss(job.model, retain)
    for i in known:
        expected = expected + gamma * log_probability(job.model, *forget[i]) / total
    assert_same_gradient(job.model.parameters(), loss_of(method, job.model, batch), expected)


def test_klue_looks_anew_each_epoch_at_what_is_forgotten(job, batch, data):
    answers = dict.fromkeys((fact.id for fact in job.forget), 1.0)
    job.subject.benchmark.value = lambda split, metric, fact: answers[fact.id]
    method = prepared(KLUE(), job)
    method.new_epoch(job, 0)
    whole = loss_of(GradientDifference(), job.model, batch)
    torch.testing.assert_close(loss_of(method, job.model, batch), whole)
    answers.update(dict.fromkeys(answers, 0.3))  # the toy's threshold
    torch.testing.assert_close(loss_of(method, job.model, batch), whole)
    method.new_epoch(job, 1)
    assert_same_gradient(
        job.model.parameters(), loss_of(method, job.model, batch), mean_loss(job.model, data[1])
    )


@pytest.mark.parametrize("family", LINEAR)
def test_klue_leaves_everything_but_its_neurons_bit_for_bit(family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    method = KLUE(settings(KLUE, epochs=5, batch_size=4, weight_decay=0.5, n=1, rate=1e-2))
    after = run(method, make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert int(method.chosen.sum()) == round(0.1 * method.chosen.numel())
    allowed = entries(model, method.chosen, into=True)
    for name, value in after.items():
        same = value == before[name]
        assert same[~allowed[name]].all()
        assert not same[allowed[name]].any()
