"""What must hold in any results: a violation stops the leaderboard, with the rows that violate it.

No plugin is asked: the tables are all there is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.formulas import FORMULAS, Formula
from ..errors import StoreError
from ..scoring import membership as _membership  # noqa: F401  importing describes the formulas
from ..scoring import metrics as _metrics  # noqa: F401
from ..store.schema import ATTACK, TARGET

ROUNDING = 1e-6
"""Log-probabilities are sums in single precision: e to such a sum may be 1 and a little."""

NOISE = 1e-3
"""How far the untouched model's mean over a split may differ from machine to machine."""

SHOWN = 5
"""Offending rows that an error shows."""

ASKED = ("", "_paraphrase", "_multi_hop", "_same_answer")
BY_NAME = {
    "rouge_l": "rouge_l_recall",
    "truth_ratio": "truth_ratio_other",
    "utility": "harmonic_mean",
    "probability_paraphrase": "probability",
    **{f"accuracy{asked}": "option_correct" for asked in ASKED},
    **{f"generated_accuracy{asked}": "option_generated" for asked in ASKED},
    **dict.fromkeys(("UA", "UA+", "MA_f", "TA", "SA", "MA_t"), "option_correct"),
    **{f"auc_{name}": "auc" for name in ("loss", "zlib", "min_k", "min_k_plus_plus")},
}
"""The formula, or one of the same range, of metrics that are not named like theirs."""

Rows = list[dict[str, Any]]


def formula_of(metric: str) -> Formula | None:
    """What computes a metric, or None for a name that only a stranger's benchmark knows."""
    return FORMULAS.get(BY_NAME.get(metric, metric))


def bounds(metric: str) -> tuple[float, float] | None:
    """Least and highest value of a metric, or None as above."""
    formula = formula_of(metric)
    return (formula.low, formula.high) if formula else None


def check(cells: pa.Table, metrics: pa.Table, samples: pa.Table) -> None:
    """Raise StoreError for the first rule that these tables violate, naming it and the offending rows."""
    known = {cell["key"]: cell for cell in cells.to_pylist()}
    finals = metrics.filter(pc.is_null(metrics["step"]))
    _one_protocol(known)
    _once("cell", cells, ["key"], known)
    _once("metric", finals, ["key", "split", "metric"], known)
    _once("sample", samples, ["key", "split", "metric", "fact_id"], known)
    for table in (metrics, samples):
        _in_range(table, known)
    _exact_match_is_not_above_rouge(metrics, known)
    _untouched_is_the_same(finals, known)


def _stop(rule: str, rows: Rows, known: Mapping[str, dict[str, Any]], what: str) -> None:
    """Raise StoreError unless ``rows`` is empty. ``what`` formats a row."""
    if not rows:
        return
    told = []
    for row in sorted(rows, key=lambda r: (r["key"], what.format_map(r)))[:SHOWN]:
        cell = known.get(row["key"], {})
        names = [cell.get(n) for n in ("benchmark", "method", "attack", "variant")]
        seed = f"seed {cell['seed']}" if cell else ""
        where = " ".join(str(part) for part in (*names, seed) if part)
        told.append(f"{row['key'][:12]} ({where}): {what.format_map(row)}")
    more = f"; and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    raise StoreError(
        f"No leaderboard from these results: {rule}. Violated by cell {'; '.join(told)}{more}. Move these "
        "cells' files away and run again, or build from other results."
    )


def _one_protocol(known: Mapping[str, dict[str, Any]]) -> None:
    protocols = sorted({cell["protocol"] for cell in known.values()})
    if len(protocols) > 1:
        first = [next(c for c in known.values() if c["protocol"] == p) for p in protocols]
        rule = f"protocols {' and '.join(protocols)} cannot be compared"
        _stop(rule, first, known, "protocol {protocol}")


def _once(kind: str, table: pa.Table, columns: list[str], known: Mapping[str, dict[str, Any]]) -> None:
    counted = table.group_by(columns).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1)).to_pylist()
    what = ", ".join(f"{{{name}}}" for name in columns[1:])
    _stop(f"a {kind} must be there once", twice, known, f"{what or 'the cell'}, {{count_all}} times")


def _in_range(table: pa.Table, known: Mapping[str, dict[str, Any]]) -> None:
    _stop("a value is a number", _where(table, pc.is_nan(table["value"])), known, VALUE)
    extremes = table.group_by("metric").aggregate([("value", "min"), ("value", "max")]).to_pylist()
    for each in extremes:
        if (allowed := bounds(each["metric"])) is None:
            continue
        low, high = allowed[0] - ROUNDING, allowed[1] + ROUNDING
        if each["value_min"] < low or each["value_max"] > high:
            own, value = pc.equal(table["metric"], each["metric"]), table["value"]
            outside = pc.and_(own, pc.or_(pc.less(value, low), pc.greater(value, high)))
            rule = f"{each['metric']} lies in [{allowed[0]:g}, {allowed[1]:g}]"
            _stop(rule, _where(table, outside), known, VALUE)


def _exact_match_is_not_above_rouge(table: pa.Table, known: Mapping[str, dict[str, Any]]) -> None:
    """A text that is the gold answer holds all its words. Of means, at each point of a curve and in the end.

    Not of single facts: the samples of an attack are those of each metric's own best checkpoint.
    """
    found: dict[tuple, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    both = table.filter(pc.is_in(table["metric"], pa.array(["exact_match", "rouge_l"])))
    for row in both.to_pylist():
        found[row["key"], row["split"], row["step"], row["learning_rate"]][row["metric"]].append(row)
    above = [
        {**exact, "rouge_l": rouge["value"]}
        for point in found.values()
        for exact, rouge in zip(point["exact_match"], point["rouge_l"], strict=False)
        if exact["value"] > rouge["value"] + ROUNDING
    ]
    rule = "exact match is at most ROUGE-L recall"
    _stop(rule, above, known, "{split}.exact_match {value:g}, rouge_l {rouge_l:g}")


def _untouched_is_the_same(finals: pa.Table, known: Mapping[str, dict[str, Any]]) -> None:
    """The original, before any attack, is one model: its cells agree over seeds and runs."""
    cells = {
        key: tuple(cell[name] for name in (*TARGET, *ATTACK))
        for key, cell in known.items()
        if (cell["method"], cell["attack"]) == ("none", "none")
    }
    own = finals.filter(pc.is_in(finals["key"], pa.array(cells, pa.string())))
    found: dict[tuple, Rows] = defaultdict(list)
    for row in own.sort_by("key").to_pylist():
        if row["split"] != "all" and bounds(row["metric"]) == (0, 1):
            found[*cells[row["key"]], row["split"], row["metric"]].append(row)
    differing = list(_apart(found))
    _stop("'none' measures the same in all runs on one target", differing, known, VALUE)


def _apart(found: Mapping[tuple, Rows]) -> Iterator[dict[str, Any]]:
    """The lowest and the highest row of each group that differ."""
    for rows in found.values():
        low, high = (pick(rows, key=lambda row: row["value"]) for pick in (min, max))
        if high["value"] - low["value"] > NOISE:
            yield from (low, high)


def _where(table: pa.Table, mask: Any) -> Rows:
    return table.filter(mask).to_pylist()


VALUE = "{split}.{metric} {value:g}"
