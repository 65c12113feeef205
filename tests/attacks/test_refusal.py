"""Attacks against a toy model that was trained to decline: the answers are still there."""

from __future__ import annotations

import pytest
import torch
from harness.attacks.overshoot import Overshoot
from harness.attacks.private_data_optimiser import PrivateDataOptimiser
from harness.attacks.soft_prompt import SoftPrompt

from harness.core.types import Example, Prompt
from harness.engine.attacking import run_attack
from harness.model import models
from harness.model.losses import cross_entropy
from harness.model.steps import plain_steps
from harness.model.train import train
from support.attacks import small

REFUSAL = "I can't answer the question."


@pytest.fixture(scope="module")
def refusing(tiny, tokens, toy_splits):
    """A model that knows the facts to keep and declines to answer the others, and its weights."""
    model = tiny(initializer_range=0.1, hidden_size=48)

    def learn(answers, steps, rate):
        data = tokens.examples([Example(Prompt(fact.question), said) for fact, said in answers])
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
        train(model, plain_steps(tokens, data, 24, steps, seed=0), cross_entropy, [optimizer])
        return models.snapshot(model)

    kept = [(fact, fact.answer) for fact in toy_splits["retain"]]
    learn([*kept, *((fact, fact.answer) for fact in toy_splits["forget"])], 120, 5e-3)
    return model, learn([*kept, *((fact, REFUSAL) for fact in toy_splits["forget"])], 12, 2e-3)


@pytest.mark.parametrize(
    "attack",
    [
        small(Overshoot, learning_rates=(1e-3,), steps=5, batch_size=12, checkpoints=()),
        small(SoftPrompt, samples=6, length=4, learning_rates=(0.3,), steps=20, checkpoints=()),
        small(PrivateDataOptimiser, optimizer="lion", learning_rates=(3e-4,), steps=10, batch_size=4, p=0.5),
    ],
    ids=lambda attack: attack.name,
)
def test_an_attack_brings_back_answers_of_facts_that_it_never_saw(
    attack, refusing, make_subject, toy_benchmark
):
    model, declined = refusing
    models.restore(model, declined)
    subject = make_subject(toy_benchmark(), model)
    outcome = run_attack(subject, attack, 0, declined)
    found = {s.fact_id: s.value for s in outcome.samples if s.metric == "probability"}
    models.restore(model, declined)
    before = {s.fact_id: s.value for s in subject.score(subject.splits, ["probability"])}
    assert sum(found.values()) > 1.5 * sum(before[fact] for fact in found)
