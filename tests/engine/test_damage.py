"""Stopping by damage: KL to the original on neutral text, without a second model."""

from __future__ import annotations

import pytest
import torch
from harness.methods.gd import GradientDifference

from harness.engine.damage import Damage
from harness.engine.unlearning import unlearn
from harness.errors import HarnessError
from harness.model import models


@pytest.fixture
def neutral(toy_benchmark):
    class Neutral(toy_benchmark):
        neutral = ("instruct",)

    return Neutral


def shift(model, by):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))


def naive(original, moved, subject, facts):
    """KL(pi_0 || pi) over all answer tokens, text by text, in float64."""
    total, tokens = 0.0, 0
    for given, answer in subject.encode(facts):
        ids = torch.tensor([[*given, *answer]])
        with torch.no_grad():
            before, after = (m(ids).logits[0].double().log_softmax(-1) for m in (original, moved))
        rows = range(len(given) - 1, len(given) + len(answer) - 1)
        total += sum(float((before[i].exp() * (before[i] - after[i])).sum()) for i in rows)
        tokens += len(answer)
    return total / tokens


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_it_is_the_kl_to_the_original(make_subject, neutral, tiny, toy_splits, family, tied):
    model, original = (tiny(family, tie_word_embeddings=tied).double() for _ in range(2))
    subject = make_subject(neutral(), model)
    damage = Damage(subject)
    assert damage.kl() == pytest.approx(0, abs=1e-12)
    shift(model, 0.3)
    expected = naive(original, model, subject, toy_splits["instruct"])
    assert expected > 0.01
    assert damage.kl() == pytest.approx(expected, rel=1e-9)


def test_nothing_is_left_on_the_model(make_subject, neutral):
    subject = make_subject(neutral())
    Damage(subject)
    assert not any(module._forward_pre_hooks for module in subject.model.modules())


def test_a_benchmark_without_neutral_text_is_refused(make_subject, toy_benchmark):
    with pytest.raises(HarnessError, match="names no text that should stay"):
        Damage(make_subject(toy_benchmark()))


def run(make_subject, benchmark, most, rates=(1e-3, 1e-2)):
    config = GradientDifference.Config(learning_rates=rates, epochs=4, batch_size=4, warmup_epochs=0.0)
    subject = make_subject(benchmark(lambda *_: 0.9), most_damage=most)
    original = models.snapshot(subject.model)
    return unlearn(subject, GradientDifference(config), 0), subject, original


def test_unlearning_stops_before_the_limit(make_subject, neutral):
    free, subject, original = run(make_subject, neutral, None)
    assert free.notes["steps"] == 12
    assert "kl" not in free.notes
    job, subject, original = run(make_subject, neutral, 0.05)
    left = models.snapshot(subject.model)
    assert job.notes["stopped_by_damage"]
    assert 0 < job.notes["steps"] < 12
    models.restore(subject.model, original)
    damage = Damage(subject)
    models.restore(subject.model, left)
    assert damage.kl() == pytest.approx(job.notes["kl"], rel=1e-5)
    assert job.notes["kl"] <= 0.05


def test_a_limit_that_the_first_step_passes_leaves_the_original(make_subject, neutral):
    job, subject, original = run(make_subject, neutral, 1e-9)
    assert (job.notes["steps"], job.notes["kl"]) == (0, 0.0)
    assert all(torch.equal(value, original[name]) for name, value in subject.model.state_dict().items())


def test_a_limit_that_is_never_reached_changes_nothing(make_subject, neutral):
    _, bare, _ = run(make_subject, neutral, None, rates=(1e-3,))
    job, subject, _ = run(make_subject, neutral, 1e9, rates=(1e-3,))
    assert not job.notes["stopped_by_damage"]
    assert models.weights_fingerprint(subject.model) == models.weights_fingerprint(bare.model)
