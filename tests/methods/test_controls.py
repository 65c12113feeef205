"""The controls leave the model alone, or take the weights of the twin."""

from __future__ import annotations

import pytest
from harness.methods.controls import NoUnlearning, Retrain

from harness.engine.unlearning import unlearn
from harness.errors import HarnessError, ModelError
from harness.model import loading, models


def test_none_leaves_every_bit(tiny, make_subject, toy_benchmark):
    model = tiny()
    before = models.weights_fingerprint(model)
    job = unlearn(make_subject(toy_benchmark(), model), NoUnlearning(), seed=0)
    assert models.weights_fingerprint(model) == before
    assert (job.cost.steps, job.metrics) == (0, [])


def test_retrain_takes_the_weights_of_the_twin(tiny, tokenizer, tmp_path, make_subject, toy_benchmark):
    twin = tiny(seed=1)
    loading.save(twin, tokenizer, tmp_path / "twin", {})
    model = tiny(seed=0)
    unlearn(make_subject(toy_benchmark(), model, retrain=tmp_path / "twin", noted=False), Retrain(), seed=0)
    assert models.weights_fingerprint(model) == models.weights_fingerprint(twin)


def test_retrain_refuses_what_does_not_fit(tiny, tokenizer, tmp_path, make_subject, toy_benchmark):
    subject = make_subject(toy_benchmark(), tiny(), retrain=tmp_path / "other", noted=False)
    loading.save(tiny(num_hidden_layers=1), tokenizer, subject.retrain, {})
    with pytest.raises(ModelError, match="no twin of the original: its weights have other names or shapes"):
        unlearn(subject, Retrain(), seed=0)


def test_retrain_refuses_a_twin_with_other_tokens(
    tiny, make_tokenizer, tmp_path, make_subject, toy_benchmark
):
    subject = make_subject(toy_benchmark(), model := tiny(), retrain=tmp_path / "other", noted=False)
    (tokenizer := make_tokenizer()).add_tokens(["another"])
    loading.save(model, tokenizer, subject.retrain, {})
    with pytest.raises(ModelError, match="no twin of the original: its tokenizer has other tokens"):
        unlearn(subject, Retrain(), seed=0)


def test_retrain_without_a_twin_says_so(make_subject, toy_benchmark):
    with pytest.raises(HarnessError, match="there is no twin"):
        unlearn(make_subject(toy_benchmark()), Retrain(), seed=0)
