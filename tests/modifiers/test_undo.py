"""undo damages the unlearned model and distils it."""

from __future__ import annotations

import pytest
import torch
from harness.modifiers.undo import UNDO

from harness.engine.unlearning import unlearn
from harness.model import losses, models
from support.composed import Opposed, over


@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.0), (0.25, 0.1)])
def test_matrices_shrink_and_get_xavier_noise(alpha, beta, job, model):
    before = models.snapshot(model)
    UNDO(UNDO.Config(alpha=alpha, beta=beta), Opposed()).damage(job)
    for name, theta in model.named_parameters():
        if theta.ndim != 2:
            assert torch.equal(theta, before[name])
            continue
        noise = theta.detach() - (1 - alpha) * before[name]
        bound = alpha * beta * (6 / sum(theta.shape)) ** 0.5
        assert noise.abs().max() <= bound + 1e-12
        if beta:  # uniform: its variance is a third of the bound squared
            assert noise.square().mean() == pytest.approx(bound**2 / 3, rel=0.2)


def test_the_student_learns_the_answers_of_its_teacher(job, model):
    """The KL on what is distilled falls, by all tokens of retain set and instructions."""
    job.reads = frozenset({"instruct"})
    teacher = models.snapshot(model)
    job.config = over(Opposed, UNDO, learning_rates=(0.01,), epochs=6).config
    seen = []
    train = job.train

    def watched(loss, rate, steps, size, facts):
        seen.append((rate, steps, size, facts))
        train(loss, rate, steps, size, facts=facts)

    job.train = watched
    texts = list(job.runs(job.encode([*job.retain, *job.data["instruct"]])))

    def divergence():
        with torch.no_grad():
            return sum(losses.kl_to(model, teacher, part, prompts=True).item() for part in texts)

    undo = UNDO(UNDO.Config(alpha=0.3, batch_size=8), Opposed())
    assert undo.finish(job) is True
    after = divergence()
    models.restore(model, teacher)
    undo.damage(job)
    assert after < divergence() / 2
    [(rate, steps, size, facts)] = seen
    assert (rate, steps, size) == (0.01, 6 * 3, 8)
    assert facts == [*job.retain, *job.data["instruct"]]
    assert job.notes["undo_steps"] == 18


@pytest.mark.parametrize("alpha", [0.0, 0.9])
def test_what_is_left_is_looked_at_again(alpha, make_subject, toy_benchmark):
    """The protocol's model had forgotten; the student, by this benchmark, has not."""
    known = {"now": 1.0}

    class Forgets(Opposed):
        def start(self, model):
            known["now"] = 0.0

    class Recalls(UNDO):
        def damage(self, job):
            super().damage(job)
            known["now"] = 1.0

    subject = make_subject(toy_benchmark(lambda split, metric, fact: known["now"]))
    trained = {"learning_rates": (1e-3,), "epochs": 1, "batch_size": 4}
    method = over(Forgets, Recalls, undo_alpha=alpha, undo_epochs=1, **trained)
    job = unlearn(subject, method, seed=0)
    assert job.notes["forgotten"] is (alpha == 0.0)
    assert job.notes.get("undo_teacher_score") == (0.0 if alpha else None)
