"""From prompts and answers to token ids, and to the batches methods see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..core import tokenizer as manual
from ..core.batch import IGNORED, Encoded, TokenBatch
from ..core.types import Example, Prompt
from ..errors import ModelError
from . import template


class PromptTokenizer(manual.PromptTokenizer):
    """A tokenizer of transformers, used as :class:`harness.core.tokenizer.PromptTokenizer` says."""

    def __init__(self, tokenizer: Any) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError("The tokenizer has no end-of-sequence token: set eos_token and save it again.")
        template.check(tokenizer)
        self.tokenizer = tokenizer
        self._known: dict[tuple[Prompt, str], Encoded] = {}  # the same facts are scored again and again
        self.end: int = tokenizer.eos_token_id
        self.pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.end
        probe = tokenizer("a").input_ids
        bos = tokenizer.bos_token_id
        self.start: tuple[int, ...] = (bos,) if bos is not None and probe[:1] == [bos] else ()

    def frame(self, prompt: Prompt) -> str:
        if prompt.literal and not prompt.text:  # a passage: nothing comes before it
            return ""
        if self.tokenizer.chat_template:
            said = [part for shot in prompt.shots for part in shot]
            turns = [
                {"role": "assistant" if i % 2 else "user", "content": text}
                for i, text in enumerate([*said, prompt.text])
            ]
            return template.render(self.tokenizer, turns) + prompt.opening
        shots = "".join(f"Question: {question}\nAnswer: {answer}\n\n" for question, answer in prompt.shots)
        head = shots + (prompt.text if prompt.literal else f"Question: {prompt.text}\nAnswer:")
        return f"{head} {prompt.opening}" if prompt.opening else head

    def encode(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Encoded]:
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if missing:
            self._known.update(zip(missing, self._encode(missing), strict=True))
        return [self._known[pair] for pair in pairs]

    def _encode(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Encoded]:
        heads = [self.frame(prompt) for prompt, _ in pairs]
        chat = bool(self.tokenizer.chat_template)
        glues = [
            "" if not head or (chat and not prompt.opening) else " "
            for head, (prompt, _) in zip(heads, pairs, strict=True)
        ]
        wholes = [
            f"{head}{glue}{text}" if text else head
            for head, glue, (_, text) in zip(heads, glues, pairs, strict=True)
        ]
        ids = self.tokenizer([*heads, *wholes], add_special_tokens=False).input_ids
        half = len(pairs)
        return [
            ((*(() if chat and text else self.start), *head), tuple(whole[len(head) :]))
            for text, head, whole in zip(heads, ids[:half], ids[half:], strict=True)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def examples(self, examples: Sequence[Example]) -> list[Encoded]:
        pairs = self.encode([(example.prompt, example.answer) for example in examples])
        return [(prompt, (*answer, self.end)) for prompt, answer in pairs]

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
