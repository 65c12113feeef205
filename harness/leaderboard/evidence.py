"""The evidence for a verdict on each method: gathered from its rows and its cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..core.names import ORIGINAL, RETRAIN
from .before import forgot
from .columns import EXACT, Estimate
from .estimates import known, mean
from .groups import Groups, Seeds
from .identity import GroupId, MethodId, TargetId
from .kept import all_kept
from .labels import attack_label, comparable, target_metric
from .reading import FORGET, RETAIN
from .recovery import Counting, compared, highest
from .verdict import Evidence, Recovered

Row = dict[str, Any]
Of = tuple[TargetId, MethodId]
"""A method on a target."""


class Entry(NamedTuple):
    """A row of the leaderboard, and what it is of."""

    which: GroupId
    row: Row


def gather(entries: Sequence[Entry], groups: Groups) -> dict[Of, Evidence]:
    """Of each method on each target, from all rows."""
    targets: dict[TargetId, list[Row]] = defaultdict(list)
    methods: dict[Of, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.which):
        targets[entry.which.target].append(entry.row)
        methods[entry.which.target, entry.which.method].append(entry)
    metrics = {target: target_metric(rows) for target, rows in targets.items()}
    lacking = {target: _lacking(rows) for target, rows in targets.items()}
    comparables = {
        of: {entry.which: entry.row for entry in own if comparable(entry.row, metrics[of[0]])}
        for of, own in methods.items()
    }
    starts = [own[0].row["baseline"] for own in methods.values()]
    counting = [
        _counting(attacked, GroupId.before(*of), start, metrics[of[0]], groups)
        for (of, attacked), start in zip(comparables.items(), starts, strict=True)
    ]
    evidence = {}
    for of, top, left in zip(methods, highest(counting), all_kept([*methods], groups), strict=True):
        attacked, plain = comparables[of], GroupId.before(*of)
        unlearned, original = groups.evaluation(*of).ok(), groups.control(plain, ORIGINAL)
        forgotten, said = [forgot(cell) for cell in unlearned.values()], _said(unlearned, original)
        above = (Estimate.of(each.row, "above_twin") for each in methods[of] if each.which == plain)
        evidence[of] = Evidence(
            forgotten=forgotten,
            recovered=Recovered(top[1], attack_label(attacked[top[0]])) if top else None,
            kept=left,
            above_twin=next(above, Estimate(None)),
            said=said,
            # Looked for only where it may decide.
            said_again=_said_again(attacked, groups) if False in forgotten and said is not None else None,
            lacking=lacking[of[0]],
        )
    return evidence


def _lacking(rows: Sequence[Row]) -> list[str]:
    """The controls without which there is no recovery, and that were not run."""
    there = {row["method"] for row in rows}
    needed = (ORIGINAL, RETRAIN) if rows[0]["baseline"] == RETRAIN else (ORIGINAL,)
    return [control for control in needed if control not in there]


def _counting(
    attacked: Mapping[GroupId, Row], plain: GroupId, start: str, metric: str | None, groups: Groups
) -> Counting:
    """The recoveries of the forget metric, under attacks that leave enough in the original."""
    forget = (FORGET, metric or "")
    before = compared(plain, groups, forget, start).gap() if plain in groups else None
    shares, attacks = {}, {}
    for which, row in attacked.items():
        own = compared(which, groups, forget, start)
        if row["recovery"] is not None and own.leaves_enough(before):
            shares[which], attacks[which] = Estimate.of(row, "recovery"), own
    return Counting(shares, attacks)


def _said_again(attacked: Mapping[GroupId, Row], groups: Groups) -> Recovered | None:
    """The recovery of exact matches whose interval begins highest."""
    shares = (
        Recovered(known(share), attack_label(row))
        for which, row in attacked.items()
        if (share := compared(which, groups, EXACT, row["baseline"]).recovery())
    )
    return max(shares, key=lambda recovered: recovered.share.ends[0], default=None)


def _said(unlearned: Seeds, original: Seeds) -> float | None:
    """Exact matches on the forget set, as a share of the original's.

    An original that talks in sentences has none. A method that trains on what it keeps teaches it to answer
    exactly: it is held against its own on the retain set, where these are more.
    """
    own = mean(unlearned.finals(EXACT))
    most = max(mean(original.finals(EXACT)) or 0.0, mean(unlearned.finals((RETAIN, EXACT[1]))) or 0.0)
    return own / most if own is not None and most else None
