"""docs/protocol.md says what the code does: every number in it is held against the code."""

from __future__ import annotations

import re

import pytest

from harness.core import intervals
from harness.core.config import FinetuneConfig
from harness.core.types import Splits
from harness.engine import protocol
from harness.leaderboard import invariants, ranking, standing, verdict
from harness.leaderboard.columns import Estimate
from harness.plugins.registry import Registry
from harness.store.schema import PROTOCOL
from support.paths import ROOT

TEXT = (ROOT / "docs" / "protocol.md").read_text()
WORDS = " ".join(TEXT.split())


def tables():
    """The tables of the document: by the head's first column, the rows' other columns by their first."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        head, _, *rows = ([c.strip() for c in line.strip("|").split("|")] for line in block.splitlines())
        found[head[0]] = {row[0]: row[1:] for row in rows}
    return found


def listed(numbers):
    return ", ".join(f"{number:g}" for number in numbers)


def test_the_document_has_the_version_that_stands_in_every_cell():
    assert f"\nVersion {PROTOCOL}. " in TEXT


def test_every_benchmark_is_there_with_its_metric_and_threshold():
    shipped = {name: entry.load()() for name, entry in Registry().kinds["benchmark"].items()}
    # tofu-mini's published rule looks at its own facts, and no other at any.
    facts = Splits({"forget": (), "retain": ()})
    published = {name: type(each)(each.Config(threshold="published")) for name, each in shipped.items()}
    assert [each.threshold(facts) for each in shipped.values()] == [None] * len(shipped)
    assert tables()["benchmark"] == {
        name: [
            benchmark.forget_metric,
            "chance" if benchmark.training(facts) is None else "twin",
            f"{published[name].threshold(facts):.4g}",
        ]
        for name, benchmark in shipped.items()
    }


def test_budgets_of_methods():
    big, small = protocol.PUBLISHED, protocol.EMBEDDED
    assert big.check_every is None
    assert tables()["budget of a method"] == {
        "learning rates": [listed(big.learning_rates), listed(small.learning_rates)],
        "passes over the forget set": [str(big.epochs), str(small.epochs)],
        "forget facts per step": [str(big.batch_size), str(small.batch_size)],
        "steps between looks": ["one pass", str(small.check_every)],
    }


def test_budgets_of_attackers():
    config, small = FinetuneConfig(), protocol.EMBEDDED
    adapters = small.adapter_lr_scale
    assert (protocol.PUBLISHED.attack_lr_scale, protocol.PUBLISHED.adapter_lr_scale) == (1, 1)
    assert tables()["budget of an attacker who fine-tunes"] == {
        "optimiser steps for each rate": [str(config.steps)],
        "scored after steps": [listed(config.checkpoints)],
        "examples per step": [str(config.batch_size)],
        "rates, embedded model": [f"published times {small.attack_lr_scale:g}, of adapters {adapters:g}"],
    }


@pytest.mark.parametrize(
    "said",
    [
        f"wholly under {ranking.LEAST_KEPT:.0%} of the original's".replace("%", " %"),
        f"lies wholly below {ranking.LEAST_KEPT:.0%} of the original's".replace("%", " %"),
        f"reproduces at most {verdict.MOST_SILENT:g} of the original's answers",
        f"of fewer than {standing.FEW_FACTS} facts",
        f"fewer than {ranking.LEAST_SEEDS} seeds",
        f"All are {intervals.CONFIDENCE:.0%}, for other facts".replace("%", " %"),
        f"in at most {100 * ranking.LEVEL:g} of 100 tables",
        f"differs by more than {invariants.NOISE:g} between runs",
    ],
)
def test_the_rules_have_the_numbers_of_the_code(said):
    assert said in WORDS


def test_the_guard_keeps_to_the_shares_and_seeds_of_the_document():
    def left(high):
        return {"retain": ranking.Share(Estimate(0.7, 0.6, high))}

    just = {"forgotten": [True] * 3, "kept": left(0.8), "seeds": 3, "lacking": []}
    assert ranking.guard(**just) is None
    assert ranking.guard(**(just | {"kept": left(0.7999)})) is not None
    assert ranking.guard(**(just | {"seeds": 2})) is not None


def test_the_bands_of_the_document_are_those_of_verdicts():
    ends = {
        verdict.ERASED: f"at most {verdict.MOST_ERASED:g}",
        verdict.PARTLY_HIDDEN: f"above {verdict.MOST_ERASED:g}, at most {verdict.MOST_PARTLY_HIDDEN:g}",
        verdict.HIDDEN: f"above {verdict.MOST_PARTLY_HIDDEN:g}",
    }
    assert tables()["verdict"] == {word: [said] for word, said in ends.items()}
    assert all(f"**{word}**" in WORDS for word in verdict.VERDICTS)
