"""Checks on the controls: can a benchmark tell them apart? If not, no row of its table means anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..core.names import CONTROLS
from .columns import Estimate
from .format import NOT_MEASURED, number

KNOWN_SHARE = 0.8
"""Least share of the way from chance to 1 that the original must have before unlearning."""

RECOVERED_SHARE = 0.5
"""Least share of the original's exact matches that attacks must bring back from the refusal control."""

Row = dict[str, Any]

text = partial(number, missing=NOT_MEASURED)


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold, whether it does, and the numbers."""

    name: str
    passed: bool
    detail: str


def check(rows: Sequence[Row]) -> list[Check]:
    """Check the leaderboard rows of one benchmark's controls. A number that is missing does not pass."""
    original, retrain, refusal = ([row for row in rows if row["method"] == name] for name in CONTROLS)
    checks = [knows(_before(original))]
    if retrain:
        checks.append(at_chance(_before(retrain), "before any attack", "forget_before"))
    # An attack with a score and no chance level measures something else: the best of many answers.
    attacked = [
        r for r in retrain if r["attack"] != "none" and (r["chance"] is not None or r["score"] is None)
    ]
    checks += [at_chance(row, _attack(row), "score") for row in attacked]
    return [*checks, recovers(original, refusal), *differ(original, retrain)]


def knows(row: Row) -> Check:
    """The original answers the forget set."""
    value, chance = row["forget_before"], row["chance"]
    passed = None not in (value, chance) and value - chance >= KNOWN_SHARE * (1 - chance)
    return Check("the original knows the forget set", passed, f"{text(value)}, chance {text(chance)}")


def at_chance(row: Row, when: str, column: str) -> Check:
    """The model that never knew is not above chance. Below it, it has the format wrong, and knows no more."""
    (value, low, high), chance = Estimate.of(row, column), row["chance"]
    passed = low is not None and chance is not None and low <= chance
    detail = f"{text(value)} [{text(low)}, {text(high)}], chance {text(chance)}"
    return Check(f"retrain is not above chance, {when}", passed, detail)


def recovers(original: Sequence[Row], refusal: Sequence[Row]) -> Check:
    """Refusal answers nothing exactly before, and some attack brings most of the original's answers back."""
    best, reference = (
        max((row["exact_match"] for row in rows if row["exact_match"] is not None), default=None)
        for rows in (refusal, original)
    )
    passed = bool(best is not None and reference and best >= RECOVERED_SHARE * reference)
    detail = f"exact match {text(best)} of {text(reference)}"
    return Check("attacks recover what the refusal control hides", passed, detail)


def differ(original: Sequence[Row], retrain: Sequence[Row]) -> list[Check]:
    """Under each attack the intervals of the original and of its twin do not meet; nothing without a twin."""
    if not retrain:
        return []
    originals, twins = (
        {(row["attack"], row["variant"]): row for row in rows if row["attack"] != "none"}
        for rows in (original, retrain)
    )
    checks = []
    for attack, row in {**twins, **originals}.items():
        knew, never_knew = (
            Estimate.of(rows[attack], "score") if attack in rows else Estimate(None)
            for rows in (originals, twins)
        )
        passed = knew.low is not None and never_knew.high is not None and knew.low > never_knew.high
        detail = f"{text(knew.value)} from {text(knew.low)}, "
        detail += f"{text(never_knew.value)} up to {text(never_knew.high)}"
        checks.append(Check(f"original and retrain differ, {_attack(row)}", passed, detail))
    return checks


def _before(rows: Sequence[Row]) -> Row:
    """The row before any attack; one without numbers if there is none."""
    empty = Estimate(None).columns("forget_before") | {"chance": None}
    return next((row for row in rows if row["attack"] == "none"), empty)


def _attack(row: Row) -> str:
    return "under " + " ".join(filter(None, (row["attack"], row["variant"])))
