"""What tests of the engine share: a small tokenizer, tiny random models, and a benchmark without files."""

from __future__ import annotations

import os

# Before torch and transformers are imported: no test may ask a hub, and numbers are those of a CPU.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import harness.runner.process
from harness.core.benchmark import Benchmark
from harness.core.types import Splits
from harness.engine.unlearning import UnlearningJob
from harness.model.steps import forget_steps
from harness.testing import sandbox
from harness.testing.facts import SPLITS, Toy

# Processes of tasks are forked from this one: nothing is loaded again, and what a test patches holds there.
harness.runner.process.START = "fork"

# Nothing is lost when a test ends, and a disk may take longer to sync a cell than a test to make it.
os.fsync = lambda descriptor: None

# Helpers assert, too: what they found is shown as it is for tests.
pytest.register_assert_rewrite("support")
pytest_plugins = ["support.world", "support.tasks"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests reported as ``learning``: what each method kept."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    lines = [
        value
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "learning"
    ]
    if lines:
        terminalreporter.section("accuracy after unlearning the embedded world")
        terminalreporter.write("\n".join(sorted(lines)) + "\n")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and tests run side by side."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_splits() -> Splits:
    """The facts of the toy benchmark."""
    return SPLITS


@pytest.fixture(scope="session")
def toy_benchmark() -> type[Toy]:
    """The toy benchmark's class."""
    return Toy


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[[], Any]:
    """Makes a tokenizer that knows the words of the toy benchmark; each call gives a fresh one."""
    return lambda: sandbox.tokenizer_of(SPLITS)


@pytest.fixture(scope="session")
def tokenizer(make_tokenizer: Callable[[], Any]) -> Any:
    """The one tokenizer of tests that do not change it."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def tokens(tokenizer: Any) -> Any:
    """The tokenizer with the harness's conventions."""
    from harness.model.tokens import PromptTokenizer

    return PromptTokenizer(tokenizer)


@pytest.fixture(scope="session")
def tiny(tokenizer: Any) -> Callable[..., Any]:
    """``tiny(family="llama", seed=0, **settings)``: a random model of a few thousand parameters."""
    return partial(sandbox.tiny_model, tokenizer)


@pytest.fixture
def make_subject(tiny: Callable[..., Any], tokens: Any) -> Callable[..., Any]:
    """``make_subject(benchmark, model=None, **fields)``: a model under test, a tiny one unless given."""
    from harness.engine.evaluation import ModelUnderTest
    from harness.engine.protocol import Protocol

    protocol = Protocol((1e-3,), epochs=1, batch_size=4, check_every=1, attack_lr_scale=1.0)

    def make(benchmark: Benchmark, model: Any = None, **fields: Any) -> Any:
        settings = {"tokens": tokens, "splits": SPLITS, "protocol": protocol} | fields
        return ModelUnderTest(model=tiny() if model is None else model, benchmark=benchmark, **settings)

    return make


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every request that a scorer is asked."""
    from harness.scoring.scorer import Scorer

    requests = []
    answer = Scorer.answer

    def watched(self: Any, wanted: Any, *rest: Any) -> Any:
        wanted = list(wanted)
        requests.extend(wanted)
        return answer(self, wanted, *rest)

    monkeypatch.setattr(Scorer, "answer", watched)
    return requests


# Four toy facts of each set, as the equations of the methods meet them.


@pytest.fixture
def model(tiny):
    """A random model in float64."""
    return tiny().double()


@pytest.fixture
def job(model, make_subject, toy_benchmark):
    """Unlearning of the toy facts with that model."""
    return UnlearningJob(make_subject(toy_benchmark(), model), config=None, seed=0)


@pytest.fixture
def data(job):
    """Forget and retain texts: answers of two tokens (a word and the end) and of three."""
    return job.subject.encode(job.forget[:4]), job.subject.encode(job.retain[:4])


@pytest.fixture
def batch(job, data):
    """All of them as one step."""
    [[batch]] = forget_steps(job.tokens, *data, 4, 1, seed=0)
    return batch
