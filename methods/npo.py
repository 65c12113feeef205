"""Negative preference optimisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from harness.core.base import Method
from harness.core.config import MethodConfig
from harness.errors import HarnessError
from harness.model.losses import cross_entropy, kl_to, nll, reference_nll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.core.batch import Batch
    from harness.engine.unlearning import UnlearningJob


class NPO(Method):
    """Negative preference optimisation with a retain term.

    L = -(2/beta) mean_seq log sigma(beta (NLL_sum - NLL_sum^pi_0)) + alpha CE(D_r)

    NPO (2404.05868), equation 3. NLL_sum is the sum over answer tokens, not their mean. Of the reference
    model pi_0 only one number per forget fact is kept. As beta -> 0 the forget term tends to gradient ascent
    on NLL_sum. The retain term is CE(D_r), or KL(pi_0 || pi) on D_r, or is left out.
    """

    name = "npo"
    paper = "2404.05868"

    class Config(MethodConfig):
        beta: float = Field(0.1, gt=0, description="inverse temperature of the preference loss")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")
        retain: Literal["ce", "kl", "none"] = Field("ce", description="retain loss: CE, KL to pi_0, or none")

    def prepare(self, job: UnlearningJob) -> None:
        """Keep NLL_sum^pi_0 of every forget fact."""
        self.reference = reference_nll(job.model, job.tokens, job.subject.encode(job.forget))
        self.original = job.original
        if self.config.retain == "kl" and self.config.lora_r is not None:
            raise HarnessError("npo.retain=kl needs the weights of pi_0 under their names: leave LoRA out.")

    def loss(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        """The preference loss on the forget texts plus the retain term."""
        beta = self.config.beta
        now = nll(model, batch.forget)
        reference = self.reference.to(now)[batch.forget.index]
        yield -(2 / beta) * logsigmoid(beta * (now - reference)).sum() / batch.forget.step_items
        assert batch.retain is not None
        if self.config.retain == "ce":
            yield self.config.alpha * cross_entropy(model, batch.retain)
        elif self.config.retain == "kl":
            yield self.config.alpha * kl_to(model, self.original, batch.retain)
