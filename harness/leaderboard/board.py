"""The leaderboard: a pure function of the cells' tables.

One row for each target x method x attack, over its seeds. What was not measured is null, never a default.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from ..core.keys import key
from ..core.names import CONTROLS, LABEL, SCORE
from ..errors import StoreError
from ..store.schema import ATTACK, BENCHMARK, METHOD
from . import invariants, ranking, stats
from .columns import COLUMNS, EXACT, SCHEMA
from .groups import Cell, Groups, Seeds, before, control, grouped, identity
from .labels import attack_label, comparable, method_label, target_metric

Triple = tuple[float | None, float | None, float | None]
Entry = tuple[tuple, tuple, tuple, dict[str, Any]]
"""Identities of target, method and attack, and the row."""


def build(cells: pa.Table, metrics: pa.Table, samples: pa.Table) -> pa.Table:
    """The leaderboard of committed cells (see ``harness.store``), in whatever order they come.

    Controls first, then methods by rank, then those that are not ranked; see docs/protocol.md. Of two cells
    that differ in nothing shown here (the code changed in between) the later one counts. Raises StoreError
    when there are no cells, or where they violate what must hold in any results.
    """
    if not cells.num_rows:
        raise StoreError("There are no results yet; run `harness run` or point --results at its directory.")
    invariants.check(cells, metrics, samples)
    groups = grouped(cells, metrics, samples)
    useful = {which: groups.pop(which) for which in [*groups] if which[2][:2] == ("none", LABEL)}
    rows = []
    for (target, method, attack), seeds in groups.items():
        controls = (control(groups, target, name, attack) for name in ("none", "retrain"))
        row = _row(seeds, before(groups, target, method), *controls)
        methods = {m[1:] for t, m, _ in groups if (t, m[0]) == (target, method[0])}
        attacks = {a[2:] for t, _, a in groups if (t, a[:2]) == (target, attack[:2])}
        benchmarks = {t[1:3] for t, _, _ in groups if t[0] == target[0]}
        row["benchmark_config"] = _difference(target[1:3], benchmarks)
        row["config"] = _difference(method[1:], methods)
        row["attack_config"] = _difference(attack[2:], attacks)
        if attack[0] == "none":
            _add_utility(row, useful, target, method)
        rows.append((target, method, attack, row))
    for target in dict.fromkeys(which[0] for which in groups):
        _stand([entry for entry in rows if entry[0] == target], groups)
    return pa.Table.from_pylist(_ordered(rows), schema=SCHEMA)


def _row(seeds: Seeds, models: Seeds, original: Seeds, retrain: Seeds) -> dict[str, Any]:
    """One row without its place among the others."""
    ok, unlearned = seeds.ok(), models.ok()
    cell = next(iter(seeds.values()))
    same = ("protocol", "benchmark", "model", "dtype", "method", "attack", "variant")
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {name: cell[name] for name in same}
    row |= {"data": cell["data_fingerprint"], "target": cell["target_key"]}
    failed = [(seed, c) for seed, c in sorted(seeds.items()) if c["status"] != "ok"]
    row |= {"seeds": len(ok), "failed": len(failed)}
    row["errors"] = [f"seed {seed}: {c['error_type']}: {c['error_message']}" for seed, c in failed]

    metric = ok.note("forget_metric") or unlearned.note("forget_metric")
    forget = ("forget", metric)
    retain = unlearned.note("retain_metric")
    row["forget_metric"] = metric
    row |= _with_interval("forget_before", _measured(unlearned, forget))
    row["retain_before"] = _mean(unlearned.finals(tuple(retain))) if retain else None
    row["utility_before"] = _mean(unlearned.finals(("all", "utility")))
    row["forgotten"] = _mean(float(known) for known in map(_forgot, unlearned.values()) if known is not None)
    if cell["attack"] != "none":
        row |= _with_interval("score", _measured(ok, forget))
        row |= _with_interval("exact_match", _measured(ok, EXACT))
        back = stats.recovery(ok.facts(forget), original.facts(forget), retrain.facts(forget))
        row |= _with_interval("recovery", back[:3] if back else (None, None, None))
        row["attack_learning_rates"] = sorted(set(ok.notes("learning_rate"))) or None
    scored = (c["notes"].get("n_scored") or c["finals"].get(forget, {}).get("n") for c in ok.values())
    row["n_scored"] = min((n for n in scored if n), default=None)
    row["chance"] = ok.note("chance")
    row["learning_rates"] = sorted(set(unlearned.notes("learning_rate"))) or None
    row["seconds"] = _mean(c["seconds"] for c in ok.values())
    row["steps"] = _mean(c["steps"] for c in ok.values())
    row["peak_memory_mib"] = max((c["peak_memory_mib"] for c in ok.values()), default=None)
    row["signature"] = signature(seeds)
    return row


def _add_utility(row: dict[str, Any], useful: Groups, target: tuple, method: tuple) -> None:
    """lm-eval's score beside the original's under the same settings, the latest if there are several."""
    own = [(a, seeds) for (t, m, a), seeds in useful.items() if (t, m) == (target, method)]
    if not own:
        return
    attack, seeds = max(own, key=lambda entry: max(c["provenance"]["started_at"] for c in entry[1].values()))
    row["lm_eval"] = _mean(seeds.ok().finals(("all", SCORE)))
    row["lm_eval_original"] = _mean(control(useful, target, "none", attack).finals(("all", SCORE)))
    row["lm_eval_tasks"] = json.dumps({"engine": attack[2], **json.loads(attack[3])})
    failed = [(seed, cell) for seed, cell in sorted(seeds.items()) if cell["status"] != "ok"]
    row["failed"] += len(failed)
    row["errors"] += [f"seed {n}, {LABEL}: {c['error_type']}: {c['error_message']}" for n, c in failed]


def _stand(entries: list[Entry], groups: Groups) -> None:
    """Add to the rows of one target what each method's worst attack found, its guard, and its rank."""
    metric = target_metric([row for *_, row in entries])
    scores: dict[tuple, dict[str, stats.BySeed]] = defaultdict(dict)
    rows: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for target, method, attack, row in sorted(entries, key=lambda entry: entry[:3]):
        rows[method].append(row)
        ok = groups[target, method, attack].ok()
        if comparable(row, metric) and (facts := ok.facts(("forget", metric))).keys() == ok.keys():
            scores[method][attack_label(row)] = facts
    attacks = dict.fromkeys(attack for own in scores.values() for attack in own)
    original = next((_before(own) for method, own in rows.items() if method[0] == "none"), {})
    for method, own in rows.items():
        standing = _worst(scores[method], [row for row in own if comparable(row, metric)])
        if method[0] not in CONTROLS:
            lacking = [attack for attack in attacks if attack not in scores[method]]
            standing["guard"] = _guard(own, before(groups, target, method), original, lacking)
        for row in own:
            row.update(standing)
    ranked = [
        method
        for method, own in rows.items()
        if method[0] not in CONTROLS and own[0]["guard"] is None and scores[method]
    ]
    ranked.sort(key=lambda method: (rows[method][0]["worst"], method))
    p = ranking.apart({method: scores[method] for method in ranked})
    ranks = ranking.groups(ranked, p)
    for method in ranked:
        told = [other for other in ranked if ranking.differ(p, method, other)]
        for row in rows[method]:
            row["rank"] = ranks[method]
            row["distinguishable_from"] = [method_label(rows[other][0]) for other in told]


