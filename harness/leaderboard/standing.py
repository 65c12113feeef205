"""How a method stands: its verdict, its worst attack, why it has no rank or its rank, and who differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..core.names import CONTROLS
from . import arrays, ranking
from .columns import Estimate
from .evidence import Entry, Row, gather
from .groups import Groups
from .identity import MethodId
from .kept import least
from .labels import attack_label, comparable, method_label, target_metric
from .overall import Standing
from .reading import FORGET
from .verdict import Evidence, verdict

FEW_FACTS = 30
"""A worst score of fewer facts is marked: one of them moves it by more than 3 %."""

Scores = dict[MethodId, dict[str, arrays.BySeed]]
"""By method and attack, the values of each fact."""


def rank(entries: Sequence[Entry], groups: Groups) -> Standing:
    """Add to the rows of one target each method's verdict, its worst attack, its guard and its rank.

    Returns how those that are ranked stand to each other.
    """
    metric = target_metric([entry.row for entry in entries])
    scores: Scores = defaultdict(dict)
    rows: dict[MethodId, list[Row]] = defaultdict(list)
    clusters: dict[str, str] = {}
    for which, row in sorted(entries, key=lambda entry: entry.which):
        rows[which.method].append(row)
        ok = groups[which].ok()
        if comparable(row, metric) and (facts := ok.facts((FORGET, metric or ""))).keys() == ok.keys():
            scores[which.method][attack_label(row)] = facts
            clusters |= ok.clusters((FORGET, metric or ""))
    evidence = gather(entries, groups)
    methods = [method for method in rows if method.method not in CONTROLS]
    attacks = sorted(ranking.attacks_that_count([scores[method] for method in methods or rows]))
    for method, of_method in rows.items():
        scores[method] = {attack: scores[method][attack] for attack in attacks if attack in scores[method]}
        counted = [row for row in of_method if comparable(row, metric) and attack_label(row) in attacks]
        standing = (
            _shares(evidence[method]) | _worst(scores[method], counted, clusters) | {"ranked_over": attacks}
        )
        if method in methods:
            standing |= zip(("verdict", "verdict_why"), verdict(evidence[method]), strict=True)
            seeds = [row["seeds"] for row in of_method if row["attack"] == "none" or row in counted]
            seeds = seeds or [row["seeds"] for row in of_method]
            lacking = [attack for attack in attacks if attack not in scores[method]]
            standing["guard"] = ranking.guard(
                evidence[method].forgotten, evidence[method].kept, min(seeds), lacking
            )
        for row in of_method:
            row.update(standing)
    ranked = [method for method in methods if rows[method][0]["guard"] is None and scores[method]]
    ranked.sort(key=lambda method: (rows[method][0]["worst"], method))
    p = ranking.one_sided_p({method: scores[method] for method in ranked}, clusters)
    _rank(ranked, ranking.corrected(p), rows)
    return Standing(entries[0].which.target, {method: rows[method] for method in ranked}, p)


def _rank(
    ranked: Sequence[MethodId],
    p: Mapping[tuple[MethodId, MethodId], float],
    rows: Mapping[MethodId, list[Row]],
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


def _worst(scores: Mapping[str, arrays.BySeed], rows: Sequence[Row], clusters: arrays.Clusters) -> Row:
    """The columns of the highest score; its interval only if all scores have the values of their facts."""
    if not rows:
        return {}
    highest = max(rows, key=lambda row: row["score"])
    interval = ranking.worst(scores, clusters) if len(scores) == len(rows) else (None, None)
    worst = Estimate(highest["score"], *interval)
    few = None if highest["n_scored"] is None else highest["n_scored"] < FEW_FACTS
    return {"worst_attack": attack_label(highest), "few_facts": few, **worst.columns("worst")}
