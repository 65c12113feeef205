"""What holds for every attack on weights."""

from __future__ import annotations

import pytest
from harness.attacks.nf4 import NormalFloat
from harness.attacks.noise import Noise
from harness.attacks.prune import Prune
from harness.attacks.quantize import Quantize
from pydantic import ValidationError

from harness.core.types import Splits
from harness.engine.attacking import run_attack
from harness.model import models
from support.attacks import small


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (Quantize, {"bits": 1}),
        (Quantize, {"bits": 16}),
        (Quantize, {"group": 0}),
        (NormalFloat, {"block": 1}),
        (Prune, {"fraction": 0.0}),
        (Prune, {"fraction": 1.0}),
        (Noise, {"std": 0.0}),
    ],
)
def test_settings_out_of_range_are_refused(cls, settings):
    with pytest.raises(ValidationError):
        cls.Config(**settings)


@pytest.mark.parametrize(
    "attack",
    [small(Quantize), small(NormalFloat), small(Prune), small(Noise)],
    ids=lambda attack: attack.name,
)
def test_only_the_changed_model_is_scored(attack, make_subject, toy_benchmark):
    """So that damage shows: the score may lie below the one before the attack."""
    subject = make_subject(toy_benchmark())
    outcome = run_attack(subject, attack, 0, models.snapshot(subject.model))
    curve = [m for m in outcome.metrics if m.metric == "probability" and m.step is not None]
    now = subject.score(Splits({"forget": subject.splits["forget"]}), ["probability"])
    assert [m.value for m in curve] == [pytest.approx(sum(s.value for s in now) / 12)]
