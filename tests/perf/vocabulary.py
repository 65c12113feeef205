"""What projecting answer positions alone saves with 128,256 words: time and peak memory of one training step.

    python tests/perf/vocabulary.py

A forward and backward pass of the cross-entropy on 16 texts, by `harness.losses.cross_entropy` and by the
model's own loss over all positions, each in a process of its own. Texts are random tokens in the proportions
of FaithUn (40 of the prompt, 3 of the answer) and of TOFU (25 and 45). Memory is the peak less the start.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

SHAPES = {"FaithUn": (40, 3), "TOFU": (25, 45)}
WAYS = ("all positions", "answer positions")
REPEATS = 3


def measure(shape: str, way: str) -> dict[str, float]:
    """CPU seconds per step and MiB."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from harness.core.batch import IGNORED, TokenBatch
    from harness.model.losses import cross_entropy

    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4}
    model: Any = LlamaForCausalLM(LlamaConfig(vocab_size=128_256, tie_word_embeddings=True, **sizes)).eval()
    prompt, answer = SHAPES[shape]
    ids = torch.randint(128_256, (16, prompt + answer))
    labels = ids.clone()
    labels[:, :prompt] = IGNORED
    mask = torch.ones_like(ids)
    texts = TokenBatch(ids, mask, mask.cumsum(1) - 1, labels, torch.arange(16), 16, 16 * answer)
    for parameter in model.parameters():  # gradients weigh as much either way
        parameter.grad = torch.zeros_like(parameter)
    start = peak()
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        if way == "all positions":
            model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        else:
            cross_entropy(model, texts).backward()
        seconds.append(time.process_time() - begun)
    return {"seconds": min(seconds), "mib": peak() - start}


def peak() -> float:
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*sys.argv[2:4])))
        sys.exit()
    print("| texts like | positions | ms per step | MiB | saved time | saved memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    for shape in SHAPES:
        rows = []
        for way in WAYS:
            command = [sys.executable, __file__, "--one", shape, way]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows.append(json.loads(output.splitlines()[-1]))
        for way, row in zip(WAYS, rows, strict=True):
            saved = f"{rows[0]['seconds'] / row['seconds']:.1f} x | {rows[0]['mib'] / row['mib']:.1f} x"
            print(f"| {shape} | {way} | {1e3 * row['seconds']:.0f} | {row['mib']:.0f} | {saved} |")
