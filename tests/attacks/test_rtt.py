"""Relearning from retained facts, retraining on T, few-shot LoRA: what is drawn, trained and scored."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from harness.attacks.lora import FewShotLora
from harness.attacks.private_data import PrivateData
from harness.attacks.relearn_retain import RelearnRetain
from harness.attacks.rtt import RetrainOnT, independent
from pydantic import ValidationError

from harness import models, run
from harness.base import EpochsConfig, FinetuneConfig
from harness.errors import HarnessError
from harness.run import Attacking, run_attack
from harness.types import Fact, Splits


def ids(facts):
    return {fact.id for fact in facts}


@pytest.fixture
def draw(make_subject, toy_benchmark):
    """Let an attack draw its facts and stop short of training; returns the job and what it would train on."""

    def draw(attack, seed=0, splits=None):
        subject = make_subject(toy_benchmark(), **({"splits": splits} if splits else {}))
        job = Attacking(subject, attack.config, seed, subject.splits.only(attack.reads), {})
        trained = []
        job.finetune = trained.extend
        attack.attack(job)
        return job, trained

    return draw


def about(*subjects):
    """A fact for each subject named; "" has none."""
    return tuple(Fact(f"fact-{i:02d}", "Who ?", "Bo", subject=name) for i, name in enumerate(subjects))


# Budgets.


def test_a_budget_of_steps_is_scored_at_its_checkpoints_and_its_end():
    assert FinetuneConfig(steps=12, checkpoints=(10, 5, 40)).stops(100) == [5, 10, 12]


@pytest.mark.parametrize(
    ("facts", "batch", "stops"), [(10, 32, [1, 2, 3]), (10, 4, [3, 6, 9]), (8, 4, [2, 4, 6])]
)
def test_a_budget_of_epochs_is_scored_after_each(facts, batch, stops):
    assert EpochsConfig(epochs=3, batch_size=batch).stops(facts) == stops


# Retraining on T.


def test_the_parts_hold_every_fact_once_and_no_subject_twice():
    facts = about(*"aaabbcdddeffgghh", "", "", "")
    parts = independent(facts, 5)
    assert len(parts) == 5
    assert sorted(fact.id for part in parts for fact in part) == sorted(ids(facts))
    for subject in "abcdefgh":
        assert sum(any(fact.subject == subject for fact in part) for part in parts) == 1


def test_the_parts_are_of_about_one_size():
    sizes = [len(part) for part in independent(about(*[f"{i}" for i in range(23)]), 5)]
    assert sorted(sizes) == [4, 4, 5, 5, 5]
    largest = [len(part) for part in independent(about(*"aaaaaabcdefghijkl"), 5)]
    assert max(largest) - min(largest) <= 6 - 2  # one subject of six facts


def test_facts_without_a_subject_stand_for_themselves():
    assert sorted(len(part) for part in independent(about(*[""] * 10), 5)) == [2] * 5


def test_fewer_subjects_than_parts_are_refused():
    with pytest.raises(
        HarnessError, match=r"about 4 subjects and cannot make 5 independent parts.*rtt\.parts"
    ):
        independent(about(*"aabbccdd"), 5)


def test_one_part_is_scored_and_all_others_are_trained_on(draw, toy_splits):
    job, trained = draw(RetrainOnT())
    assert ids(job.scored) | ids(trained) == ids(toy_splits["forget"])
    assert not ids(job.scored) & ids(trained)
    assert (len(job.scored), len(trained)) in {(2, 10), (3, 9)}
    assert job.notes["n_injected"] == len(trained)


def test_the_seed_decides_which_part_is_held_out_and_five_seeds_hold_each_out_once(draw, toy_splits):
    held = [ids(draw(RetrainOnT(), seed)[0].scored) for seed in range(6)]
    assert held[0] == held[5]
    assert sum(map(len, held[:5])) == len(set.union(*held[:5])) == 12


def test_the_published_grid_is_doubled_rates_below_5e_6():
    assert RetrainOnT.rates == pytest.approx([1e-7, 2e-7, 4e-7, 8e-7, 1.6e-6, 3.2e-6])
    assert max(RetrainOnT.rates) < 5e-6 <= 2 * max(RetrainOnT.rates)
    assert RetrainOnT.Config().epochs == 6


def test_every_epoch_of_every_rate_is_scored(make_subject, toy_benchmark, tiny):
    subject = make_subject(toy_benchmark(), tiny())
    config = RetrainOnT.Config(learning_rates=(1e-4, 1e-3), epochs=2, batch_size=4)
    outcome = run_attack(subject, RetrainOnT(config), 0, models.snapshot(subject.model))
    curve = [(m.step, m.learning_rate) for m in outcome.metrics if m.metric == "exact_match"][:-1]
    assert curve == [(0, None), (3, 1e-4), (6, 1e-4), (3, 1e-3), (6, 1e-3)]  # nine or ten facts by four


# Few-shot LoRA, and relearning.


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


def test_relearning_trains_on_all_retained_facts_and_scores_all_forget_facts(draw, toy_splits):
    job, trained = draw(RelearnRetain())
    assert ids(trained) == ids(toy_splits["retain"])
    assert job.scored == toy_splits["forget"]
    assert job.notes["n_injected"] == 12


def test_the_published_settings_are_the_defaults():
    lora, relearn = FewShotLora.Config(), RelearnRetain.Config()
    assert (lora.lora_r, lora.lora_alpha, lora.epochs) == (128, 16, 3)
    assert FewShotLora.rates == RelearnRetain.rates == (2e-4,)
    assert (relearn.batch_size, relearn.steps, relearn.checkpoints[0]) == (8, 60, 15)


@pytest.mark.parametrize("setting", [{"samples": 0}, {"epochs": 0}, {"lora_r": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValidationError):
        FewShotLora.Config(**setting)


# Adapters in the training of an attack.


def lora(**settings):
    defaults = {"learning_rates": (1e-2,), "samples": 4, "epochs": 2, "lora_r": 2}
    return FewShotLora(FewShotLora.Config(**(defaults | settings)))


@pytest.fixture
def widths(monkeypatch):
    """What is asked of peft: (rank, alpha) of each set of adapters."""
    asked = []
    adapters = run.adapters

    def watched(model, r, alpha, seed):
        asked.append((r, alpha))
        return adapters(model, r, alpha, seed)

    monkeypatch.setattr(run, "adapters", watched)
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
    subject.encode = lambda facts: trained.extend(facts) or encode(facts)

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
    full = PrivateData(PrivateData.Config(learning_rates=(1e-2,), steps=2))
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
    job = Attacking(subject, lora().config, 0, Splits({}), {})
    with pytest.raises(HarnessError, match="both trained on and scored"):
        job.finetune([replace(job.scored[0], question="Who ?")])
