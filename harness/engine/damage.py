"""Damage: how far a model has moved from the original on text that nobody asked it to forget."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, linear

from ..core.batch import IGNORED
from ..core.types import Fact
from ..errors import HarnessError
from ..model import models
from ..model.losses import answer_logits, full_precision
from .under_test import ModelUnderTest

NEUTRAL = 128
"""Facts that are looked at, the first of the benchmark's neutral splits."""

BATCH = 32


class Damage:
    """KL(pi_0 || pi) in nats, the mean over the answer tokens of neutral facts.

    Of the original only the hidden states before its output matrix are kept, and that matrix: no second
    model. Raises HarnessError where the benchmark names no neutral splits, or where the logits of this family
    are not that matrix times these states.
    """

    def __init__(self, subject: ModelUnderTest) -> None:
        names = subject.benchmark.neutral
        facts: list[Fact] = [fact for name in names for fact in subject.splits.get(name, ())][:NEUTRAL]
        if not facts:
            raise HarnessError(
                f"--stop: the benchmark '{subject.benchmark.name}' names no text that should stay as it is "
                "(`neutral`), and so its damage cannot be measured."
            )
        self.subject, self.data = subject, subject.encode(facts)
        head: Any = subject.model.get_output_embeddings()  # type: ignore[operator]
        self.matrix = models.whole(head.weight.detach()).clone()
        bias = getattr(head, "bias", None)
        self.bias = None if bias is None else models.whole(bias.detach()).clone()
        self.states = list(self._states(head))

    def kl(self) -> float:
        """How far the model as it is has moved."""
        total, tokens = 0.0, 0
        with torch.no_grad():
            for texts, states in zip(self._batches(), self.states, strict=True):
                logits, labels = answer_logits(self.subject.model, texts)
                now = full_precision(logits[labels != IGNORED]).log_softmax(dim=-1)
                before = self._logits(states).log_softmax(dim=-1)
                total += float(kl_div(now, before, reduction="sum", log_target=True))
                tokens += len(states)
        return total / tokens

    def _batches(self) -> Any:
        device = next(self.subject.model.parameters()).device
        return self.subject.tokens.runs(self.data, BATCH, device)

    def _logits(self, states: Tensor) -> Tensor:
        return full_precision(linear(states, self.matrix, self.bias))

    def _states(self, head: nn.Module) -> Any:
        """What the output matrix is multiplied with at the answer tokens, batch by batch."""
        seen: list[Tensor] = []
        hook = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
        try:
            with torch.no_grad():
                for texts in self._batches():
                    logits, labels = answer_logits(self.subject.model, texts)
                    chosen = labels != IGNORED
                    # The head sees one position more than is asked for, as answer_logits does.
                    states = seen.pop()[:, -labels.shape[1] - 1 : -1][chosen]
                    own = full_precision(logits[chosen])
                    if not torch.allclose(self._logits(states), own, atol=1e-3, rtol=1e-3):
                        raise HarnessError(
                            f"--stop: the logits of {type(self.subject.model).__name__} are not its output "
                            "matrix times its hidden states, and so its damage cannot be measured."
                        )
                    yield states
        finally:
            hook.remove()


class Limit:
    """Keeps a model within a limit of damage while it trains: as it was at the last look that was within.

    Of several learning rates it remembers the model that forgot most.
    """

    def __init__(self, subject: ModelUnderTest, most: float) -> None:
        self.damage, self.most, self.model = Damage(subject), most, subject.model
        self.offload = subject.savings.offload
        self.kept: tuple[float, models.Weights, dict[str, Any]] | None = None

    def begin(self) -> None:
        """Begin a rate, from the weights there are."""
        self.within = models.snapshot(self.model, self.offload)
        self.step, self.kl, self.score, self.beyond = 0, 0.0, float("inf"), False

    def exceeded(self, step: int, score: float) -> bool:
        """Whether the model is beyond the limit; it is then what it was at the last look."""
        kl = self.damage.kl()
        self.beyond = not kl <= self.most
        if self.beyond:
            models.restore(self.model, self.within)
        else:
            self.within, self.step, self.kl, self.score = (
                models.snapshot(self.model, self.offload),
                step,
                kl,
                score,
            )
        return self.beyond

    def keep(self, notes: dict[str, Any]) -> None:
        """Remember what a rate left, if it forgot more than those before."""
        found = {**notes, "steps": self.step, "kl": self.kl, "stopped_by_damage": self.beyond}
        if self.kept is None or self.score < self.kept[0]:
            self.kept = self.score, models.snapshot(self.model, self.offload), found

    def restore_best(self) -> dict[str, Any]:
        """Make the model the one that forgot most, and return its notes."""
        assert self.kept is not None
        _, weights, notes = self.kept
        models.restore(self.model, weights)
        return notes
