"""MUDMAN: meta-unlearning with dynamic masking, accumulation and normalisation."""

import torch

from harness import Field, Method, MethodConfig, losses, models, neurons

from ._answers import answer_logprobs


class MUDMAN(Method):
    """Take from an adversary that relearns the steps that raise its entropy, where they do not hurt.

    W <- W - lr sqrt(n) (M o g / ||g|| + rho r),   A <- A - lr sqrt(n) a grad_A CE(D_f),
    g = -grad_A H(D_f),   r <- mu r + (1 - mu) grad_W CE(D_r),   M = [sign g = sign r]

    MUDMAN (2506.12484) as its authors' code has it: A, the adversary, begins as W and again every so many
    steps, H is the mean entropy of the answers' tokens under A, and n counts the weights that train, which
    are the first map of each feed-forward part (`gate_proj`). Published for 1B: a step of length .1, which
    is 6e-6 a weight, 32 steps between two forks, mu = .9, and rates .001 of A and of r, so rho = a = .01. The
    form with sqrt(n) is another of the authors', in which rates do not depend on n. Here the grid begins at
    ten times 6e-6, and both gradients are taken at A before it moves; in the code it has begun to.
    """

    name = "mudman"
    lora = False
    paper = "2506.12484"
    rate_scale = 6.0  # ten times the 6e-6

    class Config(MethodConfig):
        fork: int = Field(32, ge=1, description="steps after which the adversary is W again")
        adversary: float = Field(0.01, ge=0, description="a: the adversary's rate over the unlearning rate")
        rho: float = Field(0.01, ge=0, description="the retaining rate over the unlearning rate")
        mu: float = Field(0.9, ge=0, lt=1, description="momentum of the retain gradient")

    def trainable(self, model):
        """The first map of each feed-forward part."""
        self.trained = [part.into[0].get_parameter("weight") for part in neurons.feed_forwards(model)]
        return self.trained

    def start(self, model):
        """Forget adversary and momentum of an earlier rate."""
        self.adversary, self.momentum, self.step = [], {}, 0

    def optimizer(self, parameters, lr):
        """Plain steps."""
        self.rate = lr
        return torch.optim.SGD(parameters, lr=lr)

    def loss(self, model, batch):
        """CE(D_r) at W; CE(D_f) and -H(D_f) at A, whose weights stand in the model meanwhile."""
        yield "retain", losses.cross_entropy(model, batch.retain)
        if not self.adversary:
            self.adversary = [weight.detach().clone() for weight in self.trained]
        with models.restored(self.trained, self.adversary):
            yield "adversary", losses.cross_entropy(model, batch.forget)
            logits, labels = losses.answer_logits(model, batch.forget)
            logprobs = answer_logprobs(logits, labels)
            yield "forget", (logprobs.exp() * logprobs).sum() / batch.forget.step_tokens

    @torch.no_grad()
    def combine(self, model, gradients):
        """Set M o g / ||g|| + rho r, and move A."""
        scale = sum(weight.numel() for weight in self.trained) ** 0.5
        norm = torch.stack([gradients["forget"][weight].norm() for weight in self.trained]).norm()
        for i, weight in enumerate(self.trained):
            r, g = gradients["retain"][weight], gradients["forget"][weight]
            before = self.momentum.get(weight, torch.zeros_like(r))
            r = self.momentum[weight] = self.config.mu * before + (1 - self.config.mu) * r
            mask = g.sign() == r.sign()
            weight.grad = scale * (mask * g / norm + self.config.rho * r)
            moved = self.rate * scale * self.config.adversary
            self.adversary[i] -= moved * gradients["adversary"][weight]
        self.step += 1
        if self.step % self.config.fork == 0:
            self.adversary = []
