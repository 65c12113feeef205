"""Comparison of two leaderboards: which numbers are further apart than their intervals allow.

A number that was made again, with other seeds or on another machine, agrees when its difference is within the
joint margin of the two intervals (MOVER: Zou and Donner 2008), times ``limit``. With a the lower number and u
the upper end of its interval, b the higher one and l its lower end:

    b - a <= limit * sqrt((u - a)^2 + (b - l)^2)

``limit`` corrects for the number M of unlearned models (Bonferroni): z(1 - 0.05 / 2M) / z(1 - 0.05 / 2). The
rows of one model are not corrected for: they move together, and the intervals are for other facts as well,
which no rerun draws. How often reruns pass and drifts are found: docs/protocol.md, ``tests/perf/reruns.py``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from ..core.intervals import CONFIDENCE, standard_error
from ..core.names import EVALUATION, SCORE, UTILITY, UTILITY_METRIC
from .board import signature
from .columns import METHOD, NAMES, TARGET, Estimate
from .format import NOT_MEASURED, number
from .groups import Groups
from .labels import attack_label, method_label

LEAST_MARGIN = 0.1
"""Least half-interval of retain, utility and lm-eval, half of what may be paid with the model.
Seeds share few targets; on another machine they are others, and the small model's skills move with them by
more than with its seeds."""

OF_SKILL = ("retain_before", "utility_before", "lm_eval")

OF_MODEL = ("forget_before", *OF_SKILL)
OF_ATTACK = ("score", "exact_match")
"""What a cell measures before any attack, and under one."""

DERIVED = {True: ("worst",), False: ("recovery",)}
"""What follows from these numbers and those of other rows, of a model (True) and of an attack."""

DERIVED_FACTOR = 2.0
"""How many times as far derived numbers may be apart. They are no further evidence, and the interval of a
recovery shrinks to nothing where all facts agree; an error in computing them is still found."""

OTHER_TARGET_FACTOR = 2.0
"""How many times as far numbers of another target may be apart. Intervals are for other facts and seeds, and
all seeds share one target. Another processor sums in another order, and at the end of its training the target
is another model, as if it had been trained under another seed."""

MODEL = tuple(name for name in (*TARGET, *METHOD) if name != "target")
"""Columns that say which unlearned model it is. The target's key is left out: it changes with the code."""

OF_SIGNATURE = ("protocol", "benchmark", "data", "method", "attack")
"""Parts of a signature that say what was measured. Target and cells change with the engine's code, seeds with
the run."""

ADVICE = "find out why; if it is meant, build and commit"

