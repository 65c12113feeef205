"""The one pass of the scorer against the obvious way: each metric by itself, padded batches of 32.

    python tests/perf/one_pass.py

Both answer the same requests of tofu-mini and faithun-mini on the same untrained model of the embedded size.
Prints the ratio of the times, the tokens that went through the model, and the largest difference.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from harness.registry import Registry
from harness.score import Scorer
from harness.targets import Tiny, tiny_model, word_tokenizer
from harness.tokens import Tokens
from harness.types import Answer, Generate, LogLikelihood, Measure, Request, TokenScores

BATCH = 32


class Obvious:
    """Pads on the left, projects every position, asks for everything anew."""

    def __init__(self, model: Any, tokens: Tokens) -> None:
        self.model, self.tokens = model, tokens

    @torch.inference_mode()
    def answer(self, requests: list[Request]) -> dict[Request, Answer]:
        """Answer the requests of one metric."""
        answers: dict[Request, Answer] = {}
        for kind, respond in ((LogLikelihood, self._score), (Generate, self._generate)):
            chosen = [request for request in requests if isinstance(request, kind)]
            for i in range(0, len(chosen), BATCH):
                answers.update(respond(chosen[i : i + BATCH]))
        return answers

    def _pad(self, rows: list[tuple[int, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, rows))
        ids = torch.tensor([[self.tokens.pad] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return ids, mask

    def _score(self, requests: list[Any]) -> dict[Request, Answer]:
        pairs = self.tokens.encode([(r.prompt, r.continuation) for r in requests])
        answers = [
            a + ((self.tokens.end,) if r.end else ()) for r, (_, a) in zip(requests, pairs, strict=True)
        ]
        ids, mask = self._pad([p + a for (p, _), a in zip(pairs, answers, strict=True)])
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = self.model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        logprobs = logits.float().log_softmax(-1)[:, :-1]
        found: dict[Request, Answer] = {}
        for request, row, answer in zip(requests, logprobs, answers, strict=True):
            tail = row[len(row) - len(answer) :]
            target = torch.tensor(answer, dtype=torch.long)
            hits = (tail.argmax(-1) == target).numpy()
            found[request] = TokenScores(tail.gather(1, target[:, None])[:, 0].numpy(), hits)
        return found

    def _generate(self, requests: list[Any]) -> dict[Request, Answer]:
        pairs = self.tokens.encode([(r.prompt, "") for r in requests])
        ids, mask = self._pad([p for p, _ in pairs])
        longest = max(r.max_new_tokens for r in requests)
        out = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=longest,
            do_sample=False,
            pad_token_id=self.tokens.pad,
        )
        return {r: self.tokens.decode(row[ids.shape[1] :]) for r, row in zip(requests, out, strict=True)}


def main() -> None:
    """Measure both ways, twice, and keep the second time of each."""
    torch.set_num_threads(1)
    registry = Registry()
    for name in ("tofu-mini", "faithun-mini"):
        benchmark: Any = registry.benchmark(name).load()()
        splits = benchmark.load()
        tokenizer = word_tokenizer(benchmark.training(splits).vocabulary)
        model = tiny_model(Tiny(), len(tokenizer), tokenizer.eos_token_id).eval()
        tokens = Tokens(tokenizer)
        measures: list[Measure] = list(benchmark.measures(splits))
        by_metric: dict[tuple[str, str], list[Request]] = defaultdict(list)
        for measure in measures:
            by_metric[measure.split, measure.metric] += measure.requests

        times, found = {}, {}
        for way in ("obvious", "one_pass") * 2:
            begun = time.perf_counter()
            if way == "obvious":
                parts = [Obvious(model, tokens).answer(requests) for requests in by_metric.values()]
                found[way] = {r: a for part in parts for r, a in part.items()}
            else:
                found[way] = Scorer(model, tokens).answer(r for m in measures for r in m.requests)
            times[way] = time.perf_counter() - begun
        worst = max(
            float(np.abs(a.logprobs - found["one_pass"][r].logprobs).max(initial=0.0))  # type: ignore[union-attr]
            for r, a in found["obvious"].items()
            if isinstance(a, TokenScores)
        )
        texts = [(a, found["one_pass"][r]) for r, a in found["obvious"].items() if isinstance(a, str)]
        same = sum(a == b for a, b in texts)
        print(
            f"{name}: {len(measures)} measures, {sum(map(len, by_metric.values()))} requests, "
            f"{len(found['one_pass'])} distinct; one pass is {times['obvious'] / times['one_pass']:.1f} "
            f"times as fast; log-probabilities differ by {worst:.1e} at most; "
            f"{same} of {len(texts)} texts are the same"
        )


if __name__ == "__main__":
    main()
