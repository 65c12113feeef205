"""What the neurons of a layer do to one answer, worked out one text and one token at a time."""

from __future__ import annotations

import torch

from harness.model.neurons import feed_forwards
from support.equations import log_probability


class Shift:
    """A plain way to the neurons: adds a tensor of zeros that wants a gradient to what enters ``out``."""

    def __init__(self, part, change):
        self.handle = part.out.register_forward_pre_hook(self.hook)
        self.change, self.seen = change, None

    def hook(self, module, args):
        self.seen = args[0].detach()
        return (args[0] + self.change,)


def influence_of_one(model, prompt, answer, layer):
    """h dP/dh of every token before the last and neuron of one layer, P the probability of the answer."""
    part = feed_forwards(model)[layer]
    change = torch.zeros(len(prompt) + len(answer), part.units, dtype=torch.float64, requires_grad=True)
    shift = Shift(part, change)
    (gradient,) = torch.autograd.grad(log_probability(model, prompt, answer).exp(), [change])
    shift.handle.remove()
    influence = (shift.seen[0] * gradient).detach()
    assert not influence[-1].any()  # nothing comes behind it
    return influence[:-1]


def attribution_of_one(model, prompt, token, layer, steps):
    """(1/m) sum_j beta dP/da at a = (j/m) beta of the last input token, one text and layer at a time."""
    part = feed_forwards(model)[layer]
    shift = Shift(part, torch.zeros(()))
    model(torch.tensor([prompt]))
    shift.handle.remove()
    beta = shift.seen[0, -1]
    total = torch.zeros_like(beta)
    for j in range(1, steps + 1):
        a = (j / steps * beta).requires_grad_()

        def put(module, args, a=a):
            return (torch.cat([args[0][:, :-1].detach(), a[None, None]], dim=1),)

        handle = part.out.register_forward_pre_hook(put)
        p = model(torch.tensor([prompt])).logits[0, -1].softmax(dim=-1)[token]
        handle.remove()
        total += beta * torch.autograd.grad(p, [a])[0] / steps
    return total