Row = Mapping[str, Any]
Spreads = Mapping[tuple[str, str], float]
"""By signature of a row before any attack, and column: half its interval over seeds."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number of both tables; ``share`` is their difference as a share of what is allowed."""

    where: str
    name: str
    committed: float
    rebuilt: float
    share: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between the tables, in which row, and what to do about it."""

    where: str
    what: str
    todo: str = ADVICE


@dataclass
class Comparison:
    """All numbers that were compared, and the differences. ``notes`` are worth saying and no difference."""

    rows: int = 0
    models: int = 0
    numbers: list[Number] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def limit(self) -> float:
        """How many joint margins two numbers may be apart: 1 for one model, 1.6 for thirty."""
        tail = (1 - CONFIDENCE) / 2
        return float(special.ndtri(tail / max(self.models, 1)) / special.ndtri(tail))


def compare(
    committed: Sequence[Row], rebuilt: Sequence[Row], spreads: Spreads | None = None, part: bool = False
) -> Comparison:
    """Compare the rows of two leaderboards.

    Without ``part`` both must have all rows. A part says nothing about the rows it lacks, nor about numbers
    that hang on other rows (recovery, worst, rank). ``spreads`` (see below) widen the margins of retain,
    utility and lm-eval.
    """
    pairs, missing, extra = matched(committed, rebuilt)
    result = Comparison(len(pairs), len({_values(new, MODEL) for _, new in pairs}))
    for old, new in pairs:
        limit = result.limit * (1 if _same_target(old, new) else OTHER_TARGET_FACTOR)
        result.numbers += _numbers(old, new, spreads or {}, part, limit)
        result.differences += _other_differences(old, new)
    result.numbers.sort(key=lambda compared: -compared.share)
    result.differences += [
        Difference(
            found.where, f"{found.name} {number(float(found.committed))}, now {number(float(found.rebuilt))}"
        )
        for found in result.numbers
        if found.share > 1
    ]
    result.differences += [Difference(label(row), "not in the committed table") for row in extra]
    if not part:
        result.differences += [Difference(label(row), "not in the results", "run it") for row in missing]
        result.notes += _standing(pairs)
    if others := sum(not _same_target(old, new) for old, new in pairs):
        result.notes.append(
            f"rows of a target that was trained on another processor, or may have been: {others}. "
            f"Their numbers may be {OTHER_TARGET_FACTOR:g} times as far apart."
        )
    if changed := sum(_identity(old) != _identity(new) for old, new in pairs):
        result.notes.append(f"rows from other settings or another version of a plugin: {changed}.")
    return result


def spreads(groups: Groups) -> dict[tuple[str, str], float]:
    """Half of Student's interval over seeds, of each model's skills."""
    halves = {}
    for which, seeds in groups.items():
        if which.stage != EVALUATION:
            continue
        ok = seeds.ok()
        useful = groups.of_stage(which.target, which.method, UTILITY).values()
        values = {
            "retain_before": ok.finals(tuple(ok.note("retain_metric") or ())),
            "utility_before": ok.finals(UTILITY_METRIC),
            "lm_eval": [value for scored in useful for value in scored.ok().finals(("all", SCORE))],
        }
        for name, of_seeds in values.items():
            if len(of_seeds) > 1:
                t = special.stdtrit(len(of_seeds) - 1, (1 + CONFIDENCE) / 2)
                halves[signature(which, seeds), name] = float(t * standard_error(np.array(of_seeds)))
    return halves


def matched(
    committed: Iterable[Row], rebuilt: Iterable[Row]
) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
    """The rows that measured the same thing, and what is left of each table.

    The same thing is what has the same signature in the parts of ``OF_SIGNATURE``. Of what is left, rows are
    paired that alone bear their names in their tables: there the data, the protocol, a setting or a version
    has changed.
    """
    pairs: list[tuple[Row, Row]] = []
    missing, extra = list(committed), list(rebuilt)
    for identity in (_identity, _names):
        old, new = _by(identity, missing), _by(identity, extra)
        same = [one for one in old if len(old[one]) == len(new.get(one, ())) == 1]
        pairs += [(old[one][0], new[one][0]) for one in same]
        paired = set(same)
        missing, extra = (
            [row for one, rows in table.items() if one not in paired for row in rows] for table in (old, new)
        )
    return pairs, missing, extra


def _by(identity: Callable[[Row], tuple], rows: Iterable[Row]) -> dict[tuple, list[Row]]:
    by: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        by[identity(row)].append(row)
    return by


def _values(row: Row, columns: Iterable[str]) -> tuple:
    return tuple(row[name] for name in columns)


def _names(row: Row) -> tuple:
    return _values(row, NAMES)


def _identity(row: Row) -> tuple:
    """What the signature holds of what was measured; it hashes all settings, and not only those shown."""
    parts = dict(part.partition(":")[::2] for part in row["signature"].split("|"))
    return *_names(row), *_values(parts, OF_SIGNATURE)


def label(row: Row) -> str:
    """A row, for people."""
    attack = "before attacks" if row["attack"] == "none" else attack_label(row)
    return f"{row['benchmark']} {method_label(row)}, {attack}"


def _same_target(old: Row, new: Row) -> bool:
    """Whether the rows began with the same weights, as far as is known."""
    return old.get("target_weights") is not None and old["target_weights"] == new.get("target_weights")


def _numbers(old: Row, new: Row, spreads: Spreads, part: bool, limit: float) -> Iterator[Number]:
    of_model = new["attack"] == "none"
    measured = OF_MODEL if of_model else OF_ATTACK
    derived = () if part else DERIVED[of_model]
    for name in (*measured, *derived):
        a, b = old[name], new[name]
        if None not in (a, b):
            least = max(LEAST_MARGIN, spreads.get((new["signature"], name), 0.0))
            allowed = limit * DERIVED_FACTOR if name in derived else limit
            yield Number(label(new), name, a, b, margins(old, new, name, least) / allowed)


def margins(old: Row, new: Row, name: str, least: float = LEAST_MARGIN) -> float:
    """How many joint margins the two numbers are apart.

    Where one of them has no interval the other's arm stands for both, and ``least`` where neither has. No
    arm of retain, utility or lm-eval is shorter than that.
    """
    low, high = sorted((_estimate(old, name), _estimate(new, name)), key=lambda estimate: estimate.value)
    both = (low.high and low.high - low.value, high.low is not None and high.value - high.low)
    # An arm of 0 is a bound cut to [0, 1], and no margin.
    arms = [max(arm, least * (name in OF_SKILL)) for arm in both if arm] or [least]
    difference = high.value - low.value
    return difference / math.hypot(arms[0], arms[-1]) if difference else 0.0


def _estimate(row: Row, name: str) -> Any:
    """A number with its interval, or without one where the table has no columns for it."""
    return Estimate(row[name], row.get(f"{name}_low"), row.get(f"{name}_high"))


def _other_differences(old: Row, new: Row) -> Iterator[Difference]:
    """What no interval speaks of: what was measured, and whether it worked."""
    where = label(new)
    if new["failed"]:
        what = f"{new['failed']} failed: {' '.join(new['errors'][0].split())}"
        yield Difference(where, what, "run again")
        return
    for name in ("protocol", "data", "forget_metric", "seeds"):
        if old[name] != new[name]:
            yield Difference(where, f"{name} {_text(old[name])}, now {_text(new[name])}")
    if old["seeds"] == new["seeds"] and old["n_scored"] != new["n_scored"]:
        yield Difference(where, f"{old['n_scored']} facts scored, now {new['n_scored']}")
    for name in OF_MODEL if new["attack"] == "none" else OF_ATTACK:
        if (old[name] is None) != (new[name] is None):
            yield Difference(where, f"{name} {_text(old[name])}, now {_text(new[name])}")


def _text(value: Any) -> str:
    """A value, or the beginning of a digest."""
    return number(value, missing=NOT_MEASURED) if isinstance(value, float | None) else str(value)[:12]


def _standing(pairs: Iterable[tuple[Row, Row]]) -> Iterator[str]:
    """Guards, ranks and verdicts that changed: they may where a number that hardly moved crosses a line."""
    for old, new in pairs:
        if new["attack"] == "none":
            for name in ("guard", "rank", "verdict"):
                if old.get(name) != new[name]:
                    change = f"{name} {old.get(name) or 'none'}, now {new[name] or 'none'}"
                    yield f"{new['benchmark']} {method_label(new)}: {change}."
