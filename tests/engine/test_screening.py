"""Screening: which facts are asked, what is said of the others, and when too few are left."""

from __future__ import annotations

import pytest

from harness.core.types import Sample, Splits
from harness.engine import screening
from harness.engine.evaluation import evaluate
from harness.errors import HarnessError


@pytest.fixture
def screened(toy_benchmark):
    """The toy benchmark, which asks only what the original answers of its forget and retain sets."""

    class Screened(toy_benchmark):
        def candidates(self, splits):
            return [*splits["forget"], *splits["retain"]]

    return Screened()


def answers(splits, wrong=()):
    """What the original scores: a half is no answer."""
    ids = [fact.id for fact in (*splits["forget"], *splits["retain"])]
    return [Sample("forget", "exact_match", fact, 0.5 if fact in wrong else 1.0) for fact in ids]


def test_a_split_loses_what_the_original_does_not_answer_and_nothing_else(screened, toy_splits):
    wrong = {toy_splits["forget"][0].id, toy_splits["forget"][5].id, toy_splits["retain"][2].id}
    kept, numbers = screening.apply(screened, toy_splits, answers(toy_splits, wrong))
    for name, facts in toy_splits.items():
        assert kept[name] == tuple(fact for fact in facts if fact.id not in wrong)
    assert numbers == {
        "candidates": len(toy_splits["forget"]) + len(toy_splits["retain"]),
        "screened_out": 3,
    }


def test_what_was_not_scored_is_not_known(screened, toy_splits):
    kept, _ = screening.apply(screened, toy_splits, answers(toy_splits)[:-1])
    assert kept["retain"] == toy_splits["retain"][:-1]


@pytest.mark.parametrize(("split", "left", "needed"), [("forget", 1, 2), ("retain", 0, 1)])
def test_too_few_facts_are_one_sentence_that_says_how_many_are_needed(
    screened, toy_splits, split, left, needed
):
    wrong = {fact.id for fact in toy_splits[split][left:]}
    with pytest.raises(HarnessError) as caught:
        screening.apply(screened, toy_splits, answers(toy_splits, wrong))
    total = len(toy_splits["forget"]) + len(toy_splits["retain"])
    assert str(caught.value).startswith(f"Of {total} facts of '{screened.name}' the original answers ")
    assert f"and {left} of them are left for '{split}'; at least {needed} are needed." in str(caught.value)


def test_the_original_is_asked_every_candidate_by_the_forget_metric(screened, make_subject, toy_splits):
    samples = screening.ask(make_subject(screened))
    assert {sample.metric for sample in samples} == {screened.forget_metric}
    assert [sample.fact_id for sample in samples] == [fact.id for fact in screened.candidates(toy_splits)]


def test_the_row_says_how_many_were_screened_out(screened, make_subject, toy_splits):
    splits = Splits({**toy_splits, "forget": toy_splits["forget"][:4]})
    subject = make_subject(screened, splits=splits, screened={"candidates": 24, "screened_out": 8})
    notes = evaluate(subject).notes
    assert (notes["candidates"], notes["screened_out"], notes["n_scored"]) == (24, 8, 4)
