"""One pass over a model answers the requests of all metrics.

Every metric says what it wants to know; here duplicates are dropped, requests about the same prompt share its
key-value cache, prompts that begin alike share their beginning, and only the last position of a prompt and
the positions of an answer are projected to the vocabulary. Batches hold prompts of exactly one length, so
no prompt is padded and no score depends on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.intervals import mean_interval
from ..core.types import Answer, LogLikelihood, Measure, Metric, Prompt, Request, Sample, TokenScores
from ..model.models import generation_ends
from ..model.tokens import PromptTokenizer
from .decode import Waiting, fits, greedy, share_structure
from .metrics import by_metric
from .requests import Asked, batches, collect
from .sampling import uniforms

SHARED_PREFIX = 8
"""Fewest tokens in common for which running a shared beginning once is worth another call."""


class Scorer:
    """Answers requests about one model. ``max_tokens`` bounds the tokens of a batch, nothing else."""

    def __init__(self, model: nn.Module, tokens: PromptTokenizer, max_tokens: int = 4096) -> None:
        self.model, self.tokens, self.max_tokens = model, tokens, max_tokens
        self.device = next(model.parameters()).device
        self.ends = frozenset(generation_ends(model, tokens.tokenizer))

    @torch.inference_mode()
    def answer(
        self, requests: Iterable[Request], advance: Callable[[int], None] = lambda done: None
    ) -> dict[Request, Answer]:
        """The answer to each distinct request. ``advance`` is told how many prompts are done."""
        was_training = self.model.training
        self.model.eval()
        answers: dict[Request, Answer] = {}
        pool: list[Waiting] = []
        for batch in batches(collect(self.tokens, requests), self.max_tokens):
            logits, cache = self._prefill([entry.prompt for entry in batch])
            self._continue(batch, logits, cache, answers)
            more = self._wait(batch, logits, cache, answers)
            if more and not fits(self.model, [*pool, more], self.max_tokens):
                self._decode(pool, answers)
                pool = []
            pool += [more] if more else []
            advance(len(batch))
        self._decode(pool, answers)
        self.model.train(was_training)
        return answers

    def measure(
        self, measures: Iterable[Measure], advance: Callable[[int], None] = lambda done: None
    ) -> list[Sample]:
        """The value of every measure, all of them from one pass."""
        measures = list(measures)
        answers = self.answer((r for measure in measures for r in measure.requests), advance)
        return [
            Sample(m.split, m.metric, m.fact_id, float(m.value(*(answers[r] for r in m.requests))))
            for m in measures
        ]

    def _forward(self, ids: Tensor, cache: Any = None, keep: int = 1) -> Any:
        return self.model(
            input_ids=ids.to(self.device), past_key_values=cache, use_cache=True, logits_to_keep=keep
        )

    def _prefill(self, prompts: Sequence[tuple[int, ...]]) -> tuple[Tensor, Any]:
        """Logits (B, V) behind each prompt, and the cache of the prompts."""
        ids = torch.tensor(prompts)
        same = (ids == ids[0]).all(dim=0).int()
        shared = min(int(same.cumprod(dim=0).sum()), ids.shape[1] - 1)
        if len(prompts) == 1 or shared < SHARED_PREFIX:
            output = self._forward(ids)
        else:
            cache = self._forward(ids[:1, :shared]).past_key_values
            cache.batch_repeat_interleave(len(prompts))
            output = self._forward(ids[:, shared:], cache)
        return output.logits[:, -1].float(), output.past_key_values

    def _continue(
        self, batch: Sequence[Asked], logits: Tensor, cache: Any, answers: dict[Request, Answer]
    ) -> None:
        """Log-probabilities of all continuations of all prompts of the batch."""
        todo = [(row, ids) for row, entry in enumerate(batch) for ids in entry.continuations]
        first = log_softmax(logits) if todo else logits
        best = logits.argmax(dim=-1).tolist()
        todo.sort(key=lambda item: len(item[1]))
        for chunk in self._chunks(todo, len(batch[0].prompt), logits.shape[-1]):
            rows = torch.tensor([row for row, _ in chunk])
            heads = torch.tensor([ids[0] if ids else 0 for _, ids in chunk])
            logprobs = [[value] for value in first[rows, heads].tolist()]
            hits = [[ids[:1] == (best[row],)] for row, ids in chunk]
            wide = [i for i, (row, ids) in enumerate(chunk) if wants_spread(batch[row].continuations[ids])]
            spreads = {i: [found] for i, found in zip(wide, spread(first[rows[wide]]).tolist(), strict=True)}
            if len(chunk[-1][1]) > 1:
                self._rest(chunk, rows, cache, logprobs, hits, spreads)
            for i, (row, ids) in enumerate(chunk):
                for request, n in batch[row].continuations[ids]:
                    scores = TokenScores(np.array(logprobs[i][:n]), np.array(hits[i][:n], dtype=bool))
                    if request.spread:
                        means, deviations = np.array(spreads[i][:n]).reshape(n, 2).T
                        scores = scores._replace(means=means, deviations=deviations)
                    answers[request] = scores

    def _rest(
        self,
        chunk: Sequence[tuple[int, tuple[int, ...]]],
        rows: Tensor,
        cache: Any,
        logprobs: list[list[float]],
        hits: list[list[bool]],
        spreads: dict[int, list[list[float]]],
    ) -> None:
        """Everything behind the first token, teacher-forced, padded on the right where causality hides it."""
        width = len(chunk[-1][1])
        ids = torch.tensor([[*ids, *[self.tokens.pad] * (width - len(ids))] for _, ids in chunk])
        mine = share_structure(cache)
        mine.batch_select_indices(rows.to(self.device))
        logits = self._forward(ids[:, :-1], mine, keep=width - 1).logits.float()
        targets = ids[:, 1:].to(self.device)
        # Not log_softmax(): that would write a second tensor as large as the logits.
        values = (logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(dim=-1)).tolist()
        right = (logits.argmax(dim=-1) == targets).tolist()
        for i in range(len(chunk)):
            logprobs[i] += values[i]
            hits[i] += right[i]
        for i in spreads:  # one at a time: these are as large as the logits
            spreads[i] += spread(log_softmax(logits[i])).tolist()

    def _chunks(self, todo: Sequence[Any], prompt: int, vocabulary: int) -> Iterator[list[Any]]:
        """Continuations in order of length: alike, and few enough for the limits of caches and logits."""
        chunk: list[Any] = []
        real = 0
        for item in todo:
            width = len(item[1])
            size = len(chunk) + 1
            if chunk and (
                size * (prompt + width) > 4 * self.max_tokens
                or size * width * vocabulary > LOGITS_LIMIT
                or size * width - (real + width) > PADDING
            ):
                yield chunk
                chunk, real = [], 0
            chunk.append(item)
            real += width
        if chunk:
            yield chunk

    def _known(self, entry: Asked, answers: Mapping[Request, Answer]) -> list[int] | None:
        """The greedy answer without its end, where a continuation has shown it.

        A continuation of which every token, the end token too, turned out to be the argmax is what greedy
        decoding would write: nothing is decoded for that prompt.
        """
        for ids, asked in entry.continuations.items():
            if ids[-1:] and ids[-1] in self.ends and self.ends.isdisjoint(ids[:-1]):
                scores = next(answers[request] for request, n in asked if n == len(ids))
                if isinstance(scores, TokenScores) and scores.hits.all():
                    return list(ids[:-1])
        return None

    def _wait(
        self, batch: Sequence[Asked], logits: Tensor, cache: Any, answers: dict[Request, Answer]
    ) -> Waiting | None:
        """What of a batch is to be decoded; answers that are known are given at once."""
        rows = []
        for row, entry in enumerate(batch):
            if entry.generations:
                if (known := self._known(entry, answers)) is None:
                    rows.append(row)
                else:
                    self._write(entry, known, answers)
        if not rows:
            return None
        mine = share_structure(cache)
        mine.batch_select_indices(torch.tensor(rows, device=self.device))
        return Waiting([batch[row] for row in rows], logits[rows].argmax(dim=-1), mine)

    def _decode(self, waiting: Sequence[Waiting], answers: dict[Request, Answer]) -> None:
        """Greedy decoding of all prompts that wait, in step."""
        written = greedy(self.model, waiting, self.ends) if waiting else []
        entries = [entry for part in waiting for entry in part.asked]
        for entry, ids in zip(entries, written, strict=True):
            self._write(entry, ids, answers)

    def _write(self, entry: Asked, ids: Sequence[int], answers: dict[Request, Answer]) -> None:
        for length, requests in entry.generations.items():
            answers.update(dict.fromkeys(requests, self.tokens.decode(ids[:length])))

    @torch.inference_mode()
    def draw(
        self, prompts: Sequence[Prompt], n: int, max_new_tokens: int, seed: int, temperature: float = 1.0
    ) -> list[list[tuple[int, ...]]]:
        """``n`` sampled answers to each prompt as token ids without the end token; the same for a seed.

        Each prompt has its own stream of random numbers, so no answer depends on what else is asked.
        """
        asked = [Asked(head) for head, _ in self.tokens.encode([(prompt, "") for prompt in prompts])]
        order = sorted(range(len(asked)), key=lambda row: len(asked[row].prompt))
        answers: list[list[tuple[int, ...]]] = [[] for _ in prompts]
        done = 0
        for batch in batches([asked[row] for row in order], max(1, self.max_tokens // n)):
            rows = order[done : done + len(batch)]
            done += len(batch)
            uniform = torch.cat([uniforms(seed, prompts[row], n, max_new_tokens) for row in rows])
            logits, cache = self._prefill([entry.prompt for entry in batch])
            cache.batch_repeat_interleave(n)
            written = self._sampled(logits.repeat_interleave(n, dim=0), cache, uniform, temperature)
            for i, row in enumerate(rows):
                answers[row] = written[i * n : (i + 1) * n]
        return answers

    def _sampled(
        self, logits: Tensor, cache: Any, uniform: Tensor, temperature: float
    ) -> list[tuple[int, ...]]:
        """An answer for each row of logits (R, V), inverting the distribution at ``uniform`` (R, steps)."""
        written: list[list[int]] = [[] for _ in range(len(logits))]
        going = set(range(len(logits)))
        for step in range(uniform.shape[1]):
            cumulative = (logits.double().cpu() / temperature).softmax(dim=-1).cumsum(dim=-1)
            drawn = torch.searchsorted(cumulative, uniform[:, step : step + 1] * cumulative[:, -1:])[:, 0]
            for row, token in enumerate(drawn.tolist()):
                if token in self.ends:
                    going.discard(row)
                elif row in going:
                    written[row].append(token)
            if not going:
                break
            logits = self._forward(drawn[:, None], cache).logits[:, -1].float()
        return [tuple(ids) for ids in written]


PADDING = 256
"""Most tokens of padding in a call that scores continuations: about what another call costs."""

LOGITS_LIMIT = 2**27
"""Most numbers in one tensor of logits: half a gigabyte in float32."""


def log_softmax(logits: Tensor) -> Tensor:
    """Over the vocabulary, in float32."""
    return nn.functional.log_softmax(logits, dim=-1)


def wants_spread(requests: Iterable[tuple[LogLikelihood, int]]) -> bool:
    """True when one of the requests asks for the spread over the vocabulary."""
    return any(request.spread for request, _ in requests)


def spread(logprobs: Tensor) -> Tensor:
    """Mean and standard deviation (..., 2) of log-probabilities (..., V) under the distribution they are of.

    What is impossible counts for nothing: p log p goes to 0 with p.
    """
    p = logprobs.exp()
    finite = logprobs.clamp(min=-1e4)
    mean = (p * finite).sum(dim=-1)
    variance = (p * (finite - mean[..., None]).square()).sum(dim=-1)
    return torch.stack([mean, variance.sqrt()], dim=-1)


def summarise(samples: Iterable[Sample]) -> list[Metric]:
    """Mean and 95 % interval over facts of each metric on each split."""
    return [
        Metric(split, metric, float(np.mean(numbers)), *mean_interval(numbers), n=len(numbers))
        for (split, metric), numbers in by_metric(samples).items()
    ]
