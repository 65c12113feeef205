"""From prompts and answers to token ids, and to the batches methods see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..core import tokenizer as manual
from ..core.batch import IGNORED, Encoded, TokenBatch
from ..core.frame import DEFAULT, Frame
from ..core.types import Example, Prompt
from ..errors import ModelError
from . import template
from .framing import framing_of


class PromptTokenizer(manual.PromptTokenizer):
    """A tokenizer of transformers, used as :class:`harness.core.tokenizer.PromptTokenizer` says."""

    def __init__(self, tokenizer: Any, frame: Frame = DEFAULT) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError("The tokenizer has no end-of-sequence token: set eos_token and save it again.")
        template.check(tokenizer)
        self.tokenizer = tokenizer
        self.framing = framing_of(tokenizer, frame)
        self.tail = self.framing.tail
        self._known: dict[tuple[Prompt, str], Encoded] = {}  # the same facts are scored again and again
        self.end: int = tokenizer.eos_token_id
        self.pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.end
        probe = tokenizer("a").input_ids
        bos = tokenizer.bos_token_id
        self.start: tuple[int, ...] = (bos,) if bos is not None and probe[:1] == [bos] else ()

    def frame(self, prompt: Prompt) -> str:
        if prompt.running:
            return "".join(f"{asked} {said}\n\n" for asked, said in prompt.shots) + prompt.opening
        return self.framing.head(prompt)

    def encode(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Encoded]:
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if missing:
            self._known.update(zip(missing, self._encode(missing), strict=True))
        return [self._known[pair] for pair in pairs]

    def _encode(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Encoded]:
        heads = [self.frame(prompt) for prompt, _ in pairs]
        wholes = [
            f"{head}{self.framing.between(prompt) if head else ''}{text}" if text else head
            for head, (prompt, text) in zip(heads, pairs, strict=True)
        ]
        ids = self.tokenizer([*heads, *wholes], add_special_tokens=False).input_ids
        encoded, half = [], len(pairs)
        for (prompt, _), head, whole in zip(pairs, ids[:half], ids[half:], strict=True):
            start = self.start if self.framing.opens or prompt.running else ()
            before = (*start, *(whole[: len(head)] if self.framing.joint else head))
            after = tuple(whole[len(head) :])
            # Running text from its very beginning: the first token is given, and the others are learned.
            encoded.append((before, after) if before else (after[:1], after[1:]))
        return encoded

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def beginning(self, text: str, tokens: int) -> str:
        return self.decode(self.tokenizer(text, add_special_tokens=False).input_ids[:tokens])

    def examples(self, examples: Sequence[Example]) -> list[Encoded]:
        pairs = self.encode([(example.prompt, example.answer) for example in examples])
        return [(prompt, (*answer, *self.tail)) for prompt, answer in pairs]

    def collate(
        self, data: Sequence[Encoded], index: Sequence[int], step_items: int, step_tokens: int
    ) -> TokenBatch:
        rows = [data[i] for i in index]
        width = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids = torch.full((len(rows), width), self.pad)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        labels = torch.full((len(rows), width), IGNORED)
        for i, (prompt, answer) in enumerate(rows):
            begin = width - len(prompt) - len(answer)
            ids[i, begin:] = torch.tensor([*prompt, *answer])
            mask[i, begin:] = 1
            labels[i, begin + len(prompt) :] = torch.tensor(answer)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        return TokenBatch(ids, mask, positions, labels, torch.tensor(list(index)), step_items, step_tokens)

    def runs(self, data: Sequence[Encoded], size: int, device: torch.device) -> Iterator[TokenBatch]:
        for i in range(0, len(data), size):
            yield self.collate(data, range(i, min(i + size, len(data))), 1, 1).to(device)
