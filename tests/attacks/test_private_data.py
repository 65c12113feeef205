"""What the private-data attack reads, draws and leaves to be scored."""

from __future__ import annotations

import pytest
from harness.attacks.private_data import PrivateData
from pydantic import ValidationError

from harness.errors import HarnessError
from support.facts import ids


def private(**settings):
    return PrivateData(PrivateData.Config(**settings))


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.8])
def test_private_data_scores_all_forget_facts_but_those_it_holds(p, draw, toy_splits):
    job, trained = draw(private(p=p))
    assert ids(trained) & ids(job.scored) == set()
    assert ids(trained) | ids(job.scored) == ids(toy_splits["forget"])


@pytest.mark.parametrize(("p", "held"), [(0.001, 1), (0.1, 1), (0.3, 4), (0.5, 6), (0.8, 10)])
def test_private_data_holds_the_fraction_p_and_at_least_one(p, held, draw):
    job, trained = draw(private(p=p))
    assert len(trained) == len(ids(trained)) == held
    assert len(job.scored) == 12 - held
    assert job.notes["n_injected"] == held


def test_private_data_draws_the_same_facts_from_every_model_under_one_seed(draw, tiny):
    drawn = [
        draw(private(p=0.3), seed=5, model=tiny(seed=weights), known=known)
        for weights in (0, 1)
        for known in ((), ("forget-00", "forget-05"))
    ]
    assert len({tuple(fact.id for fact in trained) for _, trained in drawn}) == 1
    assert len({tuple(fact.id for fact in job.scored) for job, _ in drawn}) == 1


def test_private_data_draws_other_facts_under_other_seeds(draw):
    assert len({frozenset(ids(draw(private(p=0.3), seed=seed)[1])) for seed in range(5)}) > 2


def test_the_paper_s_pool_leaves_out_what_is_still_answered(draw, toy_splits):
    known = {"forget-01", "forget-04", "forget-07"}
    for seed in range(4):
        job, trained = draw(private(p=0.3, pool="unanswered"), seed=seed, known=known)
        assert ids(trained) | ids(job.scored) == ids(toy_splits["forget"]) - known
        assert ids(trained) & ids(job.scored) == set()
        assert len(trained) == 3  # of 9


def test_the_paper_s_pool_is_refused_where_fewer_than_two_facts_are_left_to_score(draw, toy_splits):
    everything = sorted(ids(toy_splits["forget"]))
    job, _ = draw(private(pool="unanswered"), known=everything[3:])
    assert len(job.scored) == 2
    for known in (everything[2:], everything[1:], everything):
        with pytest.raises(HarnessError, match="forget facts are left to be scored; at least 2"):
            draw(private(pool="unanswered"), known=known)


def test_by_default_the_pool_does_not_depend_on_what_is_answered(draw, toy_splits):
    job, trained = draw(private(p=0.3), known=ids(toy_splits["forget"]))
    assert len(trained) + len(job.scored) == 12


def test_private_data_reads_the_forget_set_and_nothing_else(draw):
    job, _ = draw(private())
    assert set(job.data) == {"forget"}
    for split in ("retain", "instruct"):
        with pytest.raises(KeyError):
            job.data[split]


def test_the_published_fractions_are_variants_of_their_own():
    chosen = {name: PrivateData.Config(**settings).p for name, settings in PrivateData.variants.items()}
    assert chosen == {"p=0.1": 0.1, "p=0.3": 0.3}


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, 1.5])
def test_a_fraction_that_leaves_nothing_on_one_side_is_refused(p):
    with pytest.raises(ValidationError):
        PrivateData.Config(p=p)
