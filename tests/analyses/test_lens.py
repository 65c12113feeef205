"""The lens's accuracy: the answer against one distractor, layer by layer, in both models."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from harness.analyses.lens import LogitLens, distractors

from harness.core.types import Splits
from harness.errors import HarnessError
from harness.model.losses import nll
from support.analysis_jobs import run, single, values
from support.seven import layer_states

SERIES = [f"{split} {which}" for split in ("forget", "retain") for which in ("original", "unlearned")]


def mean_nll(model, example, layer):
    """-log pi of an answer, the mean over its tokens, from the output of a layer of one text alone."""
    prompt, answer = example
    state = layer_states(model, example)[layer]
    logprobs = model.lm_head(model.model.norm(state)).log_softmax(dim=-1)
    total = -sum(logprobs[len(prompt) - 1 + k, token].item() for k, token in enumerate(answer))
    return total / len(answer)


def test_accuracy_is_that_of_each_fact_alone(three, compare):
    original, unlearned, _ = three
    job = compare(original, unlearned)
    findings = run(LogitLens(), job)
    assert single(findings, "accuracy", "chance") == 0.5
    seen = set()
    for split, facts in (("forget", job.forget), ("retain", job.retain)):
        data = job.encode(facts)
        against = distractors(data, data, job.random("lens", split), split)
        for which, model in (("original", original), ("unlearned", unlearned)):
            found = values(findings, "accuracy", f"{split} {which}")
            assert list(found) == [(0, None, 0.0), (1, None, 1.0)]
            for layer in range(2):
                right = [
                    mean_nll(model, a, layer) < mean_nll(model, b, layer)
                    for a, b in zip(data, against, strict=True)
                ]
                assert found[layer, None, float(layer)] == pytest.approx(sum(right) / len(right))
            seen.update(found.values())
    assert len(seen) > 2  # it is no constant


def test_a_model_that_prefers_nothing_is_at_chance(model, compare):
    """Without a preference all values are equal, and each counts half."""
    blank = copy.deepcopy(model)
    with torch.no_grad():
        blank.lm_head.weight.zero_()
    findings = run(LogitLens(), compare(model, blank))
    for split in ("forget", "retain"):
        assert set(values(findings, "accuracy", f"{split} unlearned").values()) == {0.5}


def test_a_model_that_was_taught_the_answers_reads_above_chance_and_one_turned_against_them_below(
    model, tokens, compare, toy_splits
):
    job = compare(model, model)
    taught, against = copy.deepcopy(model), copy.deepcopy(model)
    for learner, sign in ((taught, 1), (against, -1)):
        optimizer = torch.optim.Adam(learner.parameters(), lr=1e-2)
        for _ in range(30):
            for texts in tokens.runs(job.encode(job.forget), 32, torch.device("cpu")):
                optimizer.zero_grad()
                (sign * nll(learner, texts).clamp(max=40).mean()).backward()
                optimizer.step()
    findings = run(LogitLens(), compare(taught, against))
    assert values(findings, "accuracy", "forget original")[1, None, 1.0] == 1
    assert values(findings, "accuracy", "forget unlearned")[1, None, 1.0] < 0.5


@pytest.mark.parametrize("micro", [1, 5, None])
def test_it_does_not_depend_on_micro_batches(micro, three, compare):
    job, other = compare(*three[:2]), compare(*three[:2])
    other.subject.micro_batch = micro
    assert run(LogitLens(), job) == run(LogitLens(), other)


def test_distractors_are_other_answers_drawn_by_the_seed(three, compare):
    jobs = [compare(*three[:2], seed=seed) for seed in (0, 0, 1)]
    data = jobs[0].encode(jobs[0].forget)
    one, again, other = (distractors(data, data, job.random("lens", "forget"), "forget") for job in jobs)
    assert one == again != other
    answers = {answer for _, answer in data}
    for (prompt, answer), (same, against) in zip(data, one, strict=True):
        assert prompt == same
        assert against != answer
        assert against in answers


def test_few_facts_are_still_set_against_all_answers(three, compare):
    few = LogitLens(LogitLens.Config(facts=1))
    job = compare(*three[:2])
    for series in SERIES:
        for value in values(run(few, job), "accuracy", series).values():
            assert value in (0.0, 0.5, 1.0)


def test_facts_of_one_answer_are_refused(three, compare):
    job = compare(*three[:2])
    same = tuple(replace(fact, answer="Oslo") for fact in job.forget)
    job.subject.splits = Splits({"forget": same, "retain": job.retain})
    with pytest.raises(HarnessError, match="all facts of 'forget' have the same"):
        list(LogitLens().analyse(job))


def test_a_model_of_nothing_but_nan_is_refused(model, compare):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.lm_head.weight.fill_(torch.nan)
    with pytest.raises(HarnessError, match="NaN"):
        list(LogitLens().analyse(compare(model, broken)))
