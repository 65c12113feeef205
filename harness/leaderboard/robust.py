"""How robustly single unlearned models have forgotten: each by the cells of its own seed alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
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

    row: Mapping[str, Any]
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
    """By key, what is known of those ``models`` (keys of unlearned models) that have an evaluation.

    Of one that is shared by several seeds it is that of the first.
    """
    wanted: dict[int, dict[str, GroupId]] = defaultdict(dict)
    for which, seeds in groups.items():
        for seed, cell in seeds.ok().items() if which.stage == EVALUATION else ():
            for key in {unlearned(cell.row), unlearned(cell.row, seeded=False)}.intersection(models):
                wanted[seed][key] = which
    found: dict[str, Robust] = {}
    for seed in sorted(wanted):
        found = _of_seed(groups, seed, wanted[seed]) | found
    return found


def _of_seed(groups: Groups, seed: int, models: dict[str, GroupId]) -> dict[str, Robust]:
    """What a leaderboard of that seed alone says of each model."""
    own = Groups({which: Seeds({seed: seeds[seed]}) for which, seeds in groups.items() if seed in seeds})
    rows = {row["signature"]: row for row in board.build(own).to_pylist()}
    found = {}
    for key, which in models.items():
        signature = board.signature(which, own[which])
        row = rows[signature]
        recovered = Estimate.of(row, "recovered")
        found[key] = Robust(own[which][seed].row, recovered, row["recovered_attack"] or "", signature)
    return found
