"""What it costs to keep an unlearned model, and to start from it: bytes and seconds.

    python tests/perf/keeping.py [--layers 30 --width 576]

A random Llama, as weights and as an adapter of rank 16. Seconds are those of the processor: other work on the
machine does not count, and reading and writing come to them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from harness.core.types import Cost
from harness.engine import keeping
from harness.engine.keeping import KeptModel
from harness.engine.under_test import ModelUnderTest
from harness.engine.unlearning import UnlearningJob
from harness.model import models
from harness.model.lora import Adapter, adapters
from harness.model.tokens import PromptTokenizer
from harness.testing import sandbox
from harness.testing.facts import SPLITS, Toy

ACCOUNT = KeptModel("toy", "gd", {}, 0, "random", "float32", "", "", 0.0, cost=Cost())


def main() -> None:
    """Print a line for each form."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--vocabulary", type=int, default=2000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = sandbox.tokenizer_of(SPLITS)
    model = sandbox.tiny_model(
        tokenizer,
        num_hidden_layers=given.layers,
        hidden_size=given.width,
        intermediate_size=given.width * 8 // 3,
        head_dim=given.width // 2,
        vocab_size=given.vocabulary,
        tie_word_embeddings=True,
    )
    subject = ModelUnderTest(model, PromptTokenizer(tokenizer), Toy(), SPLITS, sandbox.PROTOCOL)
    print(f"{models.size(model) / 1e6:.1f} million parameters, float32")
    for form in ("weights", "adapter"):
        print(measured(subject, form))


def measured(subject: ModelUnderTest, form: str) -> str:
    """What it takes to keep a model in this form, and to start from it."""
    job = UnlearningJob(subject, None, 0)

    def keep_adapter(trained: Adapter) -> None:
        job.adapter = trained

    if form == "adapter":
        with adapters(subject.model, 16, 32, 0, keep_adapter):
            pass
    with tempfile.TemporaryDirectory() as folder, sandbox.quiet():
        place = Path(folder) / "unlearned" / "0123"
        kept = seconds(lambda: keeping.keep(job, place, ACCOUNT))
        size = keeping.bytes_of(place)
        again = UnlearningJob(subject, None, 0)
        restored = seconds(lambda: keeping.restore(again, place))
    return f"{form}: {size / 2**20:.2f} MiB, kept in {kept:.2f} s, started from in {restored:.2f} s"


def seconds(work: Callable[[], object]) -> float:
    """Seconds of the processor that it takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
