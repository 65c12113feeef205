"""Whether two leaderboards say the same: which numbers are further apart than their intervals allow.

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

import pyarrow as pa
from scipy import stats

from ..core.intervals import CONFIDENCE
from ..core.names import LABEL, SCORE
from .board import signature
from .groups import grouped
from .labels import attack_label, method_label

LEAST = 0.1
"""Least half-interval of a number that carries none in the table (retain, utility, lm-eval): the tenth that
counts as having paid with the model. Seeds share one target; on another machine it is another one, and the
small model's skills move with it by more than with its seeds."""

OF_MODEL = ("forget_before", "retain_before", "utility_before", "lm_eval")
OF_ATTACK = ("score", "exact_match")
"""What a cell measures before any attack, and under one."""

DERIVED = {True: ("worst",), False: ("recovery",)}
"""What follows from these numbers and those of other rows, of a model (True) and of an attack."""

LOOSE = 2.0
"""How many times as far derived numbers may be apart. They are no further evidence, and the interval of a
recovery shrinks to nothing where all facts agree; an error in computing them is still found."""

CONFIGS = ("benchmark_config", "config", "attack_config")
NAMES = ("benchmark", "model", "dtype", "method", "attack", "variant")
MODEL = ("benchmark", "benchmark_config", "data", "model", "dtype", "method", "config")

MEANT = "find out why; if it is meant, build and commit"

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
    """What does not agree, and what to do."""

    where: str
    what: str
    todo: str = MEANT


@dataclass
class Findings:
    """What a comparison found. ``notes`` are worth telling and no difference."""

    rows: int = 0
    models: int = 0
    numbers: list[Number] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def limit(self) -> float:
        """How many joint margins two numbers may be apart: 1 for one model, 1.6 for thirty."""
        tail = (1 - CONFIDENCE) / 2
        return float(stats.norm.isf(tail / max(self.models, 1)) / stats.norm.isf(tail))


def compare(
    committed: Sequence[Row], rebuilt: Sequence[Row], spreads: Spreads | None = None, part: bool = False
) -> Findings:
    """Hold the rows of two leaderboards against each other.

    Without ``part`` both must have all rows. A part says nothing about the rows it lacks, nor about numbers
    that hang on other rows (recovery, worst, rank). ``spreads`` (see below) widen the margins of numbers
    without an interval.
    """
    pairs, missing, extra = matched(committed, rebuilt)
    found = Findings(len(pairs), len({_of(MODEL, ours) for _, ours in pairs}))
    for theirs, ours in pairs:
        found.numbers += _numbers(theirs, ours, spreads or {}, part, found.limit)
        found.differences += _unlike(theirs, ours)
    found.numbers.sort(key=lambda number: -number.share)
    found.differences += [
        Difference(number.where, f"{number.name} {number.committed:.3f}, now {number.rebuilt:.3f}")
        for number in found.numbers
        if number.share > 1
    ]
    found.differences += [Difference(label(row), "not in the committed table") for row in extra]
    if not part:
        found.differences += [Difference(label(row), "not in the results", "run it") for row in missing]
        found.notes += _standing(pairs)
    if changed := sum(_identity(theirs) != _identity(ours) for theirs, ours in pairs):
        found.notes.append(f"rows from other settings or another version of a plugin: {changed}.")
    return found


def spreads(cells: pa.Table, metrics: pa.Table, samples: pa.Table) -> dict[tuple[str, str], float]:
    """Half of Student's interval over seeds, of the numbers of each model that carry no interval."""
    groups = grouped(cells, metrics, samples)
    found = {}
    for (target, method, attack), seeds in groups.items():
        if attack[0] != "none" or attack[1] == LABEL:
            continue
        ok = seeds.ok()
        useful = [s.ok() for (t, m, a), s in groups.items() if (t, m, a[1]) == (target, method, LABEL)]
        values = {
            "retain_before": ok.finals(tuple(ok.note("retain_metric") or ())),
            "utility_before": ok.finals(("all", "utility")),
            "lm_eval": [value for each in useful for value in each.finals(("all", SCORE))],
        }
        for name, own in values.items():
            if len(own) > 1:
                t = stats.t.isf((1 - CONFIDENCE) / 2, len(own) - 1)
                found[signature(seeds), name] = float(t * stats.sem(own))
    return found


