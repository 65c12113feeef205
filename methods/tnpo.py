"""TNPO: negative preference optimisation by the token."""

import torch

from harness import Field

from ._weighted import WeightedAscent, token_nll


class TNPO(WeightedAscent):
    """NPO's weight for each token: L = gamma E_{D_f} mean_i w_i log pi_i + alpha CE(D_r).

    w_i = 2 pi_i^beta / (pi_i^beta + pi_{0,i}^beta) = 2 sigma(beta (NLL_{0,i} - NLL_i)),   held constant

    TNPO of 2502.19301 (ICLR 2025), whose code has beta = 4. NPO weighs a whole sequence by what it has lost
    since pi_0; here each token stops by itself. Of pi_0 one number per forget token is kept. beta = 0 is
    exactly GD, and so is the first step. The code adds 1e-5 below the line against 0/0; sigma needs none.
    """

    name = "tnpo"
    paper = "2502.19301"

    class Config(WeightedAscent.Config):
        beta: float = Field(4.0, ge=0, description="inverse temperature, 1/nat")

    def prepare(self, job):
        """Keep NLL_0 of every answer token."""
        self.reference = token_nll(job, job.encode(job.forget))

    def weights(self, nll, texts):
        """w_i = 2 sigma(beta (NLL_{0,i} - NLL_i))."""
        before = self.reference[texts.index, -nll.shape[1] :]
        return 2 * torch.sigmoid(self.config.beta * (before - nll))
