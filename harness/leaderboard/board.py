"""The leaderboard: a pure function of the cells.

One row for each target x method x attack, over its seeds. What was not measured is null, never a default.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import lru_cache
from typing import Any

import pyarrow as pa

from ..core.keys import key
from ..core.names import CONTROLS, EVALUATION, ORIGINAL, UTILITY
from . import stats
from .before import Query, before
from .columns import COLUMNS, EXACT, SCHEMA
from .estimates import estimates, from_seeds, known, mean, over_facts_or_seeds
from .evidence import Entry, gather
from .groups import Groups, Seeds
from .identity import GroupId, MethodId, Settings, TargetId
from .kept import LM_EVAL, latest
from .overall import compare
from .reading import FORGET, Measured
from .recovery import baselines, compared
from .standing import rank
from .verdict import Verdict, verdict

Row = dict[str, Any]

SAME = (
    *("protocol", "engine", "benchmark", "benchmark_source", "model", "dtype"),
    *("method", "method_source", "attack", "variant", "attack_source"),
)
"""Columns that a row has from its cells as they are."""


Benchmarks = Mapping[str, Set[Settings]]
"""By name, all settings that rows beside each other have of a benchmark."""


def build(groups: Groups, benchmarks: Benchmarks | None = None) -> pa.Table:
    """The leaderboard of cells grouped by what they measure.

    Controls first, then methods by rank, then those that are not ranked; see docs/protocol.md. Where it is a
    part of one, ``benchmarks`` says what the whole has.
    """
    entries = sorted(_entries(groups, benchmarks), key=lambda entry: entry.which)  # as all want them
    compare(rank(entries, groups))
    return pa.Table.from_pylist([entry.row for entry in sorted(entries, key=_place)], schema=SCHEMA)


def verdicts(groups: Groups) -> dict[str, Verdict]:
    """The verdict on each method of one target, controls too, by its name."""
    evidence = gather(list(_entries(groups)), groups)
    return {method.method: verdict(of_method) for (_, method), of_method in evidence.items()}


def _entries(groups: Groups, benchmarks: Benchmarks | None = None) -> Iterator[Entry]:
    """The rows, without what a method's other rows decide."""
    # lm-eval's score has no row of its own: it stands in the row of the model before any attack.
    shown = [which for which in groups if which.stage != UTILITY]
    starts, names = baselines(groups), _Names(shown, benchmarks or {})
    queries = {
        which: Query(which.target, which.method, _forget(which, groups), starts[which.target])
        for which in shown
    }
    # The rows of one method have these in common, but for another metric under some attack.
    of_model = before(groups, {*queries.values()})
    attacked = _under_attacks(groups, queries)
    for which, query in queries.items():
        row = _row(which, groups, query) | of_model[query] | attacked.get(which, {})
        row |= names.differences(which)
        if which.stage == EVALUATION:
            _add_utility(row, groups, which.target, which.method)
        yield Entry(which, row)


def _under_attacks(groups: Groups, queries: Mapping[GroupId, Query]) -> dict[GroupId, Row]:
    """The columns of scores and recovery of each row that is of an attack: at once, which is much faster."""
    under = [which for which in queries if which.stage != EVALUATION]
    ok = [groups[which].ok() for which in under]
    own = [(seeds, queries[which].forget) for seeds, which in zip(ok, under, strict=True)]
    exact = [(seeds, EXACT) for seeds in ok]
    compare = [compared(which, groups, queries[which].forget, queries[which].start) for which in under]
    recovered = stats.all_recoveries([each[:3] for each in compare], [each.clusters for each in compare])
    columns = zip(from_seeds(own), estimates(exact), recovered, strict=True)
    return {
        which: score.columns("score")
        | {"score_from_seeds": seeds}
        | said.columns("exact_match")
        | known(share).columns("recovery")
        for which, ((score, seeds), said, share) in zip(under, columns, strict=True)
    }


def _forget(which: GroupId, groups: Groups) -> Measured:
    """The forget metric of a row, which it has from before any attack where all its cells failed."""
    ok, unlearned = groups[which].ok(), groups.evaluation(which.target, which.method).ok()
    return FORGET, ok.note("forget_metric") or unlearned.note("forget_metric")


def _row(which: GroupId, groups: Groups, query: Query) -> Row:
    """One row without its numbers, and without its place among the others."""
    seeds = groups[which]
    ok, unlearned = seeds.ok(), groups.evaluation(which.target, which.method).ok()
    cell = seeds.first()
    row: Row = dict.fromkeys(COLUMNS) | {name: cell.row[name] for name in SAME}
    row |= {"data": which.target.data_fingerprint, "target": which.target.target_family}
    row["target_weights"] = _target_weights(ok)
    failed = seeds.failed()
    row |= {"seeds": len(ok), "failed": len(failed), "targets": len({*ok.targets().values()})}
    row["errors"] = [f"seed {seed}: {cell.error}" for seed, cell in failed.items()]

    forget = query.forget
    row |= {"forget_metric": forget[1], "baseline": query.start}
    row |= _definition(ok or unlearned, forget)
    if which.stage != EVALUATION:
        row["attack_learning_rates"] = sorted(set(ok.notes("learning_rate"))) or None
    row["n_scored"] = min(_facts_scored(ok, forget), default=None)
    row["chance"] = ok.note("chance")
    row["seconds"] = mean(cell.row["seconds"] for cell in ok.values())
    row["steps"] = mean(cell.row["steps"] for cell in ok.values())
    row["peak_memory_mib"] = max((cell.row["peak_memory_mib"] for cell in ok.values()), default=None)
    row["hardware"] = sorted({name for cell in ok.values() if (name := cell.hardware)}) or None
    row["signature"] = signature(which, seeds)
    return row