def matched(
    committed: Iterable[Row], rebuilt: Iterable[Row]
) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
    """The rows that measured the same thing, and what is left of each table.

    The same thing is what has the same signature, apart from target, seeds and cells: these change with the
    engine's code. Of what is left, rows are held together that alone bear their names in their tables: there
    the data, the protocol, a setting or a version has changed.
    """
    pairs: list[tuple[Row, Row]] = []
    left, right = list(committed), list(rebuilt)
    for what in (_identity, _names):
        theirs, ours = _by(what, left), _by(what, right)
        same = [one for one in theirs if len(theirs[one]) == len(ours.get(one, ())) == 1]
        pairs += [(theirs[one][0], ours[one][0]) for one in same]
        told = set(same)
        left, right = (
            [row for one, rows in own.items() if one not in told for row in rows] for own in (theirs, ours)
        )
    return pairs, left, right


def _by(what: Callable[[Row], tuple], rows: Iterable[Row]) -> dict[tuple, list[Row]]:
    found: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        found[what(row)].append(row)
    return found


def _of(columns: Iterable[str], row: Row) -> tuple:
    return tuple(row[name] for name in columns)


def _names(row: Row) -> tuple:
    return _of(NAMES, row)


def _identity(row: Row) -> tuple:
    """What the signature holds of what was measured; it hashes all settings, and not only those shown."""
    parts = dict(part.partition(":")[::2] for part in row["signature"].split("|"))
    return *_names(row), *_of(("protocol", "benchmark", "data", "method", "attack"), parts)


def label(row: Row) -> str:
    """A row, for people."""
    attack = "before attacks" if row["attack"] == "none" else attack_label(row)
    return f"{row['benchmark']} {method_label(row)}, {attack}"


def _numbers(theirs: Row, ours: Row, spreads: Spreads, part: bool, limit: float) -> Iterator[Number]:
    of_model = ours["attack"] == "none"
    measured = OF_MODEL if of_model else OF_ATTACK
    derived = () if part else DERIVED[of_model]
    for name in (*measured, *derived):
        a, b = theirs[name], ours[name]
        if None not in (a, b):
            least = max(LEAST, spreads.get((ours["signature"], name), 0.0))
            allowed = limit * LOOSE if name in derived else limit
            yield Number(label(ours), name, a, b, margins(theirs, ours, name, least) / allowed)


def margins(theirs: Row, ours: Row, name: str, least: float = LEAST) -> float:
    """How many joint margins the two numbers are apart.

    Where one of them has no interval the other's arm stands for both, and ``least`` where neither has.
    """
    low, high = sorted((theirs, ours), key=lambda row: row[name])
    upper, lower = low.get(f"{name}_high"), high.get(f"{name}_low")
    both = (upper and upper - low[name], lower is not None and high[name] - lower)
    # An arm of 0 is a bound cut to [0, 1], and no margin.
    arms = [arm for arm in both if arm] or [least]
    difference = high[name] - low[name]
    return difference / math.hypot(arms[0], arms[-1]) if difference else 0.0


def _unlike(theirs: Row, ours: Row) -> Iterator[Difference]:
    """What no interval speaks of: what was measured, and whether it worked."""
    where = label(ours)
    if ours["failed"]:
        yield Difference(
            where, f"{ours['failed']} failed: {' '.join(ours['errors'][0].split())}", "run again"
        )
        return
    for name in ("protocol", "data", "forget_metric", "seeds"):
        if theirs[name] != ours[name]:
            yield Difference(where, f"{name} {_text(theirs[name])}, now {_text(ours[name])}")
    if theirs["seeds"] == ours["seeds"] and theirs["n_scored"] != ours["n_scored"]:
        yield Difference(where, f"{theirs['n_scored']} facts scored, now {ours['n_scored']}")
    for name in OF_MODEL if ours["attack"] == "none" else OF_ATTACK:
        if (theirs[name] is None) != (ours[name] is None):
            yield Difference(where, f"{name} {_text(theirs[name])}, now {_text(ours[name])}")


def _text(value: Any) -> str:
    return (
        "not measured" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)[:12]
    )


def _standing(pairs: Iterable[tuple[Row, Row]]) -> Iterator[str]:
    """Guards and ranks that changed: they may where a number that hardly moved crosses a line."""
    for theirs, ours in pairs:
        if ours["attack"] == "none":
            for name in ("guard", "rank"):
                if theirs[name] != ours[name]:
                    told = f"{name} {theirs[name] or 'none'}, now {ours[name] or 'none'}"
                    yield f"{ours['benchmark']} {method_label(ours)}: {told}."
