"""Unlearning of facts that the model is said to know, for methods that train a part of it."""

from __future__ import annotations

import pytest

from harness.core.types import Splits
from harness.engine.unlearning import UnlearningJob
from harness.model.steps import forget_steps

N = 4


@pytest.fixture
def job(model, make_subject, toy_benchmark, toy_splits):
    """Unlearning of four of the toy facts, all of which that model is said to know."""
    splits = Splits({name: facts[:N] for name, facts in toy_splits.items()})
    benchmark = toy_benchmark(lambda split, metric, fact: 1.0)
    return UnlearningJob(make_subject(benchmark, model, splits=splits), config=None, seed=0)


@pytest.fixture
def data(job):
    """Forget and retain texts: answers of two tokens (a word and the end) and of three."""
    return job.subject.encode(job.forget), job.subject.encode(job.retain)


@pytest.fixture
def batch(job, data):
    """All of them as one step."""
    [[batch]] = forget_steps(job.tokens, *data, N, 1, seed=0)
    return batch
