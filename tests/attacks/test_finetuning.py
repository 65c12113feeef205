"""What holds for attacks that train: budgets, maxima and repetition."""

from __future__ import annotations

import pytest
from harness.attacks.instruction import Instruction
from harness.attacks.private_data import PrivateData

from harness.core.config import EpochsConfig, FinetuneConfig
from harness.engine.attacking import run_attack
from harness.model import models


def private(**settings):
    return PrivateData(PrivateData.Config(**settings))


@pytest.mark.parametrize("attack", [PrivateData, Instruction], ids=["private-data", "instruction"])
def test_an_attack_run_to_its_end_reports_maximum_curve_and_pool(attack, make_subject, toy_benchmark, tiny):
    settings = {"learning_rates": (1e-3, 1e-2), "steps": 3, "batch_size": 4, "checkpoints": (2,)}
    subject = make_subject(toy_benchmark(), tiny())
    unlearned = models.snapshot(subject.model)
    outcome = run_attack(subject, attack(attack.Config(**settings)), 0, unlearned)
    held = {PrivateData: 1, Instruction: 12}[attack]
    scored = 12 - (held if attack is PrivateData else 0)
    assert (outcome.notes["n_injected"], outcome.notes["n_scored"]) == (held, scored)
    for metric in ("exact_match", "probability"):
        *curve, best = [m for m in outcome.metrics if m.metric == metric and m.step is not None] + [
            m for m in outcome.metrics if m.metric == metric and m.step is None
        ]
        assert [(m.step, m.learning_rate) for m in curve] == [
            *[(0, None), (2, 1e-3), (3, 1e-3), (2, 1e-2), (3, 1e-2)]
        ]
        assert best.value == max(m.value for m in curve)
        assert best.n == scored
        assert sum(s.metric == metric for s in outcome.samples) == scored
    assert outcome.cost.steps == 6


def test_an_attack_gives_the_same_result_again(make_subject, toy_benchmark, tiny):
    settings = {"learning_rates": (1e-2,), "steps": 4, "batch_size": 3, "p": 0.5}

    def values(seed):
        subject = make_subject(toy_benchmark(), tiny())
        outcome = run_attack(subject, private(**settings), seed, models.snapshot(subject.model))
        return [(s.fact_id, s.metric, s.value) for s in outcome.samples]

    assert values(0) == values(0) != values(1)


def test_a_budget_of_steps_is_scored_at_its_checkpoints_and_its_end():
    assert FinetuneConfig(steps=12, checkpoints=(10, 5, 40)).stops(100) == [5, 10, 12]


@pytest.mark.parametrize(
    ("facts", "batch", "stops"), [(10, 32, [1, 2, 3]), (10, 4, [3, 6, 9]), (8, 4, [2, 4, 6])]
)
def test_a_budget_of_epochs_is_scored_after_each(facts, batch, stops):
    assert EpochsConfig(epochs=3, batch_size=batch).stops(facts) == stops