def _definition(seeds: Seeds, forget: Measured) -> dict[str, Any]:
    """What the forget metric is, as it was stored with its values."""
    final = next((cell.finals[forget] for cell in seeds.values() if forget in cell.finals), {})
    return {f"forget_{name}": final.get(name) for name in ("definition", "low_bound", "high_bound")}


def _target_weights(seeds: Seeds) -> str | None:
    """The weights that all cells began with, a digest over those of several targets.

    None where parts of a grid come from several machines: they made two of one target.
    """
    weights = {(cell.row["target_key"], cell.row["target_weights"]) for cell in seeds.values()}
    if len(weights) == 1:
        return str(weights.pop()[1])
    once = len({target for target, _ in weights}) == len(weights)
    return key(sorted(digest for _, digest in weights)) if weights and once else None


def _facts_scored(seeds: Seeds, forget: Measured) -> Iterator[int]:
    """Of each seed, where it is known."""
    for cell in seeds.values():
        if count := cell.notes.get("n_scored") or cell.finals.get(forget, {}).get("n"):
            yield count


class _Names:
    """The settings under each name: of benchmarks, of methods on a target, of attacks on it."""

    def __init__(self, groups: Iterable[GroupId], benchmarks: Benchmarks) -> None:
        self.benchmarks: dict[str, set[Settings]] = defaultdict(set)
        self.benchmarks |= {name: {*settings} for name, settings in benchmarks.items()}
        self.methods: dict[tuple[TargetId, str], set[Settings]] = defaultdict(set)
        self.attacks: dict[tuple[TargetId, str, str], set[Settings]] = defaultdict(set)
        for target, method, _, attack in groups:
            self.benchmarks[target.benchmark].add(target.settings)
            self.methods[target, method.method].add(method.settings)
            self.attacks[target, attack.attack, attack.variant].add(attack.settings)

    def differences(self, which: GroupId) -> dict[str, str | None]:
        """The settings that tell benchmark, method and attack from others of the same name."""
        target, method, _, attack = which
        attacks = self.attacks[target, attack.attack, attack.variant]
        return {
            "benchmark_config": _difference(target.settings, self.benchmarks[target.benchmark]),
            "config": _difference(method.settings, self.methods[target, method.method]),
            "attack_config": _difference(attack.settings, attacks),
        }


def _difference(chosen: Settings, others: set[Settings]) -> str | None:
    """The settings in which a plugin differs from the others of its name, as JSON; None without others."""
    if len(others) < 2:
        return None
    values = {other: {"plugin": other.plugin, **json.loads(other.config)} for other in others}
    names = sorted({name for settings in values.values() for name in settings})
    differing = [n for n in names if len({key(settings.get(n)) for settings in values.values()}) > 1]
    return json.dumps({name: values[chosen].get(name) for name in differing})


def _add_utility(row: Row, groups: Groups, target: TargetId, method: MethodId) -> None:
    """lm-eval's score beside the original's under the same settings, the latest if there are several."""
    which = latest(target, method, groups)
    if which is None:
        return
    seeds, tasks = groups[which], which.attack.settings
    [score] = over_facts_or_seeds([(seeds.ok(), LM_EVAL)])
    row |= score.columns("lm_eval")
    row["lm_eval_original"] = mean(groups.control(which, ORIGINAL).finals(LM_EVAL))
    row["lm_eval_tasks"] = json.dumps({"engine": tasks.plugin, **json.loads(tasks.config)})
    failed = seeds.failed()
    row["failed"] += len(failed)
    row["errors"] += [f"seed {seed}, {UTILITY}: {cell.error}" for seed, cell in failed.items()]


def signature(which: GroupId, seeds: Seeds) -> str:
    """What identifies the row of these cells, and which of them worked."""
    if seeds.signature is None:
        seeds.signature = _signature(which, seeds)
    return seeds.signature


def _signature(which: GroupId, seeds: Seeds) -> str:
    cell, ok = seeds.first().row, seeds.ok()
    # Without the digests of code: a comparison asks what was measured, and the cells' keys hold the rest.
    benchmark = (which.target.benchmark, *which.target.settings)
    method = (which.method.method, *which.method.settings)
    attack = (which.attack.attack, which.attack.variant, *which.attack.settings)
    parts = {
        "protocol": cell["protocol"],
        "benchmark": f"{cell['benchmark']}@{_digest(benchmark)}",
        "data": _short(cell["data_fingerprint"]),
        "model": f"{cell['model']}@{_short(cell['target_family'])}",
        "dtype": cell["dtype"],
        "method": f"{cell['method']}@{_digest(method)}",
        "attack": f"{cell['attack']}@{_digest(attack)}",
        "seeds": ",".join(map(str, ok)),
        "cells": _short(key([cell.row["key"] for cell in ok.values()])),
    }
    return "|".join(f"{name}:{value}" for name, value in parts.items())


@lru_cache(1 << 12)
def _digest(named: tuple[str, ...]) -> str:
    return _short(key(named))


def _short(digest: str) -> str:
    return digest[:8]


def _place(entry: Entry) -> tuple:
    """By target, then controls, then methods by rank, then the others by worst score, those without last."""
    which, row = entry
    name = which.method.method
    control = CONTROLS.index(name) if name in CONTROLS else len(CONTROLS)
    by = (float("inf") if row[column] is None else row[column] for column in ("rank", "worst"))
    return which.target, control, *by, which.method, which.stage != EVALUATION, which.attack
