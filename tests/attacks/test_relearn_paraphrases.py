"""Relearning in other words: what is held, in which words, and what is scored."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.attacks.private_data import PrivateData
from harness.attacks.relearn_paraphrases import RelearnParaphrases

from harness.core.types import Question, Splits
from harness.errors import HarnessError
from support.attacks import small
from support.facts import ids


@pytest.fixture
def worded(toy_splits):
    """``worded(n)``: the first ``n`` toy facts can be asked in two other ways."""

    def worded(n):
        def ways(fact):
            told = (f"Who {fact.subject} ?", fact.answer), (f"What {fact.subject} ?", f"old {fact.answer}")
            return tuple(Question(*way) for way in told)

        forget = toy_splits["forget"]
        first = [replace(fact, paraphrases=ways(fact)) for fact in forget[:n]]
        return Splits({**toy_splits, "forget": (*first, *forget[n:])})

    return worded


def test_the_facts_held_are_learned_in_all_their_other_wordings_alone(draw, worded):
    job, trained = draw(small(RelearnParaphrases, p=0.5), splits=worded(12))
    by_id = {fact.id: fact for fact in job.data["forget"]}
    held = ids(trained)
    assert (len(held), len(trained), job.notes["n_injected"]) == (6, 12, 6)
    for fact in trained:
        ways = {(way.text, way.answer) for way in by_id[fact.id].paraphrases}
        assert (fact.question, fact.answer) in ways
    assert len({fact.question for fact in trained}) == 12
    assert ids(job.scored) == ids(job.data["forget"]) - held


def test_the_scored_facts_are_asked_as_they_stand(draw, worded):
    job, _ = draw(small(RelearnParaphrases), splits=worded(12))
    assert set(job.scored) <= set(job.data["forget"])


def test_facts_without_other_wordings_are_scored_and_never_held(draw, worded):
    for seed in range(3):
        job, trained = draw(small(RelearnParaphrases, p=0.5), seed, splits=worded(4))
        assert ids(trained) < ids(job.data["forget"][:4])
        assert (len(ids(trained)), len(job.scored)) == (2, 10)


def test_the_same_seed_holds_the_facts_that_private_data_holds(draw, worded):
    for seed in range(3):
        _, own = draw(small(RelearnParaphrases, p=0.3), seed, splits=worded(12))
        _, others = draw(small(PrivateData, p=0.3), seed, splits=worded(12))
        assert ids(own) == ids(others)


def test_a_passage_is_not_learned_in_place_of_the_wording(draw, worded):
    splits = worded(12)
    given = Splits({**splits, "forget": tuple(replace(f, passage="Ada .") for f in splits["forget"])})
    _, trained = draw(small(RelearnParaphrases), splits=given)
    assert {fact.passage for fact in trained} == {""}


def test_without_other_wordings_it_says_what_is_lacking(toy_splits, worded):
    attack = small(RelearnParaphrases)
    assert attack.lacks(toy_splits) == "no forget fact has a paraphrase"
    assert attack.lacks(worded(1)) is None
    assert attack.lacks(Splits({"retain": toy_splits["retain"]})) == "the benchmark has no split 'forget'"


def test_fewer_than_two_facts_left_to_score_are_refused(draw, worded):
    splits = worded(12)
    few = Splits({**splits, "forget": splits["forget"][:2]})
    with pytest.raises(HarnessError, match="at least 2"):
        draw(small(RelearnParaphrases), splits=few)
