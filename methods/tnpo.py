"""TNPO: negative preference optimisation by the token."""

import torch

from harness import Field, losses

from ._weighted import WeightedAscent


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

    @torch.no_grad()
    def prepare(self, job):
        """Keep NLL_0 of every answer token, (N, K) with the answers' ends in the last column."""
        runs = job.runs(job.encode(job.forget))
        each = [losses.token_nll(*losses.answer_logits(job.model, texts)) for texts in runs]
        width = max(nll.shape[1] for nll in each)
        self.reference = torch.cat([torch.nn.functional.pad(nll, (width - nll.shape[1], 0)) for nll in each])

    def weights(self, nll, texts):
        """w_i = 2 sigma(beta (NLL_{0,i} - NLL_i))."""
        before = self.reference[texts.index, -nll.shape[1] :]
        return 2 * torch.sigmoid(self.config.beta * (before - nll))
