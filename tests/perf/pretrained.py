"""What a pretrained model costs on a CPU: a step of gd against a bare loop, a look, and a screening.

    python tests/perf/pretrained.py [--threads 2] [--steps 5] [--frame plain]

SmolLM2-135M on `countries`, as `harness run --model smollm2` has it. The bare loop is PyTorch's own: the same
batches through the same model, logits of the answer positions, and AdamW. Both take the same steps in turns,
from the same weights; best of each is reported, and what the losses are afterwards.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from harness.core.frame import Frame
from harness.core.types import Splits
from harness.engine import screening
from harness.engine.source import Source
from harness.engine.under_test import ModelUnderTest
from harness.model import loading, models
from harness.model.steps import forget_steps
from harness.model.tokens import PromptTokenizer
from harness.model.train import train
from harness.plugins.registry import Registry


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


def bare(model: Any, steps: Any) -> float:
    """Gradient difference as one would write it without a harness; the last loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.01, fused=True)
    loss = torch.zeros(())
    for [batch] in steps:
        total = 0.0
        for texts, sign in ((batch.forget, -1), (batch.retain, 1)):
            width = int((texts.labels != -100).sum(dim=1).max())
            logits = model(
                input_ids=texts.input_ids,
                attention_mask=texts.attention_mask,
                position_ids=texts.position_ids,
                logits_to_keep=width + 1,
                use_cache=False,
            ).logits[:, -width - 1 : -1]
            loss = sign * F.cross_entropy(logits.flatten(0, 1), texts.labels[:, -width:].flatten())
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
    return total


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--frame", default="plain")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    source = Source("smollm2", frame=Frame(chosen.frame)).planned()
    model, tokenizer = loading.load(source.local())
    tokens, registry = PromptTokenizer(tokenizer, source.frame), Registry()
    benchmark = registry.kinds["benchmark"]["countries"].load()()
    subject = ModelUnderTest(model, tokens, benchmark, benchmark.load(), source.protocol)
    screened, samples = timed(lambda: screening.ask(subject))
    subject.splits, _ = screening.apply(benchmark, subject.splits, samples)
    forget = Splits({"forget": subject.splits["forget"]})
    look, _ = timed(lambda: subject.score(forget, [benchmark.forget_metric]))
    whole, _ = timed(lambda: subject.score(subject.splits))

    texts = [subject.encode(subject.splits[name]) for name in ("forget", "retain")]
    size = source.protocol.batch_size
    steps = list(forget_steps(tokens, *texts, size, chosen.steps, seed=0))
    gd = registry.kinds["method"]["gd"].load()
    method = gd(gd.Config())

    def ours() -> float:
        optimizer = method.optimizer(list(model.parameters()), 1e-6)
        return train(model, steps, method.loss, [optimizer]).seconds

    original, best = models.snapshot(model), {"harness": float("inf"), "bare loop": float("inf")}
    for _ in range(3):
        for name, work in (("bare loop", lambda: bare(model, steps)), ("harness", ours)):
            models.restore(model, original)
            best[name] = min(best[name], timed(work)[0] / chosen.steps)
    print(f"threads {chosen.threads}, {models.size(model):,} parameters, {torch.__version__}")
    print(f"screening of {len(samples)} facts  {screened:6.1f} s")
    print(f"evaluation             {whole:6.1f} s")
    print(f"look at the forget set {look:6.1f} s")
    for name, seconds in best.items():
        print(f"step of gd, {name:10} {seconds:6.2f} s")
    print(f"harness / bare loop    {best['harness'] / best['bare loop']:6.2f}")


if __name__ == "__main__":
    main()
