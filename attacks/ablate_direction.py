"""Ablation of the direction in which unlearning moved the hidden states."""

from contextlib import contextmanager

import torch
import torch.nn.functional as F

from harness import Attack, AttackConfig, Field, losses, models

from ._hold import hold


class AblateDirection(Attack):
    """Project the direction of unlearning out of the hidden states of each layer; the weights stay.

    r_l = mean(h_l, unlearned) - mean(h_l, original),   h_l <- h_l - (h_l . u_l) u_l,   u_l = r_l / |r_l|

    h_l is what decoder layer l gives, and the means are over all tokens of a few forget facts, which are not
    scored. As in 2409.18025, after the ablation of refusal (2406.11717). The attacker has the model before
    unlearning, too. How many facts is open: 10 here. On the original itself r is 0, and nothing changes.
    """

    name = "ablate-direction"
    paper = "2409.18025"
    reads = frozenset({"forget"})
    needs_original = True

    class Config(AttackConfig):
        samples: int = Field(10, ge=1, description="forget facts the attacker holds; at least 2 must be left")

    def attack(self, job):
        """Take the means with both models' weights, ablate the difference, then score."""
        texts = job.encode(hold(job, self.config.samples))
        unlearned = mean_states(job, texts)
        job.restore(job.original)
        original = mean_states(job, texts)
        job.restore()
        with ablated(job.model, unlearned - original):
            job.checkpoint()


@torch.no_grad()
def mean_states(job, texts):
    """Mean hidden state (L, d) behind each decoder layer over all tokens of ``texts``, in float64."""
    sums, count = torch.zeros(()), 0
    for batch in job.runs(texts):
        inside = batch.attention_mask.bool()
        states: list[torch.Tensor] = []
        with changed_states(job.model, lambda layer, state, found=states: found.append(state)):
            losses.answer_logits(job.model, batch)
        sums = sums + torch.stack([losses.double(state[inside]).sum(dim=0) for state in states])
        count += int(inside.sum())
    return sums / count


@contextmanager
def ablated(model, directions):
    """A model whose hidden states (B, T, d) have no part along ``directions`` (L, d); 0 is no direction."""
    units = F.normalize(directions, dim=-1)

    def without(layer, state):
        unit = units[layer].to(state)
        return state - (state @ unit)[..., None] * unit

    with changed_states(model, without):
        yield


@contextmanager
def changed_states(model, change):
    """While inside, each decoder layer gives ``change(layer, state)``, or its own where that is None."""

    def hook(layer):
        def replace(module, args, output):
            whole = isinstance(output, tuple)
            state = change(layer, output[0] if whole else output)
            return None if state is None else (state, *output[1:]) if whole else state

        return replace

    handles = [block.register_forward_hook(hook(layer)) for layer, block in enumerate(models.blocks(model))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
