"""Checks on the controls: can a benchmark tell them apart? If not, no row of its table means anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..core.names import ORIGINAL, REFUSAL, RETRAIN
from .columns import Estimate
from .format import NOT_MEASURED, number
from .recovery import CHANCE
from .verdict import ERASED, HIDDEN, NOT_FORGOTTEN, Verdict

KNOWN_SHARE = 0.8
"""Least share of the way from chance to 1 that the original must have before unlearning."""

VERDICTS = {RETRAIN: ERASED, REFUSAL: HIDDEN, ORIGINAL: NOT_FORGOTTEN}
"""What each control is by construction: a table in which it is called otherwise says nothing of methods."""

Row = dict[str, Any]

text = partial(number, missing=NOT_MEASURED)


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold, whether it does, and the numbers."""

    name: str
    passed: bool
    detail: str


def check(rows: Sequence[Row], verdicts: Mapping[str, Verdict]) -> list[Check]:
    """Check the rows of one benchmark's controls, and the verdicts on them by name.

    A number that is missing does not pass. Without a twin nothing is said of one.
    """
    original, retrain = ([row for row in rows if row["method"] == name] for name in (ORIGINAL, RETRAIN))
    checks = [not_chance(rows), knows(_before(original))]
    if retrain:
        checks.append(forgotten(_before(retrain)))
    # An attack with a score and no chance level measures something else: the best of many answers.
    checks += [
        at_chance(row, _attack(row))
        for row in retrain
        if row["attack"] != "none"
        and row["threshold_rule"] == CHANCE
        and (row["chance"] is not None or row["score"] is None)
    ]
    named = [name for name in VERDICTS if name != RETRAIN or retrain]
    return [*checks, *(called(name, verdicts.get(name)) for name in named), *differ(original, retrain)]


def not_chance(rows: Sequence[Row]) -> Check:
    """The scoring tells the original from chance: its score is above it by more than noise.

    It fails where the model does not know the facts, and where it does and cannot show it in this form.
    """
    row = _before([row for row in rows if row["method"] == ORIGINAL])
    (value, low, high), chance = Estimate.of(row, "forget_before"), row["chance"]
    passed = low is not None and chance is not None and low > chance
    detail = f"{text(value)} [{text(low)}, {text(high)}], chance {text(chance)}"
    return Check("the scoring tells the original from chance", passed, detail)


def knows(row: Row) -> Check:
    """The original answers the forget set."""
    value, chance = row["forget_before"], row["chance"]
    passed = None not in (value, chance) and value - chance >= KNOWN_SHARE * (1 - chance)
    return Check("the original knows the forget set", passed, f"{text(value)}, chance {text(chance)}")


def forgotten(row: Row) -> Check:
    """The model that never knew counts as forgotten: the threshold asks for no more than that."""
    value, most = row["forget_before"], row["threshold_high"]
    passed = None not in (value, most) and value <= most
    detail = f"{text(value)}, forgotten up to {text(most)}"
    return Check("retrain counts as forgotten", passed, detail)


def at_chance(row: Row, when: str) -> Check:
    """Where chance is the reference the model that never knew is not above it, whatever the attack teaches.

    Below it, it has the format wrong, and knows no more.
    """
    (value, low, high), chance = Estimate.of(row, "score"), row["chance"]
    passed = low is not None and chance is not None and low <= chance
    detail = f"{text(value)} [{text(low)}, {text(high)}], chance {text(chance)}"
    return Check(f"retrain is not above chance, {when}", passed, detail)


def called(name: str, verdict: Verdict | None) -> Check:
    """The verdict on a control is what it is by construction."""
    word, why = verdict or (NOT_MEASURED, "no cells of it")
    return Check(f"the verdict on {name} is {VERDICTS[name]}", word == VERDICTS[name], f"{word}, {why}")


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
    around = ("forget_before_low", "forget_before_high")
    empty = dict.fromkeys(("forget_before", *around, "threshold_high", "chance"))
    return next((row for row in rows if row["attack"] == "none"), empty)


def _attack(row: Row) -> str:
    return "under " + " ".join(filter(None, (row["attack"], row["variant"])))
