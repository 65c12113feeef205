"""How robustly single unlearned models have forgotten: each by the cells of its own seed alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..core.names import EVALUATION
from ..store.decided import unlearned
from . import board
from .columns import Estimate
from .groups import GroupId, Groups, Seeds


@dataclass(frozen=True, slots=True)
class Robust:
    """What is known of one unlearned model."""

    row: dict[str, Any]
    """Of its evaluation, in ``cells``."""
    recovered: Estimate
    """The leaderboard's column, of this model alone: how much its strongest attack brought back."""
    attack: str
    """Which attack that is."""
    signature: str

    @property
    def value(self) -> float | None:
        """Robust forgetting: 1 - recovered, within [0, 1], higher is better; None where that is not known."""
        if self.recovered.value is None:
            return None
        return 1.0 - min(max(self.recovered.value, 0.0), 1.0)


def robust(groups: Groups, models: Collection[str]) -> dict[str, Robust]:
    """By key, what is known of those ``models`` (keys of unlearned models) that have an evaluation."""
    wanted: dict[int, dict[GroupId, str]] = defaultdict(dict)
    for which, seeds in groups.items():
        if which.stage == EVALUATION:
            for seed, cell in seeds.ok().items():
                keys = unlearned(cell.row), unlearned(cell.row, seeded=False)
                wanted[seed] |= {which: key for key in keys if key in models}
    return {
        key: found
        for seed in sorted(wanted)
        for key, found in _of_seed(groups, seed, wanted[seed]).items()
        if wanted[seed]
    }


def _of_seed(groups: Groups, seed: int, wanted: dict[GroupId, str]) -> dict[str, Robust]:
    own = Groups({which: Seeds({seed: seeds[seed]}) for which, seeds in groups.items() if seed in seeds})
    rows = {row["signature"]: row for row in board.build(own).to_pylist()} if wanted else {}
    found = {}
    for which, key in wanted.items():
        signature = board.signature(which, own[which])
        row = rows[signature]
        attack = row["recovered_attack"] or ""
        cell = own[which][seed].row
        found[key] = Robust(cell, Estimate.of(row, "recovered"), attack, signature)
    return found
