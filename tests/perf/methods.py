"""Time per step and peak memory of each method against gd, and of gd against a bare PyTorch loop.

    python tests/perf/methods.py [name ...]

Each runs in a process of its own, on the same 16 facts and the same untrained Llama (some 20 M parameters, so
that weights outweigh the texts), with one thread. Prints ratios of CPU time; memory is the process's peak
less its start. What a method does once, before its first step, is not in the time. `bss` and `altpo` sample
answers of 6 tokens, as long as the true ones: an untrained model never ends by itself.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

STEPS, WARM, BATCH = 6, 2, 16
BARE = "bare loop"


def measure(name: str) -> dict[str, float]:
    """CPU seconds per step and MiB of one method."""
    import torch
    from torch.optim import AdamW
    from transformers import LlamaConfig, LlamaForCausalLM

    from harness.core.base import Method
    from harness.core.types import Splits
    from harness.engine.job import Training
    from harness.engine.protocol import EMBEDDED, with_protocol
    from harness.engine.rates import RateSearch
    from harness.engine.under_test import ModelUnderTest
    from harness.engine.unlearning import UnlearningJob
    from harness.model.embedded import word_tokenizer
    from harness.model.steps import forget_steps
    from harness.model.tokens import PromptTokenizer
    from harness.plugins.registry import Registry

    torch.set_num_threads(1)
    registry = Registry()
    benchmark: Any = registry.benchmark("tofu-mini").load()()
    full = benchmark.load()
    splits = Splits({**full, "forget": full["forget"][:BATCH]})
    tokenizer = word_tokenizer(benchmark.training(full).vocabulary)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(config).eval()
    tokens = PromptTokenizer(tokenizer)
    subject = ModelUnderTest(model, tokens, benchmark, splits, EMBEDDED)
    forget, retain = subject.encode(splits["forget"]), subject.encode(splits["retain"])
    steps = list(forget_steps(tokens, forget, retain, BATCH, WARM + STEPS, seed=0))
    start = peak()
    clock: list[float] = []
    if name == BARE:
        optimizer = AdamW(model.parameters(), lr=1e-5, weight_decay=0.01)
        for (batch,) in steps:
            losses = []
            for texts in (batch.forget, batch.retain):
                assert texts is not None
                inputs = {"input_ids": texts.input_ids, "attention_mask": texts.attention_mask}
                losses.append(model(**inputs, position_ids=texts.position_ids, labels=texts.labels).loss)
            (losses[1] - losses[0]).backward()
            optimizer.step()
            optimizer.zero_grad()
            clock.append(time.process_time())
    else:
        cls: Any = registry.method(name).load()
        sampled = {"max_new_tokens": 6} if name in ("bss", "altpo") else {}
        method = cls(with_protocol(cls, cls.Config(**sampled), EMBEDDED))
        job = UnlearningJob(subject, method.config, seed=0)
        method.prepare(job)
        search = RateSearch(
            job, method, job.forget, job.original, job.forget_score, lambda size, n: lambda: steps
        )

        def tick(step: int, rate: float) -> bool:
            clock.append(time.process_time())
            return False

        Training(
            "unlearn",
            len(steps),
            lambda: steps,
            method.loss,
            search._trainable,
            method.optimizer,
            tick,
            after_backward=method.after_backward,
            combine=None if cls.combine is Method.combine else method.combine,
        ).at(job, 1e-5)
    return {"seconds": (clock[-1] - clock[WARM - 1]) / STEPS, "mib": peak() - start}


def peak() -> float:
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main(names: list[str]) -> None:
    """Measure all in turn, and gd first and last: the spread between the two is the noise."""
    found = []
    for name in ["gd", BARE, *(n for n in names if n != "gd"), "gd"]:
        process = subprocess.run(
            [sys.executable, __file__, "--one", name],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
        found.append(SimpleNamespace(name=name, **json.loads(process.stdout.splitlines()[-1])))
    gd = found[0]
    print("| method | ms per step | time / gd | peak memory / gd |\n| --- | --- | --- | --- |")
    for row in found:
        ratios = f"{row.seconds / gd.seconds:.2f} | {row.mib / gd.mib:.2f}"
        print(f"| {row.name} | {1e3 * row.seconds:.0f} | {ratios} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main(
            sys.argv[1:]
            or [
                *("ga", "npo", "dpo", "simnpo", "refusal", "bst", "bss", "rmu", "klue", "simu", "ssiuu"),
                *("wga", "tnpo", "satimp", "undial", "jensun", "rmu-lat", "repselect", "mudman", "icu"),
                *("altpo", "elm", "direct-token", "marginal-information"),
            ]
        )
