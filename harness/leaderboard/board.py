"""The leaderboard: a pure function of the cells.

One row for each target x method x attack, over its seeds. What was not measured is null, never a default.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from ..core.keys import key
from ..core.names import CONTROLS, EVALUATION, ORIGINAL, RETRAIN, SCORE, UTILITY
from . import stats
from .columns import COLUMNS, EXACT, SCHEMA, UTILITY_METRIC, Estimate
from .groups import FORGET, Groups, Measured, Seeds
from .identity import GroupId, MethodId, Settings, TargetId
from .standing import Entry, forgot, rank

SAME = (
    *("protocol", "engine", "benchmark", "benchmark_source", "model", "dtype"),
    *("method", "method_source", "attack", "variant", "attack_source"),
)
"""Columns that a row has from its cells as they are."""


def build(groups: Groups) -> pa.Table:
    """The leaderboard of cells grouped by what they measure.

    Controls first, then methods by rank, then those that are not ranked; see docs/protocol.md.
    """
    # lm-eval's score has no row of its own: it stands in the row of the model before any attack.
    shown = Groups({which: seeds for which, seeds in groups.items() if which.stage != UTILITY})
    entries = []
    for which, seeds in shown.items():
        row = _row(which, seeds, shown)
        row |= _differences(which, shown)
        if which.stage == EVALUATION:
            _add_utility(row, groups, which.target, which.method)
        entries.append(Entry(which, row))
    for target in dict.fromkeys(which.target for which in shown):
        rank([entry for entry in entries if entry.which.target == target], shown)
    return pa.Table.from_pylist([entry.row for entry in sorted(entries, key=_place)], schema=SCHEMA)


def _row(which: GroupId, seeds: Seeds, groups: Groups) -> dict[str, Any]:
    """One row without its place among the others."""
    ok, unlearned = seeds.ok(), groups.evaluation(which.target, which.method).ok()
    cell = seeds.first()
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {name: cell.row[name] for name in SAME}
    row |= {"data": which.target.data_fingerprint, "target": which.target.target_key}
    row["target_weights"] = _target_weights(ok)
    failed = seeds.failed()
    row |= {"seeds": len(ok), "failed": len(failed)}
    row["errors"] = [f"seed {seed}: {cell.error}" for seed, cell in failed.items()]

    metric = ok.note("forget_metric") or unlearned.note("forget_metric")
    forget = (FORGET, metric)
    retain = unlearned.note("retain_metric")
    row["forget_metric"] = metric
    row |= _definition(ok or unlearned, forget)
    row |= _estimate(unlearned, forget).columns("forget_before")
    row["retain_before"] = _mean(unlearned.finals(tuple(retain))) if retain else None
    row["utility_before"] = _mean(unlearned.finals(UTILITY_METRIC))
    row["forgotten"] = _mean(float(known) for known in map(forgot, unlearned.values()) if known is not None)
    if which.stage != EVALUATION:
        row |= _estimate(ok, forget).columns("score")
        row |= _estimate(ok, EXACT).columns("exact_match")
        row |= _recovery(which, ok, groups, forget).columns("recovery")
        row["attack_learning_rates"] = sorted(set(ok.notes("learning_rate"))) or None
    row["n_scored"] = min(_facts_scored(ok, forget), default=None)
    row["chance"] = ok.note("chance")
    row["learning_rates"] = sorted(set(unlearned.notes("learning_rate"))) or None
    row["seconds"] = _mean(cell.row["seconds"] for cell in ok.values())
    row["steps"] = _mean(cell.row["steps"] for cell in ok.values())
    row["peak_memory_mib"] = max((cell.row["peak_memory_mib"] for cell in ok.values()), default=None)
    row["signature"] = signature(which, seeds)
    return row


def _recovery(which: GroupId, ok: Seeds, groups: Groups, forget: Measured) -> Estimate:
    """What the attack brought back, against the same attack on the original and on its retrain twin."""
    original, retrain = (groups.control(which, name) for name in (ORIGINAL, RETRAIN))
    share = stats.recovery(ok.facts(forget), original.facts(forget), retrain.facts(forget))
    return Estimate(share.mean, share.low, share.high) if share else Estimate(None)


def _definition(seeds: Seeds, forget: Measured) -> dict[str, Any]:
    """What the forget metric is, as it was stored with its values."""
    final = next((cell.finals[forget] for cell in seeds.values() if forget in cell.finals), {})
    return {f"forget_{name}": final.get(name) for name in ("definition", "low_bound", "high_bound")}


def _target_weights(seeds: Seeds) -> str | None:
    """The weights that all cells began with; None where parts of a grid come from several machines."""
    weights = {cell.row["target_weights"] for cell in seeds.values()}
    return weights.pop() if len(weights) == 1 else None


def _facts_scored(seeds: Seeds, forget: Measured) -> Iterator[int]:
    """Of each seed, where it is known."""
    for cell in seeds.values():
        if count := cell.notes.get("n_scored") or cell.finals.get(forget, {}).get("n"):
            yield count


def _differences(which: GroupId, groups: Groups) -> dict[str, str | None]:
    """The settings that tell benchmark, method and attack from others of the same name."""
    benchmarks = {
        other.target.settings for other in groups if other.target.benchmark == which.target.benchmark
    }
    on_target = [other for other in groups if other.target == which.target]
    methods = {other.method.settings for other in on_target if other.method.method == which.method.method}
    attacks = {
        other.attack.settings
        for other in on_target
        if (other.attack.attack, other.attack.variant) == (which.attack.attack, which.attack.variant)
    }
    return {
        "benchmark_config": _difference(which.target.settings, benchmarks),
        "config": _difference(which.method.settings, methods),
        "attack_config": _difference(which.attack.settings, attacks),
    }


def _difference(chosen: Settings, others: set[Settings]) -> str | None:
    """The settings in which a plugin differs from the others of its name, as JSON; None without others."""
    if len(others) < 2:
        return None
    values = {other: {"plugin": other.plugin, **json.loads(other.config)} for other in others}
    names = sorted({name for settings in values.values() for name in settings})
    differing = [n for n in names if len({key(settings.get(n)) for settings in values.values()}) > 1]
    return json.dumps({name: values[chosen].get(name) for name in differing})


def _add_utility(row: dict[str, Any], groups: Groups, target: TargetId, method: MethodId) -> None:
    """lm-eval's score beside the original's under the same settings, the latest if there are several."""
    scored = groups.of_stage(target, method, UTILITY)
    if not scored:
        return
    latest = max(scored, key=lambda which: max(cell.started_at for cell in scored[which].values()))
    seeds, tasks = scored[latest], latest.attack.settings
    row["lm_eval"] = _mean(seeds.ok().finals(("all", SCORE)))
    original = groups.control(latest, ORIGINAL)
    row["lm_eval_original"] = _mean(original.finals(("all", SCORE)))
    row["lm_eval_tasks"] = json.dumps({"engine": tasks.plugin, **json.loads(tasks.config)})
    failed = seeds.failed()
    row["failed"] += len(failed)
    row["errors"] += [f"seed {seed}, {UTILITY}: {cell.error}" for seed, cell in failed.items()]


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


def _estimate(seeds: Seeds, measured: Measured) -> Estimate:
    """Mean over seeds of a final value; its interval only if every seed has the values of its facts."""
    mean, facts = _mean(seeds.finals(measured)), seeds.facts(measured)
    if not facts or facts.keys() != seeds.keys():
        return Estimate(mean)
    interval = stats.two_level_interval(facts)
    return Estimate(mean, interval.low, interval.high)


def signature(which: GroupId, seeds: Seeds) -> str:
    """What identifies the row of these cells, and which of them worked."""
    cell, ok = seeds.first().row, seeds.ok()
    # Without the digests of code: a comparison asks what was measured, and the cells' keys hold the rest.
    benchmark = (which.target.benchmark, *which.target.settings)
    method = (which.method.method, *which.method.settings)
    attack = (which.attack.attack, which.attack.variant, *which.attack.settings)
    parts = {
        "protocol": cell["protocol"],
        "benchmark": f"{cell['benchmark']}@{_short(key(benchmark))}",
        "data": _short(cell["data_fingerprint"]),
        "model": f"{cell['model']}@{_short(cell['target_key'])}",
        "dtype": cell["dtype"],
        "method": f"{cell['method']}@{_short(key(method))}",
        "attack": f"{cell['attack']}@{_short(key(attack))}",
        "seeds": ",".join(map(str, ok)),
        "cells": _short(key([cell.row["key"] for cell in ok.values()])),
    }
    return "|".join(f"{name}:{value}" for name, value in parts.items())


def _short(digest: str) -> str:
    return digest[:8]


def _place(entry: Entry) -> tuple:
    """By target, then controls, then methods by rank, then the others by worst score, those without last."""
    which, row = entry
    name = which.method.method
    control = CONTROLS.index(name) if name in CONTROLS else len(CONTROLS)
    by = (float("inf") if row[column] is None else row[column] for column in ("rank", "worst"))
    return which.target, control, *by, which.method, which.stage != EVALUATION, which.attack
