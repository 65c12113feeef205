"""The answer tokens of a batch, one after the other, (n,) in all."""

from harness import IGNORED, losses


def answer_logprobs(logits, labels):
    """log pi (n, V) at each answer token, of logits (B, K, V) and labels (B, K)."""
    return losses.full_precision(logits[labels != IGNORED]).log_softmax(dim=-1)


def places(labels):
    """At which place of its answer each token is (n,), from 0."""
    answer = labels != IGNORED
    return (answer.cumsum(dim=1) - 1)[answer]
