"""docs/protocol.md says what the code does: every number in it is held against the code."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

import pytest
from harness.attacks.private_data import PrivateData
from pydantic import ValidationError

from harness.core import intervals
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
    published = {}
    for name, each in shipped.items():
        with suppress(ValidationError):  # for these none was published
            rule = type(each)(each.Config(threshold="published")).threshold(facts)
            published[name] = f"{rule:.4g}"
    assert len(published) == 5
    assert [each.threshold(facts) for each in shipped.values()] == [None] * len(shipped)
    assert tables()["benchmark"] == {
        name: [
            benchmark.forget_metric,
            "chance" if benchmark.training(facts) is None else "twin",
            published.get(name, ""),
        ]
        for name, benchmark in shipped.items()
    }


RUNGS = (protocol.PUBLISHED, protocol.SMALL, protocol.EMBEDDED)
"""As the tables have them, from left to right."""


def test_budgets_of_methods():
    assert tables()["budget of a method"] == {
        "learning rates": [listed(rung.learning_rates) for rung in RUNGS],
        "passes over the forget set": [str(rung.epochs) for rung in RUNGS],
        "forget facts per step": [str(rung.batch_size) for rung in RUNGS],
        "steps between looks": [str(rung.check_every or "one pass") for rung in RUNGS],
    }


def test_budgets_of_attackers():
    def rates(rung, scale):
        which = {None: "published", 1: "the highest published"}[rung.attack_rates]
        return which if scale == 1 else f"{which} times {scale:g}"

    configs = [
        protocol.with_budget(PrivateData, PrivateData.Config(learning_rates=(1.0,)), rung) for rung in RUNGS
    ]
    assert tables()["budget of an attacker who fine-tunes"] == {
        "optimiser steps for each rate": [str(config.steps) for config in configs],
        "scored after steps": [listed(config.stops(1)) for config in configs],
        "examples per step": [str(config.batch_size) for config in configs],
        "rates": [rates(rung, rung.attack_lr_scale) for rung in RUNGS],
        "rates of adapters": [rates(rung, rung.adapter_lr_scale) for rung in RUNGS],
    }


@pytest.mark.parametrize(("millions", "rung"), [(8, 2), (9, 1), (360, 1), (380, 0), (70_000, 0)])
def test_a_model_has_the_budgets_of_the_nearest_size(millions, rung):
    assert protocol.fitting(millions * 10**6) == RUNGS[rung]
    assert "up to 8 million parameters it counts" in WORDS
    assert "up to 370 million as one of 135 million" in WORDS


def test_of_the_published_rates_the_highest_are_taken():
    class Both(PrivateData):
        rates = (1e-7, 3e-6, 1e-6)

    two = replace(protocol.SMALL, attack_rates=2)
    assert protocol.with_budget(Both, Both.Config(), two).learning_rates == (1.5e-5, 5e-6)
    assert protocol.with_budget(Both, Both.Config(), protocol.PUBLISHED).learning_rates == Both.rates
    chosen = protocol.with_budget(Both, Both.Config(learning_rates=(1.0,), steps=3), two)
    assert (chosen.learning_rates, chosen.steps, chosen.batch_size) == ((1.0,), 3, 16)


def test_a_budget_that_nobody_said_is_no_budget():
    with pytest.raises(ValueError, match="A budget was left open"):
        PrivateData.Config().stops(3)


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
