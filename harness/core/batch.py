"""Padded batches of token ids, as losses see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of every position that is no answer token, as in transformers."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """A batch of prompts with their answers, padded on the left so that all answers end in the last column.

    input_ids, attention_mask, position_ids, labels: (B, T) long; labels are IGNORED outside the answer,
    which includes the end-of-sequence token. ``index`` (B,) are positions in the dataset.
    ``step_items`` and ``step_tokens`` count sequences and answer tokens of the *whole* optimisation step this
    is a part of.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    index: torch.Tensor
    step_items: int
    step_tokens: int

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    @property
    def token_count(self) -> int:
        """Tokens of the batch, without padding."""
        return int(self.attention_mask.sum())

    @property
    def answer_width(self) -> int:
        """Columns from the right that hold all answer tokens of the batch."""
        return int((self.labels != IGNORED).sum(dim=1).max())

    def to(self, device: torch.device) -> TokenBatch:
        """The same batch on ``device``."""
        return self._each(lambda tensor: tensor.to(device))

    def parts(self, count: int) -> list[TokenBatch]:
        """The batch in ``count`` parts, or one for each text, that know the size of the step as it does."""
        size = -(-len(self) // count)
        rows = [slice(i, i + size) for i in range(0, len(self), size)]
        return [self._each(lambda tensor, chosen=chosen: tensor[chosen]) for chosen in rows]  # type: ignore[misc]

    def is_even(self, count: int) -> bool:
        """Whether its texts can be dealt out to so many evenly."""
        return len(self) % count == 0

    def share(self, number: int, count: int) -> TokenBatch:
        """What one of ``count`` gets of its texts, dealt out in turn; the step is as large as before."""
        return self._each(lambda tensor: tensor[number::count])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> TokenBatch:
        names = ("input_ids", "attention_mask", "position_ids", "labels", "index")
        return replace(self, **{name: change(getattr(self, name)) for name in names})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call of a method's loss sees: forget texts, and as many retain texts."""

    forget: TokenBatch
    retain: TokenBatch

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        return Batch(self.forget.to(device), self.retain.to(device))

    def is_even(self, count: int) -> bool:
        """Whether the texts of both can be dealt out to so many evenly."""
        return self.forget.is_even(count) and self.retain.is_even(count)

    def share(self, number: int, count: int) -> Batch:
        """What one of ``count`` gets of both."""
        return Batch(self.forget.share(number, count), self.retain.share(number, count))

    @property
    def token_count(self) -> int:
        """Tokens of both, without padding."""
        return self.forget.token_count + self.retain.token_count


@dataclass(frozen=True, slots=True)
class Stage:
    """Optimisation steps at which some forget facts are forgotten, and the others are kept with the rest."""

    steps: int
    forget: tuple[int, ...] | None = None
    """Positions in the forget set; None is all of it."""


Encoded = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a prompt, and of the answer that follows it."""


def answer_tokens(data: Sequence[Encoded], index: Iterable[int] | None = None) -> int:
    """Number of answer tokens of all examples, or of those chosen."""
    chosen = range(len(data)) if index is None else index
    return sum(len(data[i][1]) for i in chosen)
