"""What a GPU makes of it: steps of four methods and a bare loop, one evaluation, and the memory they take.

    python tests/perf/gpu.py [--size 1b] [--lora] [--steps 10] [method ...]

A Llama of 1B or 8B parameters with random weights in bfloat16, as Llama-3.2-1B and Llama-3.1-8B are shaped,
on the facts of `tofu-mini` (32 to forget and 32 to keep in a step). Methods step float32 masters; so does the
bare loop, written without the harness: it keeps the masters itself and calls the same fused AdamW. With
`--lora` methods train adapters of rank 16, and the bare loop the same ones. Prints a Markdown table: median
milliseconds of a step, GiB at the peak, and tokens a second.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from harness.core.types import Splits
from harness.engine.job import Training
from harness.engine.protocol import PUBLISHED, with_protocol
from harness.engine.rates import RateSearch
from harness.engine.under_test import ModelUnderTest
from harness.engine.unlearning import UnlearningJob
from harness.model import models, train
from harness.model.embedded import word_tokenizer
from harness.model.lora import adapters
from harness.model.steps import forget_steps
from harness.model.tokens import PromptTokenizer
from harness.plugins.registry import Registry

SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4},
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
    },
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
}
WORDS, BATCH, WARM, RATE = 128_256, 32, 3, 1e-6
BARE, EVALUATION = "bare loop", "evaluation"


def build(size: str, device: torch.device, tokenizer: Any) -> Any:
    """The model; the smallest has no more words than it needs, for trying this out."""
    config = LlamaConfig(
        **SHAPES[size],
        num_key_value_heads=SHAPES[size]["num_attention_heads"] // 4,
        vocab_size=len(tokenizer) if size == "tiny" else WORDS,
        tie_word_embeddings=size != "8b",
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


class Clock:
    """Milliseconds between ticks, each taken when the device has done what it was told."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.ticks = device, []

    def tick(self) -> bool:
        """Look at the clock; never ends a training."""
        wait(self.device)
        self.ticks.append(time.perf_counter())
        return False

    @property
    def step(self) -> float:
        """The median, without those in which everything is made for the first time."""
        laps = [1e3 * (b - a) for a, b in zip(self.ticks, self.ticks[1:], strict=False)]
        return statistics.median(laps[WARM:])


def wait(device: torch.device) -> None:
    """Until it has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bare(model: Any, steps: list[Any], parameters: list[Any], clock: Clock) -> None:
    """Gradient difference with float32 masters as one would write it without a harness."""
    coarse = [p for p in parameters if p.dtype != torch.float32]
    masters = {p: p.detach().float() for p in coarse}
    optimizer = torch.optim.AdamW(
        [masters.get(p, p) for p in parameters], lr=RATE, weight_decay=0.01, fused=True
    )
    for [batch] in steps:
        for texts, sign in ((batch.forget, -1), (batch.retain, 1)):
            texts = texts.to(clock.device)
            width = int((texts.labels != -100).sum(dim=1).max())
            logits = model(
                input_ids=texts.input_ids,
                attention_mask=texts.attention_mask,
                position_ids=texts.position_ids,
                logits_to_keep=width + 1,
                use_cache=False,
            ).logits[:, -width - 1 : -1]
            (
                sign * F.cross_entropy(logits.float().flatten(0, 1), texts.labels[:, -width:].flatten())
            ).backward()
        for p in coarse:
            masters[p].grad, p.grad = p.grad.float(), None
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for p in coarse:
                p.copy_(masters[p])
        clock.tick()


def harnessed(name: str, subject: ModelUnderTest, steps: list[Any], lora: int | None, clock: Clock) -> None:
    """The steps of a method, as a run takes them; the original's weights are kept beside, as there."""
    cls: Any = Registry().method(name).load()
    method = cls(with_protocol(cls, cls.Config(lora_r=lora), PUBLISHED))
    job = UnlearningJob(subject, method.config, seed=0)
    method.prepare(job)
    search = RateSearch(
        job, method, job.forget, job.original, job.forget_score, lambda size, count: lambda: steps
    )
    Training(
        "unlearn",
        len(steps),
        lambda: steps,
        method.loss,
        search._trainable,
        method.optimizer,
        lambda step, rate: clock.tick(),
        after_backward=method.after_backward,
    ).at(job, RATE)


@contextmanager
def fresh_peak(device: torch.device) -> Iterator[None]:
    """Forget the peak there was."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield


def main() -> None:
    """Print the table, row by row: a row that does not fit into the memory says so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SHAPES, default="1b")
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("methods", nargs="*", default=["gd", "npo", "ssiuu", "rmu"])
    chosen = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    benchmark: Any = Registry().benchmark("tofu-mini").load()()
    full = benchmark.load()
    tokenizer = word_tokenizer(benchmark.training(full).vocabulary)
    splits = Splits({**full, "forget": full["forget"][:BATCH]})
    model = build(chosen.size, device, tokenizer)
    tokens = PromptTokenizer(tokenizer)
    subject = ModelUnderTest(model, tokens, benchmark, splits, PUBLISHED, dtype="bfloat16")
    forget, retain = subject.encode(splits["forget"]), subject.encode(splits["retain"])
    rank = 16 if chosen.lora else None
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    size = f"{models.size(model) / 1e9:.2f}B parameters"
    print(f"{card}, torch {torch.__version__}, {size}{', adapters' if chosen.lora else ''}\n")
    print("| | ms a step | GiB | tokens a second |\n| --- | --- | --- | --- |")

    for name in [BARE, *chosen.methods, BARE]:
        torch.manual_seed(0)
        steps = list(forget_steps(tokens, forget, retain, BATCH, WARM + chosen.steps + 1, seed=0))
        seen = sum(batch.token_count for [batch] in steps) / len(steps)
        clock = Clock(device)
        with fresh_peak(device):
            try:
                if name == BARE:
                    with adapters(model, rank, rank, seed=0) if rank else nullcontext() as trained:
                        bare(model, steps, trained or list(model.parameters()), clock)
                else:
                    harnessed(name, subject, steps, rank, clock)
            except torch.OutOfMemoryError:
                print(f"| {name} | more memory than there is | | |", flush=True)
            else:
                peak = train.peak_memory_mib(device) / 2**10
                print(
                    f"| {name} | {clock.step:.0f} | {peak:.1f} | {1e3 * seen / clock.step:,.0f} |", flush=True
                )
        model.zero_grad(set_to_none=True)
    with fresh_peak(device):
        begun = time.perf_counter()
        samples = subject.score(splits)
        wait(device)
        seconds = time.perf_counter() - begun
        peak = train.peak_memory_mib(device) / 2**10
        print(
            f"| {EVALUATION}: {len(samples):,} values | {1e3 * seconds:.0f} in all | {peak:.1f} | |",
            flush=True,
        )


if __name__ == "__main__":
    main()
