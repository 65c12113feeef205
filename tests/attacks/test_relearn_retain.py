"""Relearning from retained facts."""

from __future__ import annotations

from harness.attacks.relearn_retain import RelearnRetain

from support.facts import ids


def test_relearning_trains_on_all_retained_facts_and_scores_all_forget_facts(draw, toy_splits):
    job, trained = draw(RelearnRetain())
    assert ids(trained) == ids(toy_splits["retain"])
    assert job.scored == toy_splits["forget"]
    assert job.notes["n_injected"] == 12
