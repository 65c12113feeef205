"""The equations of belief suppression, one answer token at a time."""

from __future__ import annotations

import torch


def beliefs(model, examples, belief, k):
    """Sum over answer tokens of <t_i, log pi>, and their number; t_i as the paper writes it."""
    total, count = 0.0, 0
    for prompt, answer in examples:
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0]
        for i, token in enumerate(answer):
            logprobs = logits[len(prompt) - 1 + i].log_softmax(dim=-1)
            pi = logprobs.detach().exp()
            order = sorted(range(len(pi)), key=lambda v: float(-pi[v]))[:k]
            t = torch.zeros_like(pi)
            for v in order:
                t[v] = belief * pi[v] / sum(pi[w] for w in order)
            t[token] += 1 - belief
            total = total + (t * logprobs).sum()
            count += 1
    return total, count


def belief(model, examples, share, k):
    total, count = beliefs(model, examples, share, k)
    return total / count
