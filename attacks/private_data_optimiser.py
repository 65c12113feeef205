"""Private-data injection with other optimisers than AdamW."""

from typing import Literal

import torch

from harness import Attack, Field, FinetuneConfig

from ._hold import hold


class PrivateDataOptimiser(Attack):
    """`private-data` with SGD or Lion in place of AdamW: does what comes back depend on the optimiser?

    AdamW changes each weight by about its rate in a step, and so does Lion (2302.06675), whose authors advise
    a third to a tenth of AdamW's rate: here a fifth of the two highest. SGD, without momentum, changes it by
    its gradient times the rate, whatever the model's size, so its rates are not scaled. There is no published
    setting. The facts held are those of `private-data p=0.3` under the same seed: the same attack by AdamW.
    """

    name = "private-data-optimiser"
    reads = frozenset({"forget"})
    rates = (2e-6, 1e-6)
    variants = {
        "sgd": {"optimizer": "sgd", "learning_rates": (0.1, 0.03)},
        "lion": {"optimizer": "lion"},
    }

    class Config(FinetuneConfig):
        p: float = Field(0.3, gt=0, lt=1, description="fraction of the forget facts that the attacker holds")
        optimizer: Literal["sgd", "lion"] = Field(
            "lion", description="SGD without momentum, or Lion; open rates are those of Lion"
        )

    def attack(self, job):
        """Draw the facts held, take them out of the scored ones, fine-tune on them."""
        held = hold(job, max(1, round(self.config.p * len(job.data["forget"]))))
        made = {"sgd": torch.optim.SGD, "lion": Lion}[self.config.optimizer]
        decay = self.config.weight_decay
        job.finetune(held, lambda parameters, rate: made(parameters, lr=rate, weight_decay=decay))


class Lion(torch.optim.Optimizer):
    """Evolved sign momentum (2302.06675, algorithm 2), with betas of 0.9 and 0.99.

    theta <- theta - lr (sign(0.9 m + 0.1 g) + weight_decay theta),   then   m <- 0.99 m + 0.01 g
    """

    def __init__(self, parameters, lr, weight_decay=0.0):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        """Take a step."""
        for group in self.param_groups:
            for theta in group["params"]:
                if theta.grad is None:
                    continue
                m = self.state[theta].setdefault("m", torch.zeros_like(theta))
                direction = torch.lerp(theta.grad, m, 0.9).sign()
                theta.sub_(group["lr"] * (direction + group["weight_decay"] * theta))
                m.lerp_(theta.grad, 0.01)
