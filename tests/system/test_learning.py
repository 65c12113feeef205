"""Every method does its job on the embedded world: it reaches the forgetting threshold, at a price we report.

Each with its defaults, and its grid from a rate on that got there when this was written: lower ones take
long, or are looked at in vain. What was kept is printed at the end of the test run.
"""

from __future__ import annotations

import pytest
from filelock import FileLock

from harness.engine.evaluation import ModelUnderTest, evaluate
from harness.engine.protocol import EMBEDDED, with_protocol
from harness.engine.source import Source
from harness.engine.targets import recipes
from harness.engine.unlearning import unlearn
from harness.model import loading
from harness.model.tokens import PromptTokenizer
from harness.plugins.registry import Registry

RATES = {
    "ga": 1e-4,
    "gd": 1e-4,
    "npo": 2e-4,
    "simnpo": 2e-4,
    "dpo": 5e-4,
    "rmu": 2.5e-3,
    "simu": 2e-4,
    "simu-random": 2e-4,
    "bst": 1e-4,
    "bss": 2e-4,
    "klue": 5e-4,
    "ssiuu": 1e-4,
}
HOLDS_NOTHING = {"ga"}  # no retain term


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """The embedded original, trained once for all workers of the test run."""
    shared = tmp_path_factory.getbasetemp().parent
    benchmark = Registry().benchmark("faithun-mini").load()()
    splits = benchmark.load()
    with FileLock(shared / "target.lock"):
        place = recipes(benchmark, splits, Source())["original"].make(shared / "cache")
    return benchmark, splits, place


def test_every_method_is_here():
    assert set(RATES) == set(Registry().methods) - {"none", "retrain", "refusal"}


@pytest.mark.parametrize("name", RATES)
def test_a_method_forgets_and_its_price_is_reported(name, original, record_property):
    benchmark, splits, place = original
    cls = Registry().method(name).load()
    config = with_protocol(cls, cls.Config(), EMBEDDED)
    upwards = tuple(rate for rate in config.learning_rates if rate >= RATES[name])
    config = config.model_copy(update={"learning_rates": upwards})
    model, tokenizer = loading.load(place)
    subject = ModelUnderTest(model, PromptTokenizer(tokenizer), benchmark, splits, EMBEDDED)
    before = subject.score(splits.only(frozenset({"forget"})), ["accuracy"])
    assert sum(s.value for s in before) / len(before) > 0.9
    job = unlearn(subject, cls(config), seed=0)
    after = {(m.split, m.metric): m.value for m in evaluate(subject).metrics}
    retain = after[benchmark.retain_metric]
    record_property("learning", f"{name}: forget {after['forget', 'accuracy']:.3f}, retain {retain:.3f}")
    assert job.notes["forgotten"]
    assert after["forget", "accuracy"] <= subject.threshold.high
    assert retain > 0.7 or name in HOLDS_NOTHING
