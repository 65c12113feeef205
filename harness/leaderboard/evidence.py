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
from .identity import GroupId, MethodId
from .kept import kept
from .labels import attack_label, comparable, target_metric
from .reading import FORGET, RETAIN
from .recovery import compared, highest
from .verdict import Evidence, Recovered

Row = dict[str, Any]


class Entry(NamedTuple):
    """A row of the leaderboard, and what it is of."""

    which: GroupId
    row: Row


def gather(entries: Sequence[Entry], groups: Groups) -> dict[MethodId, Evidence]:
    """Of each method of one target, from all rows of the target."""
    metric = target_metric([entry.row for entry in entries])
    methods: dict[MethodId, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.which):
        methods[entry.which.method].append(entry)
    lacking = _lacking(entries)
    return {
        method: _evidence(method, of_method, metric, groups, lacking) for method, of_method in methods.items()
    }


def _lacking(entries: Sequence[Entry]) -> list[str]:
    """The controls without which there is no recovery, and that were not run."""
    there = {entry.which.method.method for entry in entries}
    needed = (ORIGINAL, RETRAIN) if entries[0].row["baseline"] == RETRAIN else (ORIGINAL,)
    return [control for control in needed if control not in there]


def _evidence(
    method: MethodId, entries: Sequence[Entry], metric: str | None, groups: Groups, lacking: Sequence[str]
) -> Evidence:
    target = entries[0].which.target
    plain = GroupId.before(target, method)
    unlearned, original = groups.evaluation(target, method).ok(), groups.control(plain, ORIGINAL)
    attacked = {entry.which: entry.row for entry in entries if comparable(entry.row, metric)}
    forgotten = [forgot(cell) for cell in unlearned.values()]
    said = _said(unlearned, original)
    return Evidence(
        forgotten=forgotten,
        recovered=_recovered(attacked, plain, entries[0].row["baseline"], metric, groups),
        kept=kept(target, method, groups),
        above_twin=next(
            (Estimate.of(e.row, "above_twin") for e in entries if e.which == plain), Estimate(None)
        ),
        said=said,
        # Looked for only where it may decide.
        said_again=_said_again(attacked, groups) if False in forgotten and said is not None else None,
        lacking=lacking,
    )


def _recovered(
    attacked: Mapping[GroupId, Row], plain: GroupId, start: str, metric: str | None, groups: Groups
) -> Recovered | None:
    """The highest recovery of the forget metric, under attacks that leave enough in the original."""
    forget = (FORGET, metric or "")
    before = compared(plain, groups, forget, start).gap() if plain in groups else None
    shares, counting = {}, {}
    for which, row in attacked.items():
        own = compared(which, groups, forget, start)
        if row["recovery"] is not None and own.leaves_enough(before):
            shares[which], counting[which] = Estimate.of(row, "recovery"), own
    top = highest(shares, counting)
    return Recovered(top[1], attack_label(attacked[top[0]])) if top else None


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
