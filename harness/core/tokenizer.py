"""What a plugin may ask of the tokenizer. These docstrings are its manual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .batch import Encoded, TokenBatch
from .types import Example, Prompt

if TYPE_CHECKING:
    import torch


class PromptTokenizer(Protocol):
    """A tokenizer with the harness's conventions: how a prompt is framed and where an answer begins."""

    tokenizer: Any
    """The tokenizer of transformers."""
    end: int
    """Id of the end-of-sequence token."""
    tail: tuple[int, ...]
    """Ids behind every answer that is trained on: the end-of-sequence token, and what a frame puts before."""
    pad: int
    """Id that fills batches."""
    start: tuple[int, ...]
    """What the tokenizer puts before a text: its beginning-of-sequence token, or nothing."""

    def frame(self, prompt: Prompt) -> str:
        """The text before what is asked for, as the run's frame has it: the chat template's, or
        ``Question: ... Answer:``."""

    def encode(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Encoded]:
        """Token ids of each prompt and of its continuation, without an end token.

        A continuation is what is left of the joint text's tokens behind the prompt's, so that a tokenizer
        that merges across spaces is met as it is in running text. Where nothing comes before a text, its
        first token is the prompt.
        """

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids, without special tokens."""

    def beginning(self, text: str, tokens: int) -> str:
        """The text of a text's first ``tokens`` tokens."""

    def examples(self, examples: Sequence[Example]) -> list[Encoded]:
        """Token ids of training examples; each answer ends with :attr:`tail`."""

    def collate(
        self, data: Sequence[Encoded], index: Sequence[int], step_items: int, step_tokens: int
    ) -> TokenBatch:
        """Pad the chosen examples on the left into one batch."""

    def runs(self, data: Sequence[Encoded], size: int, device: torch.device) -> Iterator[TokenBatch]:
        """All examples in their order, ``size`` at a time, to be looked at and not to be trained on."""
