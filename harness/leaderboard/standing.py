"""How a method stands: its worst attack, why it has no rank if it has none, its rank, and who differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..core.names import CONTROLS, ORIGINAL
from . import ranking, stats
from .columns import Estimate
from .groups import FORGET, Cell, Groups, Seeds
from .identity import GroupId, MethodId
from .labels import attack_label, comparable, method_label, target_metric

Row = dict[str, Any]

GUARDED = {"retain": "retain_before", "utility": "utility_before"}
"""By its name in a guard, the column of what a method must leave of the original's."""


class Entry(NamedTuple):
    """A row of the leaderboard, and what it is of."""

    which: GroupId
    row: Row


def rank(entries: Sequence[Entry], groups: Groups) -> None:
    """Add to the rows of one target what each method's worst attack found, its guard, and its rank."""
    metric = target_metric([entry.row for entry in entries])
    scores: dict[MethodId, dict[str, stats.BySeed]] = defaultdict(dict)
    rows: dict[MethodId, list[Row]] = defaultdict(list)
    for which, row in sorted(entries, key=lambda entry: entry.which):
        rows[which.method].append(row)
        ok = groups[which].ok()
        if comparable(row, metric) and (facts := ok.facts((FORGET, metric or ""))).keys() == ok.keys():
            scores[which.method][attack_label(row)] = facts
    attacks = dict.fromkeys(attack for scored in scores.values() for attack in scored)
    original = next((_before(own) for method, own in rows.items() if method.method == ORIGINAL), {})
    target = entries[0].which.target
    for method, own in rows.items():
        standing = _worst(scores[method], [row for row in own if comparable(row, metric)])
        if method.method not in CONTROLS:
            lacking = [attack for attack in attacks if attack not in scores[method]]
            standing["guard"] = _guard(own, groups.evaluation(target, method), original, lacking)
        for row in own:
            row.update(standing)
    ranked = [
        method
        for method, own in rows.items()
        if method.method not in CONTROLS and own[0]["guard"] is None and scores[method]
    ]
    ranked.sort(key=lambda method: (rows[method][0]["worst"], method))
    p = ranking.pairwise_p({method: scores[method] for method in ranked})
    ranks = ranking.groups(ranked, p)
    for method in ranked:
        others = [other for other in ranked if ranking.differ(p, method, other)]
        for row in rows[method]:
            row["rank"] = ranks[method]
            row["distinguishable_from"] = [method_label(rows[other][0]) for other in others]


def _worst(scores: Mapping[str, stats.BySeed], rows: Sequence[Row]) -> Row:
    """The columns of the highest score; its interval only if all scores have the values of their facts."""
    if not rows:
        return {}
    highest = max(rows, key=lambda row: row["score"])
    interval = ranking.worst(scores) if len(scores) == len(rows) else (None, None)
    worst = Estimate(highest["score"], *interval)
    return {"worst_attack": attack_label(highest), **worst.columns("worst")}


def _guard(rows: Sequence[Row], unlearned: Seeds, original: Row, lacking: Sequence[str]) -> str | None:
    """Why a method is not ranked. lm-eval counts where it was measured, of the method or of the original."""
    own = _before(rows)
    pairs = {name: (own.get(column), original.get(column)) for name, column in GUARDED.items()}
    reference = own.get("lm_eval_original") if own.get("lm_eval_tasks") else original.get("lm_eval")
    useful = (own.get("lm_eval"), reference)
    if any(value is not None for value in useful):
        pairs["lm-eval"] = useful
    seeds = min((row["seeds"] for row in rows if row is own or row["score"] is not None), default=0)
    return ranking.guard([forgot(cell) for cell in unlearned.ok().values()], pairs, seeds, lacking)


def _before(rows: Sequence[Row]) -> Row:
    """The row before any attack; empty if there is none."""
    return next((row for row in rows if row["attack"] == "none"), {})


def forgot(cell: Cell) -> bool | None:
    """Whether a model is at or below the benchmark's threshold, before any attack; None if it is not known.

    A method may stop by a rule of its own; what counts is what the benchmark says of the model it left.
    """
    value = cell.value((FORGET, cell.notes.get("forget_metric") or ""))
    threshold = cell.notes.get("threshold")
    if value is None or threshold is None:
        return cell.notes.get("forgotten")
    return bool(value <= threshold)
