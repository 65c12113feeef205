"""The one pass of the scorer against the obvious way: each metric by itself, padded batches of 32.

    python tests/perf/one_pass.py               tofu-mini and faithun-mini, untrained embedded model
    python tests/perf/one_pass.py --tofu DIR    the whole of TOFU (forget10), from the authors' files

For TOFU, a byte-pair tokenizer of 4,096 words and a Llama of 2 M parameters are trained on its text for two
passes (a minute), so that answers end about where they should. Times are CPU time of one thread.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from harness.core.types import Answer, Generate, LogLikelihood, Measure, Request, TokenScores
from harness.engine.targets import fit
from harness.model.embedded import Tiny, tiny_model, word_tokenizer
from harness.model.tokens import PromptTokenizer
from harness.plugins.registry import Registry
from harness.scoring.continuations import log_softmax, spread
from harness.scoring.scorer import Scorer

BATCH = 32


class Obvious:
    """Pads on the left, projects every position, asks for everything anew."""

    def __init__(self, model: Any, tokens: PromptTokenizer) -> None:
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
        logprobs = log_softmax(logits.float())[:, :-1]
        found: dict[Request, Answer] = {}
        for request, row, answer in zip(requests, logprobs, answers, strict=True):
            tail = row[len(row) - len(answer) :]
            target = torch.tensor(answer, dtype=torch.long)
            hits = (tail.argmax(-1) == target).numpy()
            wide = spread(tail).numpy().T if request.spread else (None, None)
            found[request] = TokenScores(tail.gather(1, target[:, None])[:, 0].numpy(), hits, *wide)
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


def minis() -> Iterator[tuple[str, Any, Any, Any]]:
    """Name, model, tokens and benchmark with its splits, of the embedded worlds."""
    for name in ("tofu-mini", "faithun-mini"):
        benchmark: Any = Registry().benchmark(name).load()()
        splits = benchmark.load()
        tokenizer = word_tokenizer(benchmark.training(splits).vocabulary)
        model = tiny_model(Tiny(), len(tokenizer), tokenizer.eos_token_id).eval()
        yield name, model, PromptTokenizer(tokenizer), list(benchmark.measures(splits))


def whole_tofu(directory: Path) -> tuple[str, Any, Any, Any]:
    """The same of all of TOFU, with a small model that has read it."""
    cls: Any = Registry().benchmark("tofu").load()
    benchmark = cls()
    benchmark.data = directory
    splits = benchmark.load()
    corpus = benchmark.training(splits).original
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    texts = [f"Question: {example.prompt.text}\nAnswer: {example.answer}" for example in corpus]
    bpe.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=4096, special_tokens=["<pad>", "<end>"]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", eos_token="<end>")
    tiny = replace(Tiny(), hidden_size=192, intermediate_size=512, initializer_range=0.02)
    model = tiny_model(tiny, len(tokenizer), tokenizer.eos_token_id)
    model.config.max_position_embeddings = 512
    fit(model, PromptTokenizer(tokenizer), corpus, 2, 2e-3, 32, lambda step, steps: None)
    return "tofu", model.eval(), PromptTokenizer(tokenizer), list(benchmark.measures(splits))


def compare(name: str, model: Any, tokens: PromptTokenizer, measures: list[Measure], rounds: int) -> None:
    """Measure both ways, ``rounds`` times, and keep the last time of each."""
    by_metric: dict[tuple[str, str], list[Request]] = defaultdict(list)
    for measure in measures:
        by_metric[measure.split, measure.metric] += measure.requests
    times, found = {}, {}
    for way in ("obvious", "one_pass") * rounds:
        begun = time.process_time()
        if way == "obvious":
            parts = [Obvious(model, tokens).answer(requests) for requests in by_metric.values()]
            found[way] = {r: a for part in parts for r, a in part.items()}
        else:
            found[way] = Scorer(model, tokens).answer(r for m in measures for r in m.requests)
        times[way] = time.process_time() - begun
    worst = max(
        float(np.abs(a.logprobs - found["one_pass"][r].logprobs).max(initial=0.0))  # type: ignore[union-attr]
        for r, a in found["obvious"].items()
        if isinstance(a, TokenScores)
    )
    texts = [(a, found["one_pass"][r]) for r, a in found["obvious"].items() if isinstance(a, str)]
    same = sum(a == b for a, b in texts)
    print(
        f"{name}: {len(measures)} measures, {sum(map(len, by_metric.values()))} requests, "
        f"{len(found['one_pass'])} distinct; {times['obvious']:.0f} s against {times['one_pass']:.0f} s, "
        f"{times['obvious'] / times['one_pass']:.1f} times as fast; log-probabilities differ by {worst:.1e} "
        f"at most; {same} of {len(texts)} texts are the same"
    )


def main() -> None:
    """Compare on the embedded worlds, or on the whole of TOFU."""
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--tofu"]:
        compare(*whole_tofu(Path(sys.argv[2])), rounds=1)
        return
    for subject in minis():
        compare(*subject, rounds=2)


if __name__ == "__main__":
    main()
