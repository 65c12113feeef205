"""Three models of one shape, and jobs that compare them."""

from __future__ import annotations

import pytest

from support.analysis_jobs import comparison
from support.equations import moved


@pytest.fixture
def subject(make_subject, toy_benchmark):
    """A model under test with the toy facts."""
    return make_subject(toy_benchmark())


@pytest.fixture
def compare(subject):
    """``compare(original, unlearned, attacked=None, seed=0)``: a job that has these models."""
    return lambda *models, **more: comparison(subject, *models, **more)


@pytest.fixture
def three(model):
    """An original in float64, the same moved some way off, and again as an attack would."""
    unlearned = moved(model)
    return model, unlearned, moved(unlearned)
