"""Training in bfloat16 follows training in float32, at a rate where bfloat16 weights alone stand still.

A twin, a method and an attack, each from the same weights in three ways: float32, bfloat16 as it is, and
bfloat16 without masters. The last shows that the margins can be missed.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from harness.attacks.private_data import PrivateData
from harness.methods.gd import GradientDifference

from harness.core.types import Example, Prompt
from harness.engine.attacking import run_attack
from harness.engine.protocol import Protocol
from harness.engine.targets import fit
from harness.engine.unlearning import unlearn
from harness.model import models
from harness.model.losses import cross_entropy
from harness.model.masters import Masters
from harness.testing.facts import SPLITS, Toy
from support.attacks import small

RATE = 2e-4
"""Under half the distance of neighbours in bfloat16 for weights above .06: four of five of these models'."""

EXAMPLES = [
    Example(Prompt(fact.question), fact.answer) for name in ("forget", "retain") for fact in SPLITS[name]
]


class Graded(Toy):
    """Toy facts by the probability of their answers, forgotten at a half."""

    forget_metric, retain_metric, curve_metrics = "probability", ("retain", "probability"), ("probability",)

    def threshold(self, splits):
        return 0.5


@pytest.fixture
def three_ways(monkeypatch):
    """What ``run(dtype)`` gives in float32, in bfloat16, and in bfloat16 without masters."""

    def three_ways(run):
        ways = [run(torch.float32), run(torch.bfloat16)]
        monkeypatch.setattr(Masters, "stepping", lambda self, *args: nullcontext())
        return [*ways, run(torch.bfloat16)]

    return three_ways


@pytest.fixture(scope="module")
def learnt(tiny, tokens):
    """Weights that know the toy facts, such as both formats hold."""
    model = tiny()
    fit(model, tokens, EXAMPLES, 40, 1e-2, 8, lambda *args: None)
    return models.snapshot(model.to(torch.bfloat16))


@pytest.fixture
def subject(learnt, tiny, make_subject):
    """A model under test that knows the toy facts, in a number format."""

    def subject(dtype):
        model = tiny().to(dtype)
        models.restore(model, learnt)
        return make_subject(Graded(), model, protocol=Protocol((), 0, 0, check_every=2, attack_lr_scale=1.0))

    return subject


def apart(one, other):
    """Largest distance of two curves, as far as both go."""
    return max(abs(a - b) for a, b in zip(one, other, strict=False))


def test_a_target_learns_as_in_float32(three_ways, tiny, tokens):
    def curve(dtype):
        model = tiny().to(torch.bfloat16).to(dtype)
        data, points = tokens.examples(EXAMPLES), []
        texts = tokens.collate(data, range(len(data)), 1, sum(len(answer) for _, answer in data))

        def look(step, steps):
            with torch.no_grad():
                points.append(cross_entropy(model, texts).item())

        fit(model, tokens, EXAMPLES, 12, RATE, 8, look)
        return points

    exact, followed, plain = three_ways(curve)
    assert exact[0] - exact[-1] > 0.3
    assert apart(exact, followed) < 0.08
    assert apart(exact, plain) > 0.2


def test_a_method_forgets_at_the_step_of_float32(three_ways, subject):
    settings = {"learning_rates": (RATE,), "epochs": 40, "batch_size": 12, "warmup_epochs": 0.0}

    def forget(dtype):
        job = unlearn(subject(dtype), small(GradientDifference, **settings), seed=0)
        return [point.value for point in job.metrics], job.notes["steps"], job.notes["forgotten"]

    exact, followed, plain = three_ways(forget)
    assert apart(exact[0], followed[0]) < 0.03
    assert apart(exact[0], plain[0]) > 0.2
    assert abs(exact[1] - followed[1]) <= 2
    assert [forgot for *_, forgot in (exact, followed, plain)] == [True, True, False]


def test_an_attack_brings_back_what_it_does_in_float32(three_ways, subject):
    settings = {"learning_rates": (RATE,), "steps": 60, "batch_size": 12, "p": 0.5}

    def curve(dtype):
        attacked = subject(dtype)
        noise = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in attacked.model.parameters():
                worse = parameter.float() + 0.1 * torch.randn(parameter.shape, generator=noise)
                parameter.copy_(worse.to(torch.bfloat16))
        attack = small(PrivateData, **settings, checkpoints=(20, 40))
        outcome = run_attack(attacked, attack, 0, models.snapshot(attacked.model))
        return [point.value for point in outcome.metrics if point.step is not None]

    exact, followed, plain = three_ways(curve)
    assert len(exact) == 4
    assert exact[-1] - exact[0] > 0.08
    assert apart(exact, followed) < 0.03
    assert apart(exact, plain) > 0.06
