"""Overshoot: fine-tuning, and how far beyond it."""

from __future__ import annotations

import pytest
import torch
from harness.attacks.overshoot import Overshoot, extrapolate
from harness.attacks.relearn_retain import RelearnRetain
from pydantic import ValidationError

from harness.engine.attacking import run_attack
from harness.model import models
from support.attacks import small
from support.facts import ids

SHORT = {"learning_rates": (1e-3,), "steps": 2, "batch_size": 4, "checkpoints": (1,)}


def test_it_trains_on_all_retained_facts_and_scores_all_forget_facts(draw, toy_splits):
    job, trained = draw(small(Overshoot))
    assert ids(trained) == ids(toy_splits["retain"])
    assert job.scored == toy_splits["forget"]
    assert job.notes["n_injected"] == 12


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_weights_are_those_of_the_formula(family, tiny):
    model, other = tiny(family, 0).double(), tiny(family, 1).double()
    begin, end = models.snapshot(model), models.snapshot(other)
    extrapolate(model, begin, end, 4.0)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, begin[name] + 4.0 * (end[name] - begin[name]))


def test_in_half_precision_the_step_is_rounded_once(tiny):
    model, other = tiny(seed=0).bfloat16(), tiny(seed=1).bfloat16()
    begin, end = models.snapshot(model), models.snapshot(other)
    extrapolate(model, begin, end, 3.0)
    for name, weight in model.state_dict().items():
        exact = begin[name].double() + 3.0 * (end[name].double() - begin[name].double())
        assert torch.allclose(weight.double(), exact, rtol=2**-8, atol=1e-6)


def test_every_checkpoint_is_scored_at_every_factor_and_training_goes_on_from_where_it_was(
    make_subject, toy_benchmark
):
    def curve(attack):
        subject = make_subject(toy_benchmark())
        outcome = run_attack(subject, attack, 0, models.snapshot(subject.model))
        points = [m for m in outcome.metrics if m.metric == "probability" and m.step is not None]
        return [((m.step, m.learning_rate), m.value) for m in points]

    plain = curve(small(RelearnRetain, **SHORT, lora_r=None))
    alone = curve(small(Overshoot, **SHORT, factors=(1.0,)))
    assert alone == [(at, pytest.approx(value, abs=1e-7)) for at, value in plain]
    far = curve(small(Overshoot, **SHORT, factors=(1.0, 2.0, 8.0)))
    assert [at for at, _ in far] == [(0, None), *[(1, 1e-3)] * 3, *[(2, 1e-3)] * 3]
    assert [far[0], far[1], far[4]] == [(at, pytest.approx(value, abs=1e-7)) for at, value in plain]
    assert len({value for _, value in far}) == 7  # each factor is another model


def test_what_little_training_points_to_is_found_by_going_on(make_subject, toy_benchmark, tiny):
    """Weights that were moved off by ten steps' worth come back at the factor that undoes it."""
    model = tiny()
    known = models.snapshot(model)
    hidden = {name: weight + 0.05 * torch.randn_like(weight) for name, weight in known.items()}
    nearer = {name: hidden[name] + 0.1 * (known[name] - hidden[name]) for name in known}
    extrapolate(model, hidden, nearer, 10.0)
    for name, weight in model.state_dict().items():
        assert torch.allclose(weight, known[name], atol=1e-5)


def test_no_factor_is_refused():
    with pytest.raises(ValidationError):
        Overshoot.Config(factors=())
