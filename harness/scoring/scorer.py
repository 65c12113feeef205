"""Answer the requests of all metrics in one pass over the model.

Duplicates are dropped, requests about the same prompt share its key-value cache, prompts share a common
prefix, and only the last position of a prompt and the positions of an answer are projected to the vocabulary.
Batches hold prompts of exactly one length, so no prompt is padded and no score depends on what else is in
the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.types import Answer, Beginning, Measure, Request, Sample, TokenScores
from ..model.models import generation_ends
from ..model.tokens import PromptTokenizer
from .continuations import score_continuations
from .decode import Waiting, fits, greedy
from .forward import Prefill, pick_rows
from .requests import PromptRequests, batches, group_by_prompt


class Scorer:
    """Answers requests about one model. ``max_tokens`` bounds the tokens of a batch, nothing else."""

    def __init__(self, model: nn.Module, tokens: PromptTokenizer, max_tokens: int = 4096) -> None:
        self.model, self.tokens, self.max_tokens = model, tokens, max_tokens
        self.ends = frozenset(generation_ends(model, tokens.tokenizer))

    def measure(self, measures: Iterable[Measure]) -> list[Sample]:
        """The value of every measure, all of them from one pass."""
        measures = list(measures)
        answers = self.answer(request for measure in measures for request in measure.requests)
        samples = []
        for measure in measures:
            got = [answers[request] for request in measure.requests]
            written = got[0] if len(got) == 1 and isinstance(got[0], str) else None
            value = float(measure.value(*got))
            samples.append(Sample(measure.split, measure.metric, measure.fact_id, value, answer=written))
        return samples

    @torch.inference_mode()
    def answer(self, requests: Iterable[Request]) -> dict[Request, Answer]:
        """The answer to each distinct request."""
        was_training = self.model.training
        self.model.eval()
        requests = dict.fromkeys(requests)
        answers: dict[Request, Answer] = {
            r: self.tokens.beginning(r.text, r.tokens) for r in requests if isinstance(r, Beginning)
        }
        asked = [request for request in requests if not isinstance(request, Beginning)]
        pool: list[Waiting] = []
        prefill = Prefill(self.model)
        for batch in batches(group_by_prompt(self.tokens, asked), self.max_tokens, prefill.call):
            logits, cache = prefill([group.prompt for group in batch])
            answers.update(
                score_continuations(
                    self.model, batch, logits, cache, self.max_tokens, self.tokens.pad, prefill.call
                )
            )
            waiting = self._to_decode(batch, logits, cache, answers)
            if waiting and not fits(self.model, [*pool, waiting], self.max_tokens):
                self._decode(pool, answers)
                pool = []
            pool += [waiting] if waiting else []
        self._decode(pool, answers)
        self.model.train(was_training)
        return answers

    def _to_decode(
        self, batch: Sequence[PromptRequests], logits: Tensor, cache: Any, answers: dict[Request, Answer]
    ) -> Waiting | None:
        """The prompts of a batch that need decoding; greedy answers that are known already are written."""
        rows = []
        for row, group in enumerate(batch):
            if group.generations:
                if (known := known_greedy(group, answers, self.ends)) is None:
                    rows.append(row)
                else:
                    self._write(group, known, answers)
        if not rows:
            return None
        cache = pick_rows(cache, torch.tensor(rows, device=logits.device))
        return Waiting([batch[row] for row in rows], logits[rows].argmax(dim=-1), cache)

    def _decode(self, pool: Sequence[Waiting], answers: dict[Request, Answer]) -> None:
        """Greedy decoding of all prompts that wait, in step."""
        written = greedy(self.model, pool, self.ends) if pool else []
        groups = [group for waiting in pool for group in waiting.requests]
        for group, ids in zip(groups, written, strict=True):
            self._write(group, ids, answers)

    def _write(self, group: PromptRequests, ids: Sequence[int], answers: dict[Request, Answer]) -> None:
        for length, requests in group.generations.items():
            answers.update(dict.fromkeys(requests, self.tokens.decode(ids[:length])))


def known_greedy(
    group: PromptRequests, answers: Mapping[Request, Answer], ends: frozenset[int]
) -> list[int] | None:
    """The greedy answer without its end token, where a scored continuation is that answer.

    A continuation of which every token, the end token too, turned out to be the argmax is what greedy
    decoding would write: nothing is decoded for that prompt.
    """
    for ids, requests in group.continuations.items():
        if ids[-1:] and ids[-1] in ends and ends.isdisjoint(ids[:-1]):
            scores = next(answers[request] for request, n in requests if n == len(ids))
            if isinstance(scores, TokenScores) and scores.hits.all():
                return list(ids[:-1])
    return None
