"""RMU-LAT: RMU under latent adversarial training."""

from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from harness import Field, losses, models, neurons

from .rmu import RMU


class RMULAT(RMU):
    """RMU whose forget texts run with a perturbation that would bring their answers back.

    L = MSE(h_l(x_f; delta), c u) + alpha MSE(h_l(x_r), h_l^0(x_r)),   delta = argmin NLL(x_f; delta)

    RMU-LAT of latent adversarial training (2407.15549). delta is added to what the feed-forward part of layer
    l-1 gives, has at most length epsilon at each token, and is found by projected gradient descent with
    AdamW, from 0. Published for 32 layers: l = 8, epsilon = 2, 16 steps of .05, and four steps of the model
    for each attack, alpha 1200. Open, and chosen here: NLL is that of the answer; a fact's delta serves four
    passes, as there four steps on one batch; epsilon is a multiple of the median length of h_l, as c is, and
    the step 1.6 epsilon / sqrt(d), which is .05 there.
    """

    name = "rmu-lat"
    paper = "2407.15549"

    class Config(RMU.Config):
        depth: float = Field(8 / 32, ge=0, lt=1, description="l as a share of the layers; at least layer 2")
        epsilon: float = Field(2.0, ge=0, description="epsilon as a multiple of the median length of h_l")
        pgd_steps: int = Field(16, ge=1, description="steps of an attack")
        pgd_rate: float = Field(1.6, gt=0, description="a coordinate's step over epsilon / sqrt(d)")
        passes: int = Field(4, ge=1, description="passes over the forget set that an attack serves")

    def prepare(self, job):
        """RMU's choices, and epsilon and the place of delta."""
        super().prepare(job)
        self.place = neurons.feed_forward(models.blocks(job.model)[max(self.layer - 1, 0)]).out
        self.epsilon = self.config.epsilon * job.notes["typical_length"]
        job.notes["epsilon"] = self.epsilon

    def new_epoch(self, job, epoch):
        """Let go of the perturbations when they have served."""
        if epoch % self.config.passes == 0:
            self.deltas = {}

    def loss(self, model, batch):
        """RMU's loss, the forget texts perturbed."""
        terms, texts = super().loss(model, batch), batch.forget
        index, length = texts.index.tolist(), texts.input_ids.shape[1]
        if not all(i in self.deltas for i in index):
            self.deltas |= zip(index, self.attack(model, texts), strict=True)
        # Padding is on the left, and differs with the longest text of a batch.
        fitted = [
            F.pad(self.deltas[i][-length:], (0, 0, max(0, length - len(self.deltas[i])), 0)) for i in index
        ]
        with added(self.place, torch.stack(fitted)):
            yield next(terms)  # its gradient is taken before this goes on
        yield from terms

    def attack(self, model, texts):
        """delta (B, T, d): what makes the answers likeliest within epsilon, by projected gradient descent."""
        width = neurons.sizes(self.place)[1]
        delta = nn.Parameter(torch.zeros(*texts.input_ids.shape, width, device=texts.input_ids.device))
        optimizer = self.optimizer([delta], self.config.pgd_rate * self.epsilon / width**0.5)
        for _ in range(self.config.pgd_steps):
            with added(self.place, delta):
                nll = losses.nll(model, texts).sum()
                [delta.grad] = torch.autograd.grad(nll, [delta])
            optimizer.step()
            with torch.no_grad():
                most = max(self.epsilon, 1e-30)  # what is shorter stays as it is
                delta.mul_(self.epsilon / delta.norm(dim=-1, keepdim=True).clamp(min=most))
        return delta.detach()


@contextmanager
def added(module, delta):
    """Have a module give delta more."""
    handle = module.register_forward_hook(lambda module, args, output: output + delta.to(output.dtype))
    try:
        yield
    finally:
        handle.remove()
