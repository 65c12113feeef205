"""Cells of a synthetic world, and the leaderboard made of them."""

from __future__ import annotations

import json

from harness.core.names import ATTACK, EVALUATION
from harness.core.types import Metric, Outcome
from harness.leaderboard import board as leaderboard
from harness.leaderboard.groups import grouped
from harness.store.schema import CellRow
from harness.store.store import Store, tables
from support.sound import curve, scored, sound, together

SHARE = {"low_bound": 0.0, "high_bound": 1.0, "definition": "share of right answers"}
"""What is stored with a metric of this world."""

FACTS = [f"f{i}" for i in range(20)]


def cell(method, attack="none", seed=0, known=0, notes=None, **changes):
    """A cell of a synthetic world in which a model answers the first ``known`` facts."""
    common = {
        "forget_metric": "accuracy",
        "retain_metric": ["retain", "accuracy"],
        "chance": 0.25,
        "n_scored": 20,
    }
    own = {"learning_rate": 1e-4 if attack == "none" else 1e-5}
    own |= {"forgotten": known <= 5} if attack == "none" else {}
    fields = {
        "benchmark": "world",
        "data_fingerprint": "d" * 64,
        "model": "tiny",
        "target_key": "t" * 64,
        "target_weights": "w" * 64,
        "method": method,
        "method_plugin": "unlearning-harness 0.1.0",
        "stage": EVALUATION if attack == "none" else ATTACK,
        "attack": attack,
        "variant": "" if attack == "none" else "p=0.1",
        "seed": seed,
        "dtype": "float32",
        "notes": json.dumps(common | own | (notes or {})),
        "seconds": 1.0 + seed,
        "steps": 10,
        "peak_memory_mib": 100.0 + seed,
    } | changes
    fields.setdefault("target_family", fields["target_key"])
    values = [float(i < known) for i in range(20)]
    outcome = together(*(scored("forget", name, values, **SHARE) for name in ("accuracy", "exact_match")))
    if attack == "none":
        utility = Outcome([Metric("all", "utility", 0.6)])
        outcome = together(outcome, scored("retain", "accuracy", [1.0] * 9 + [0.0]), utility)
    else:
        outcome = curve(outcome, (0, None) if attack == "sample" else (5, 1e-5))  # sampling does not train
    return sound(CellRow(key="", **fields)), outcome


def board(tmp_path, cells, sources=()):
    """The leaderboard of these cells, and of what is there already."""
    store = Store(tmp_path)
    for row, outcome in cells:
        store.commit(row, outcome)
    return leaderboard.build(grouped(*tables([store]), sources))


AFTER = {"none": 20, "retrain": 2, "ssiuu": 3, "gd": 14, "npo": 13}
"""How many of the 20 facts each method's model answers after the attack, under every seed."""


def world():
    """Five methods, one attack, three seeds; one cell of npo failed."""
    found = []
    for method, after in AFTER.items():
        for seed in range(3):
            before = {"none": 20, "retrain": 2}.get(method, 4)
            found.append(cell(method, seed=seed, known=before))
            found.append(cell(method, "private-data", seed, after))
    # It failed before its target was loaded, so it does not know the weights; it belongs to the same row.
    lost = {
        "target_weights": "",
        "status": "failed",
        "error_type": "OutOfMemoryError",
        "error_message": "no room\nfor | it",
    }
    found[-1] = cell("npo", "private-data", 2, 13, **lost)
    return found
