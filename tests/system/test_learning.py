"""Every method and modifier does its job on the embedded world: it forgets, at a price we report.

Each with its defaults, on a third of the forget set, at the highest rate of its grid. Lower ones take long:
`make leaderboard` tries them. What was kept is printed at the end of the test run.
"""

from __future__ import annotations

import pytest

from harness import metrics
from harness.core.names import CONTROLS
from harness.core.types import Splits
from harness.engine.evaluation import ModelUnderTest, evaluate
from harness.engine.protocol import EMBEDDED, with_protocol
from harness.engine.unlearning import unlearn
from harness.model import loading
from harness.model.tokens import PromptTokenizer
from harness.plugins.registry import Registry
from support.targets import trained

pytestmark = pytest.mark.xdist_group("targets")  # while one trains them, others have something else to do

HOLDS_NOTHING = {"ga", "direct-token", "undial"}  # no retain term
STAYS_ABOVE = {"rmu", "rmu-lat", "mudman", "marginal-information"}  # the threshold; rmu on the board, too
# Their loss lets go of a token that has become unlikely: the answer goes, and the options stay in order.
LETS_GO = {"wga", "tnpo", "satimp", "undial", "jensun", "elm"}
FORGET, RETAIN = 32, 96
# True answers have up to six tokens; one that does not end would take 64.
SHORTER = {name: {"max_new_tokens": 8} for name in ("bss", "altpo", "elm")} | {"gd+undo": {"undo_epochs": 15}}
AT_CHANCE = 1 / 3 + 1.96 * (2 / 9 / FORGET) ** 0.5  # what so few facts cannot tell from guessing


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """The embedded original, trained once for all workers of the test run."""
    benchmark = Registry().benchmark("faithun-mini").load()()
    world = benchmark.load()
    parts = {"forget": world["forget"][:FORGET], "retain": world["retain"][:RETAIN]}
    splits = Splits({**parts, "instruct": world["instruct"]})
    _, places = trained(tmp_path_factory, benchmark, world, "original")
    return benchmark, splits, places["original"], len(world["forget"]) // FORGET


METHODS = sorted(set(Registry().methods) - {*CONTROLS, "checkpoint"})


@pytest.mark.parametrize("name", [*METHODS, *(f"gd+{name}" for name in sorted(Registry().modifiers))])
def test_a_method_forgets_and_its_price_is_reported(name, original, record_property):
    benchmark, splits, place, times = original
    cls = Registry().method(name).load()
    config = with_protocol(cls, cls.Config(), EMBEDDED)
    # As many steps as all of the forget set would take.
    update = {"learning_rates": (max(config.learning_rates),), "epochs": config.epochs * times}
    update |= SHORTER.get(name, {})
    config = config.model_copy(update=update)
    model, tokenizer = loading.load(place)
    subject = ModelUnderTest(model, PromptTokenizer(tokenizer), benchmark, splits, EMBEDDED)
    before = subject.score(splits.only(frozenset({"forget"})), ["accuracy", "exact_match"])
    known = metrics.means(before)
    assert known["forget", "exact_match"] > 0.9
    assert known["forget", "accuracy"] > 0.8  # it chooses less well than it answers
    job = unlearn(subject, cls(config), seed=0)
    after = {(m.split, m.metric): m.value for m in evaluate(subject).metrics}
    retain = after[benchmark.retain_metric]
    record_property("learning", f"{name}: forget {after['forget', 'accuracy']:.3f}, retain {retain:.3f}")
    assert job.notes["forgotten"] or name in STAYS_ABOVE | LETS_GO
    highest = AT_CHANCE if name in STAYS_ABOVE else subject.threshold.high
    if name in LETS_GO:
        assert after["forget", "exact_match"] < 0.25
    else:
        assert after["forget", "accuracy"] <= highest
    assert retain > 0.7 or name in HOLDS_NOTHING