def _worst(scores: Mapping[str, stats.BySeed], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns of the highest score; its interval only if all scores have the values of their facts."""
    if not rows:
        return {}
    highest = max(rows, key=lambda row: row["score"])
    numbers: Triple = (highest["score"], None, None)
    if len(scores) == len(rows):
        numbers = (highest["score"], *ranking.worst(scores))
    return {"worst_attack": attack_label(highest), **_with_interval("worst", numbers)}


def _guard(
    rows: list[dict[str, Any]], unlearned: Seeds, original: Mapping[str, Any], lacking: list[str]
) -> str | None:
    """Why a method is not ranked. lm-eval counts where it was measured, of the method or of the original."""
    own = _before(rows)
    kept = {"retain": "retain_before", "utility": "utility_before"}
    pairs = {name: (own.get(column), original.get(column)) for name, column in kept.items()}
    reference = own.get("lm_eval_original") if own.get("lm_eval_tasks") else original.get("lm_eval")
    useful = (own.get("lm_eval"), reference)
    if any(value is not None for value in useful):
        pairs["lm-eval"] = useful
    seeds = min((row["seeds"] for row in rows if row is own or row["score"] is not None), default=0)
    return ranking.guard([_forgot(cell) for cell in unlearned.ok().values()], pairs, seeds, lacking)


def _before(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row before any attack; empty if there is none."""
    return next((row for row in rows if row["attack"] == "none"), {})


def _forgot(cell: Cell) -> bool | None:
    """Whether a model is at or below the benchmark's threshold, before any attack; None if it is not known.

    A method may stop by a rule of its own; what counts is what the benchmark says of the model it left.
    """
    notes = cell["notes"]
    value = cell["finals"].get(("forget", notes.get("forget_metric")), {}).get("value")
    if None in (value, notes.get("threshold")):
        return notes.get("forgotten")
    return value <= notes["threshold"]


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def _measured(seeds: Seeds, which: tuple) -> Triple:
    """Mean over seeds of a final value; its interval only if every seed has the values of its facts."""
    facts = seeds.facts(which)
    if not facts or facts.keys() != seeds.keys():
        return _mean(seeds.finals(which)), None, None
    _, low, high, _ = stats.two_level_interval(facts)
    return _mean(seeds.finals(which)), low, high


def _with_interval(name: str, numbers: Triple) -> dict[str, float | None]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True))


