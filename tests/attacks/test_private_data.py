"""What each attack reads, draws, trains on, and leaves to be scored."""

from __future__ import annotations

import pytest
from harness.attacks.instruction import Instruction
from harness.attacks.private_data import PrivateData
from pydantic import ValidationError

from harness import models
from harness.errors import HarnessError
from harness.run import Attacking, run_attack
from harness.types import Splits


def ids(facts):
    return {fact.id for fact in facts}


@pytest.fixture
def draw(make_subject, toy_benchmark, tiny):
    """Let an attack draw its facts and stop short of training; returns the job and what it would train on."""

    def draw(attack, seed=0, known=(), model=None, splits=None):
        benchmark = toy_benchmark(lambda split, metric, fact: float(fact.id in known))
        more = {"splits": splits} if splits else {}
        subject = make_subject(benchmark, model, **more)
        job = Attacking(subject, attack.config, seed, subject.splits.only(attack.reads), {})
        trained = []
        job.finetune = trained.extend
        attack.attack(job)
        return job, trained

    return draw


def private(**settings):
    return PrivateData(PrivateData.Config(**settings))


def instruction(**settings):
    return Instruction(Instruction.Config(**settings))


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


def test_instruction_reads_the_instructions_and_nothing_else(draw):
    job, trained = draw(instruction())
    assert set(job.data) == {"instruct"}
    for split in ("forget", "retain"):
        with pytest.raises(KeyError):
            job.data[split]
    assert {fact.id.split("-")[0] for fact in trained} == {"instruct"}


def test_instruction_is_scored_on_the_whole_forget_set(draw, toy_splits):
    job, _ = draw(instruction())
    assert job.scored == toy_splits["forget"]


@pytest.mark.parametrize(("items", "drawn"), [(1, 1), (5, 5), (12, 12), (1000, 12)])
def test_instruction_draws_as_many_items_as_asked_or_all_there_are(items, drawn, draw):
    job, trained = draw(instruction(items=items))
    assert len(ids(trained)) == len(trained) == drawn
    assert job.notes["n_injected"] == drawn


def test_instruction_draws_by_seed(draw):
    def drawn(seed):
        return [fact.id for fact in draw(instruction(items=5), seed=seed)[1]]

    assert drawn(0) == drawn(0) != drawn(1)


def test_instruction_without_instructions_is_a_missing_split(draw, toy_splits):
    with pytest.raises(KeyError, match="instruct"):
        draw(instruction(), splits=Splits({name: toy_splits[name] for name in ("forget", "retain")}))


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
