"""Direct preference optimisation with a refusal as the preferred answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from harness.core.base import Method
from harness.core.config import MethodConfig
from harness.model.losses import cross_entropy, nll, reference_nll
from harness.model.tokens import answers_instead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.core.batch import Batch
    from harness.engine.unlearning import UnlearningJob


class DPO(Method):
    """Direct preference optimisation: the refusal w is preferred to the true answer l.

    L = -(2/beta) mean log sigma(beta [(NLL_w^pi_0 - NLL_w) - (NLL_l^pi_0 - NLL_l)]) + alpha CE(D_r)

    "IdkDPO" in TOFU (2401.06121); the refusal is that of the Ssiuu paper (2509.22263). NLL sums over answer
    tokens. Of the reference model pi_0 two numbers per forget fact are kept. beta = 0.1 was published for
    chat models, which refuse readily. In others, learning to refuse gains NLL_w^pi_0 nats, and that alone
    would satisfy the loss. So unless beta is given, it is 0.1 or, where less, 1 / mean NLL_w^pi_0.
    """

    name = "dpo"
    paper = "2401.06121"

    class Config(MethodConfig):
        beta: float | None = Field(
            None, gt=0, description="inverse temperature, 1/nat; None: 0.1, or 1 / mean NLL_w^pi_0 if less"
        )
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")
        refusal: str = Field("I can't answer the question.", min_length=1, description="the preferred answer")

    def prepare(self, job: UnlearningJob) -> None:
        """Keep NLL^pi_0 of every true answer and of every refusal."""
        self.tokens = job.tokens
        true = job.subject.encode(job.forget)
        self.refusals = answers_instead(job.tokens, job.forget, self.config.refusal)
        self.reference_l = reference_nll(job.model, job.tokens, true)
        self.reference_w = reference_nll(job.model, job.tokens, self.refusals)
        news = max(10.0, self.reference_w.mean().item())
        self.beta = self.config.beta or 1 / news
        job.notes["beta"] = self.beta

    def loss(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        """The preference loss on refusal and true answer plus alpha CE(D_r)."""
        assert batch.retain is not None
        beta = self.beta
        for texts in batch.forget.parts(3):  # two graphs at once, and refusals may be long: fewer facts
            refused = self.tokens.collate(self.refusals, texts.index.tolist(), texts.step_items, 1)
            gain_w = self.reference_w[texts.index] - nll(model, refused.to(texts.index.device))
            gain_l = self.reference_l[texts.index] - nll(model, texts)
            yield -(2 / beta) * logsigmoid(beta * (gain_w - gain_l)).sum() / texts.step_items
        yield self.config.alpha * cross_entropy(model, batch.retain)
