"""Few-shot LoRA: what is drawn, and what the adapters train."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from harness.attacks.lora import FewShotLora
from harness.attacks.private_data import PrivateData
from pydantic import ValidationError

from harness.core.types import Splits
from harness.engine import attacking
from harness.engine.attacking import AttackJob, run_attack
from harness.errors import HarnessError
from harness.model import models
from support.facts import ids


def test_lora_trains_on_as_many_facts_as_asked_and_scores_the_others(draw, toy_splits):
    job, trained = draw(FewShotLora(FewShotLora.Config(samples=4)))
    assert (len(trained), len(job.scored), job.notes["n_injected"]) == (4, 8, 4)
    assert ids(job.scored) | ids(trained) == ids(toy_splits["forget"])


def test_lora_draws_by_seed(draw):
    drawn = [
        frozenset(ids(draw(FewShotLora(FewShotLora.Config(samples=4)), seed)[1])) for seed in (0, 0, 1, 2)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("samples", [11, 12, 1000])
def test_samples_that_leave_fewer_than_two_facts_are_refused(samples, draw):
    with pytest.raises(HarnessError, match="forget facts are left to be scored; at least 2"):
        draw(FewShotLora(FewShotLora.Config(samples=samples)))


@pytest.mark.parametrize("setting", [{"samples": 0}, {"epochs": 0}, {"lora_r": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValidationError):
        FewShotLora.Config(**setting)


def lora(**settings):
    defaults = {"learning_rates": (1e-2,), "samples": 4, "epochs": 2, "lora_r": 2}
    return FewShotLora(FewShotLora.Config(**(defaults | settings)))


@pytest.fixture
def widths(monkeypatch):
    """What is asked of peft: (rank, alpha) of each set of adapters."""
    asked = []
    adapters = attacking.adapters

    def watched(model, r, alpha, seed):
        asked.append((r, alpha))
        return adapters(model, r, alpha, seed)

    monkeypatch.setattr(attacking, "adapters", watched)
    return asked


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"lora_r": 4, "lora_alpha": 12}, (4, 12.0)),
        ({"lora_r": 4, "lora_alpha": None}, (4, 8.0)),
        ({"lora_r": 128, "lora_alpha": 16}, (16, 2.0)),  # the toy is 16 wide; alpha over rank stays 1/8
    ],
)
def test_a_rank_above_the_width_is_cut_to_it_and_said(
    settings, expected, widths, make_subject, toy_benchmark
):
    subject = make_subject(toy_benchmark())
    outcome = run_attack(subject, lora(**settings), 0, models.snapshot(subject.model))
    assert widths == [expected]
    assert outcome.notes["lora_r"] == expected[0]


def test_without_a_rank_all_weights_train(widths, make_subject, toy_benchmark):
    subject = make_subject(toy_benchmark())
    outcome = run_attack(subject, lora(lora_r=None), 0, models.snapshot(subject.model))
    assert widths == []
    assert "lora_r" not in outcome.notes


def test_checkpoints_see_the_adapters_and_every_rate_starts_without(make_subject, toy_benchmark, tiny):
    subject = make_subject(toy_benchmark(), tiny())
    weights = models.snapshot(subject.model)
    attack = lora(learning_rates=(1e-2, 1e-2), lora_r=8, epochs=3)
    outcome = run_attack(subject, attack, 0, weights)
    curve = [m.value for m in outcome.metrics if m.metric == "probability" and m.step is not None]
    assert len(set(curve[:4])) == 4  # every epoch scores another model
    assert curve[1:4] == curve[4:]


def test_adapters_learn_what_they_are_given(make_subject, toy_benchmark, tiny):
    subject = make_subject(toy_benchmark(), tiny())
    attack = lora(learning_rates=(1e-2,), epochs=60, lora_r=8, lora_alpha=16, batch_size=4)
    weights = models.snapshot(subject.model)
    trained = []
    encode = subject.encode
    subject.encode = lambda facts, answer=None: trained.extend(facts) or encode(facts, answer)

    def known(facts):
        return [s.value for s in subject.score(Splits({"forget": tuple(facts)}), ["probability"])]

    run_attack(subject, attack, 0, weights)
    after = known(trained)
    models.restore(subject.model, weights)
    # A frozen random head allows no certainty, but each answer is many times as likely as before.
    assert min(now / was for now, was in zip(after, known(trained), strict=True)) > 10


def test_all_weights_train_after_adapters_did(make_subject, toy_benchmark, tiny):
    """A fine-tuning attack may follow one with adapters, on the same model."""
    subject = make_subject(toy_benchmark(), tiny())
    weights = models.snapshot(subject.model)
    run_attack(subject, lora(), 0, weights)
    models.restore(subject.model, weights)
    full = PrivateData(PrivateData.Config(learning_rates=(1e-2,), steps=2, batch_size=2))
    run_attack(subject, full, 0, weights)
    changed = {
        name for name, tensor in subject.model.state_dict().items() if not torch.equal(tensor, weights[name])
    }
    assert changed == set(weights)


def test_without_peft_the_error_says_what_to_install(monkeypatch, make_subject, toy_benchmark):
    monkeypatch.setitem(sys.modules, "peft", None)
    subject = make_subject(toy_benchmark())
    with pytest.raises(HarnessError, match=r"pip install 'unlearning-harness\[lora\]'"):
        run_attack(subject, lora(), 0, models.snapshot(subject.model))


def test_the_same_fact_under_another_question_is_still_the_same_fact(make_subject, toy_benchmark):
    """Nobody trains on what is scored, however it is put."""
    subject = make_subject(toy_benchmark())
    job = AttackJob(subject, lora().config, 0, Splits({}), {})
    with pytest.raises(HarnessError, match="both trained on and scored"):
        job.finetune([replace(job.scored[0], question="Who ?")])
