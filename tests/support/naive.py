"""What a model says and how likely it finds a text, without a cache, a batch or a frame; and ROUGE-L."""

from __future__ import annotations

import re

import numpy as np
import torch
from nltk.stem.porter import PorterStemmer

STEM = PorterStemmer().stem


class Naive:
    """A model asked one text at a time, in float64 behind the logits."""

    def __init__(self, model, tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    @torch.no_grad()
    def log_p(self, ids: list[int]) -> np.ndarray:
        """(places, words) of the next token behind each place."""
        logits = self.model(torch.tensor([ids]), use_cache=False).logits[0].double().numpy()
        most = logits.max(axis=1, keepdims=True)
        return logits - most - np.log(np.exp(logits - most).sum(axis=1, keepdims=True))

    def continues(self, text: str, most: int) -> str:
        """The greedy continuation."""
        ids, written = self.ids(text), []
        while len(written) < most:
            best = int(self.log_p(ids + written)[-1].argmax())
            if best == self.tokenizer.eos_token_id:
                break
            written.append(best)
        return self.tokenizer.decode(written)

    def told(self, head: str, text: str) -> list[float]:
        """log p of each token of what follows the head; with no head, of all behind the first token."""
        before, ids = max(1, len(self.ids(head))), self.ids(f"{head} {text}" if head else text)
        log_p = self.log_p(ids)
        return [float(log_p[i - 1, ids[i]]) for i in range(before, len(ids))]


def words(text: str, stem: bool = True) -> list[str]:
    """As ``rouge_score`` has them."""
    found = re.findall("[a-z0-9]+", text.lower())
    return [STEM(word) if stem and len(word) > 3 else word for word in found]


def common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        last = 0
        for j, other in enumerate(b, 1):
            last, row[j] = row[j], last + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]


def recall(gold: str, said: str) -> float:
    """ROUGE-L recall, stemmed."""
    return common(words(gold), words(said)) / len(words(gold))
