"""Refusal training, the positive control: it hides by construction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn

from harness.core.base import Method
from harness.core.config import MethodConfig
from harness.model.losses import cross_entropy
from harness.model.tokens import answers_instead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.core.batch import Batch
    from harness.engine.unlearning import UnlearningJob


class Refusal(Method):
    """Refusal training: L = CE(refusal | D_f prompts) + CE(D_r).

    "PO" in TOFU (2401.06121), section 3.3. It teaches what to say, not to forget, and so stops when hardly a
    forget fact (one in twenty) is answered exactly any more. The refusal is that of the Ssiuu paper
    (2509.22263).
    """

    name = "refusal"
    paper = "2401.06121"
    stop = ("exact_match", 0.05)

    class Config(MethodConfig):
        refusal: str = Field("I can't answer the question.", min_length=1, description="the answer to give")

    def prepare(self, job: UnlearningJob) -> None:
        """Pair every forget question with the refusal."""
        self.tokens = job.tokens
        self.data = answers_instead(job.tokens, job.forget, self.config.refusal)

    def loss(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        """L = CE(refusal) + CE(D_r)."""
        assert batch.retain is not None
        index = batch.forget.index.tolist()
        each = len(self.data[0][1])  # every refusal has the same tokens
        refusals = self.tokens.collate(
            self.data, index, batch.forget.step_items, each * batch.forget.step_items
        )
        yield cross_entropy(model, refusals.to(batch.forget.labels.device))
        yield cross_entropy(model, batch.retain)