def _difference(own: tuple[str, str], others: set[tuple[str, str]]) -> str | None:
    """The settings in which (plugin, config) differs from the others, as JSON; None without others."""
    if len(others) < 2:
        return None
    settings = {pair: {"plugin": pair[0], **json.loads(pair[1])} for pair in others}
    names = sorted({name for each in settings.values() for name in each})
    told = [n for n in names if len({key(each.get(n)) for each in settings.values()}) > 1]
    return json.dumps({name: settings[own].get(name) for name in told})


def signature(seeds: Seeds) -> str:
    """What identifies the row of these cells, and which of them worked."""
    cell, ok = next(iter(seeds.values())), seeds.ok()
    parts = {
        "protocol": cell["protocol"],
        "benchmark": f"{cell['benchmark']}@{key(identity(cell, BENCHMARK))[:8]}",
        "data": cell["data_fingerprint"][:8],
        "model": f"{cell['model']}@{cell['target_key'][:8]}",
        "dtype": cell["dtype"],
        "method": f"{cell['method']}@{key(identity(cell, METHOD))[:8]}",
        "attack": f"{cell['attack']}@{key(identity(cell, ATTACK))[:8]}",
        "seeds": ",".join(map(str, ok)),
        "cells": key([c["key"] for c in ok.values()])[:8],
    }
    return "|".join(f"{name}:{value}" for name, value in parts.items())


def _ordered(entries: list[Entry]) -> list[dict[str, Any]]:
    """By target, then controls, then methods by rank, then the others by worst score, those without last."""

    def place(entry: Entry) -> tuple:
        target, method, attack, row = entry
        control = CONTROLS.index(method[0]) if method[0] in CONTROLS else len(CONTROLS)
        by = (float("inf") if row[name] is None else row[name] for name in ("rank", "worst"))
        return target, control, *by, method, attack[0] != "none", attack

    return [row for *_, row in sorted(entries, key=place)]
