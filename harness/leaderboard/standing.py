"""How a method stands: its verdict, its worst attack, why it has no rank or its rank, and who differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..core.names import CONTROLS, NO_ATTACK
from . import arrays, ranking
from .columns import Estimate
from .evidence import Entry, Of, Row, gather
from .groups import Groups
from .identity import MethodId, TargetId
from .kept import least
from .labels import attack_label, comparable, method_label, target_metric
from .overall import Standing
from .reading import FORGET
from .verdict import Evidence, verdict

FEW_FACTS = 30
"""A worst score of fewer facts is marked: one of them moves it by more than 3 %."""

Scores = dict[MethodId, dict[str, arrays.BySeed]]
"""By method and attack, the values of each fact."""


class _Target(NamedTuple):
    """The rows of one target by method, and the scores under the attacks that count."""

    target: TargetId
    rows: Mapping[MethodId, Sequence[Row]]
    scores: Scores
    clusters: arrays.Clusters
    attacks: Sequence[str]
    counted: Mapping[MethodId, Sequence[Row]]
    """Rows under these attacks."""

    @property
    def methods(self) -> list[MethodId]:
        """All but the controls."""
        return [method for method in self.rows if method.method not in CONTROLS]


def rank(entries: Sequence[Entry], groups: Groups) -> list[Standing]:
    """Add to the rows each method's verdict, its worst attack, its guard and its rank on its target.

    Returns how those that are ranked stand to each other, by target.
    """
    by_target: dict[TargetId, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_target[entry.which.target].append(entry)
    targets = [_scored(own, groups) for own in by_target.values()]
    evidence, worst = gather(entries, groups), _worst(targets)
    return [_ranked(of, evidence, worst) for of in targets]


def _scored(entries: Sequence[Entry], groups: Groups) -> _Target:
    metric = target_metric([entry.row for entry in entries])
    scores: Scores = defaultdict(dict)
    rows: dict[MethodId, list[Row]] = defaultdict(list)
    clusters: list[arrays.Clusters] = []
    for which, row in sorted(entries, key=lambda entry: entry.which):
        rows[which.method].append(row)
        ok = groups[which].ok()
        if comparable(row, metric) and (facts := ok.facts((FORGET, metric or ""))).keys() == ok.keys():
            scores[which.method][attack_label(row)] = facts
            clusters.append(ok.clusters((FORGET, metric or "")))
    methods = [method for method in rows if method.method not in CONTROLS]
    attacks = sorted(ranking.attacks_that_count([scores[method] for method in methods or rows]))
    counting = {
        method: {attack: scores[method][attack] for attack in attacks if attack in scores[method]}
        for method in rows
    }
    counted = {
        method: [row for row in own if comparable(row, metric) and attack_label(row) in attacks]
        for method, own in rows.items()
    }
    return _Target(entries[0].which.target, rows, counting, arrays.one_of(clusters), attacks, counted)


def _ranked(of: _Target, evidence: Mapping[Of, Evidence], worst: Mapping[Of, Row]) -> Standing:
    for method, rows in of.rows.items():
        own, counted = evidence[of.target, method], of.counted[method]
        standing = _shares(own) | worst[of.target, method] | {"ranked_over": of.attacks}
        if method.method not in CONTROLS:
            standing |= zip(("verdict", "verdict_why"), verdict(own), strict=True)
            seeds = [row["seeds"] for row in rows if row["attack"] == NO_ATTACK]
            seeds += [row["seeds"] for row in counted]
            lacking = [attack for attack in of.attacks if attack not in of.scores[method]]
            least = min(seeds or [row["seeds"] for row in rows])
            standing["guard"] = ranking.guard(own.forgotten, own.kept, least, lacking)
        for row in rows:
            row.update(standing)
    ranked = [method for method in of.methods if of.rows[method][0]["guard"] is None and of.scores[method]]
    ranked.sort(key=lambda method: (of.rows[method][0]["worst"], method))
    p = ranking.one_sided_p({method: of.scores[method] for method in ranked}, of.clusters)
    _rank(ranked, ranking.corrected(p), of.rows)
    return Standing(of.target, {method: of.rows[method] for method in ranked}, p)


def _rank(
    ranked: Sequence[MethodId],
    p: Mapping[tuple[MethodId, MethodId], float],
    rows: Mapping[MethodId, Sequence[Row]],
) -> None:
    ranks = ranking.groups(ranked, p)
    for method in ranked:
        others = [other for other in ranked if ranking.differ(p, method, other)]
        for row in rows[method]:
            row["rank"] = ranks[method]
            row["distinguishable_from"] = [method_label(rows[other][0]) for other in others]


def _shares(evidence: Evidence) -> Row:
    """The columns of what is left of the model, and of what came back."""
    name, kept = least(evidence.kept)
    columns: Row = {"kept_of": name, **kept.columns("kept")}
    if evidence.recovered:
        share, attack = evidence.recovered
        columns |= {"recovered_attack": attack, **share.columns("recovered")}
    return columns


def _worst(targets: Sequence[_Target]) -> dict[Of, Row]:
    """The columns of the highest score; its interval only if all scores have the values of their facts."""
    asked = {(of.target, method): (of, method) for of in targets for method in of.rows}
    whole = [
        key for key, (of, method) in asked.items() if 0 < len(of.counted[method]) == len(of.scores[method])
    ]
    samples = [[*of.scores[method].values()] for of, method in map(asked.__getitem__, whole)]
    highest = ranking.all_worst(samples, [asked[key][0].clusters for key in whole])
    intervals = dict(zip(whole, highest, strict=True))
    found: dict[Of, Row] = {}
    for key, (of, method) in asked.items():
        rows, found[key] = of.counted[method], {}
        if rows:
            top = max(rows, key=lambda row: round(row["score"], ranking.EQUAL))
            worst = Estimate(top["score"], *intervals.get(key, (None, None)))
            few = None if top["n_scored"] is None else top["n_scored"] < FEW_FACTS
            found[key] = {"worst_attack": attack_label(top), "few_facts": few} | worst.columns("worst")
    return found
