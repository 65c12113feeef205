"""Can a benchmark tell its controls apart? If not, no row of its table means anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

KNOWS = 0.8
"""Least share of the way from chance to 1 that the original must have before unlearning."""

BACK = 0.5
"""Least share of the original's exact matches that attacks must bring back from the refusal control."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must hold, whether it does, and the numbers."""

    claim: str
    holds: bool
    seen: str


def judge(rows: Sequence[Row]) -> list[Finding]:
    """Judge the leaderboard rows of one benchmark's controls. A number that is missing does not hold."""
    none, retrain, refusal = (
        [row for row in rows if row["method"] == name] for name in ("none", "retrain", "refusal")
    )
    findings = [knows(_before(none))]
    if retrain:
        findings.append(at_chance(_before(retrain), "before any attack", "forget_before"))
    # An attack with a score and no chance level measures something else: the best of many answers.
    attacked = [
        r for r in retrain if r["attack"] != "none" and (r["chance"] is not None or r["score"] is None)
    ]
    findings += [at_chance(row, _attack(row), "score") for row in attacked]
    return [*findings, *hides(none, refusal), *apart(none, retrain)]


def knows(row: Row) -> Finding:
    """The original answers the forget set."""
    value, chance = row["forget_before"], row["chance"]
    holds = None not in (value, chance) and value - chance >= KNOWS * (1 - chance)
    return Finding("the original knows the forget set", holds, f"{_text(value)}, chance {_text(chance)}")


def at_chance(row: Row, when: str, column: str) -> Finding:
    """The model that never knew is not above chance. Below it, it has the format wrong, and knows no more."""
    value, low, high, chance = row[column], row[f"{column}_low"], row[f"{column}_high"], row["chance"]
    holds = None not in (low, chance) and low <= chance
    seen = f"{_text(value)} [{_text(low)}, {_text(high)}], chance {_text(chance)}"
    return Finding(f"retrain is not above chance, {when}", holds, seen)


def hides(none: Sequence[Row], refusal: Sequence[Row]) -> list[Finding]:
    """Refusal answers nothing exactly before, and some attack brings most of the original's answers back."""
    attacked = [row["exact_match"] for row in refusal if row["exact_match"] is not None]
    original = [row["exact_match"] for row in none if row["exact_match"] is not None]
    best, reference = max(attacked, default=None), max(original, default=None)
    holds = best is not None and reference is not None and reference > 0 and best >= BACK * reference
    seen = f"exact match {_text(best)} of {_text(reference)}"
    return [Finding("attacks recover what the refusal control hides", holds, seen)]


def apart(none: Sequence[Row], retrain: Sequence[Row]) -> list[Finding]:
    """Under each attack the intervals of the original and of its twin do not meet; nothing without a twin."""
    if not retrain:
        return []
    originals, twins = (
        {(row["attack"], row["variant"]): row for row in rows if row["attack"] != "none"}
        for rows in (none, retrain)
    )
    lacking = dict.fromkeys(("score", "score_low", "score_high"))
    findings = []
    for attack, row in {**twins, **originals}.items():
        original, twin = originals.get(attack, lacking), twins.get(attack, lacking)
        low, high = original["score_low"], twin["score_high"]
        holds = None not in (low, high) and low > high
        seen = f"{_text(original['score'])} from {_text(low)}, {_text(twin['score'])} up to {_text(high)}"
        findings.append(Finding(f"original and retrain differ, {_attack(row)}", holds, seen))
    return findings


def _before(rows: Sequence[Row]) -> Row:
    """The row before any attack; one without numbers if there is none."""
    empty = dict.fromkeys(("forget_before", "forget_before_low", "forget_before_high", "chance"))
    return next((row for row in rows if row["attack"] == "none"), empty)


def _attack(row: Row) -> str:
    return "under " + " ".join(filter(None, (row["attack"], row["variant"])))


def _text(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
