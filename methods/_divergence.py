"""The Jensen-Shannon divergence, JS(p || q) = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, in nats."""

import math

import torch


def js(log_p, log_q):
    """JS(p || q) over the last dimension, given the logarithms of both."""
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(dim=-1) / 2


def js_to_one(log_p):
    """JS of a distribution to all mass on one token, whose probability is p.

    log 2 + (p log p - (1 + p) log(1 + p)) / 2
    """
    p = log_p.exp()
    return math.log(2) + (p * log_p - (1 + p) * p.log1p()) / 2
