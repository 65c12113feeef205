"""Retraining on T: how facts are parted, and which part is held out."""

from __future__ import annotations

import pytest
from harness.attacks.lora import FewShotLora
from harness.attacks.relearn_retain import RelearnRetain
from harness.attacks.rtt import RetrainOnT, independent

from harness.core.types import Fact
from harness.engine.attacking import run_attack
from harness.errors import HarnessError
from harness.model import models
from support.facts import ids


def about(*subjects):
    """A fact for each subject named; "" has none."""
    return tuple(Fact(f"fact-{i:02d}", "Who ?", "Bo", subject=name) for i, name in enumerate(subjects))


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


def test_the_published_settings_are_the_defaults():
    lora, relearn = FewShotLora.Config(), RelearnRetain.Config()
    assert (lora.lora_r, lora.lora_alpha, lora.epochs) == (128, 16, 3)
    assert FewShotLora.rates == RelearnRetain.rates == (2e-4,)
    assert (relearn.batch_size, relearn.steps, relearn.checkpoints[0]) == (8, 60, 15)
