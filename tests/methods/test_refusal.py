"""The refusal control learns to decline."""

from __future__ import annotations

from harness.methods.refusal import Refusal

from support.equations import (
    assert_loss_and_gradient,
    loss_of,
    mean_loss,
    prepared,
)


def test_refusal_learns_to_decline_and_keeps_the_rest(job, batch, data):
    method = prepared(Refusal(), job)
    refusal = (*job.tokens.tokenizer("I can't answer the question.").input_ids, job.tokens.end)
    forget, retain = data
    expected = mean_loss(job.model, [(prompt, refusal) for prompt, _ in forget]) + mean_loss(
        job.model, retain
    )
    assert_loss_and_gradient(job.model, loss_of(method, job.model, batch), expected)
