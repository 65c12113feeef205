"""What decides a cell's numbers, read from its row: the key is made again from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..core.keys import key
from ..core.names import ANALYSIS, ATTACK, EVALUATION, NO_ATTACK, UTILITY
from .provenance import DISTRIBUTION

NOTHING = {"name": NO_ATTACK, "owner": "", "source": "", "config": "{}", "variant": ""}
"""An attack, in the row of a cell before any."""


NO_ANALYSIS = {"name": "", "owner": "", "source": "", "config": "{}"}
"""An analysis, in the row of a cell of another stage."""

IDENTITY = (
    *("protocol", "benchmark", "benchmark_plugin", "benchmark_config", "data_fingerprint"),
    *("target_key", "dtype", "method", "method_plugin", "method_config"),
    *("stage", "attack", "variant", "attack_plugin", "attack_config", "seed"),
    *("analysis", "analysis_plugin", "analysis_config"),
)
"""Columns that say what a cell is of, whichever version of the code measured it."""


def identity_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a cell with these columns is of: the same for whatever version of the code."""
    return without_versions(row, IDENTITY)


def without_versions(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[Any, ...]:
    """The values of columns, without the versions that only say which code it was, as digests say better.

    These are the version of a plugin from a file or class, a digest itself, and the release of this package.
    """
    values = (row[name] for name in columns)
    return tuple(_named(value) if isinstance(value, str) else value for value in values)


DIGITS = 12
"""Digits of a digest in a sentence, and in the version of a plugin from a file."""

VERSION = re.compile(
    rf"(?: [0-9a-f]{{{DIGITS}}}|(?:(?<=^{DISTRIBUTION})|(?<= \+ {DISTRIBUTION})) \S+)(?=$| \+ )"
)
"""A version that says which code it was, in names of plugins' owners (``this 1.0 + mine.py 0a1b...``)."""


@lru_cache(1 << 12)
def _named(text: str) -> str:
    return VERSION.sub("", text)


def key_of(row: Mapping[str, Any]) -> str:
    """The key that a cell with these columns has."""
    return key(decided_by(row))


def unlearned(row: Mapping[str, Any], seeded: bool = True) -> str:
    """The key of the unlearned model that a cell looked at; ``seeded`` is whether its method has a seed."""
    decides = _unlearning(row)
    return key(decides if seeded else {**decides, "seed": None})


def _unlearning(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the unlearned model of a cell was made from."""
    return {
        "protocol": row["protocol"],
        "engine": row["engine"],
        "benchmark": _plugin(row, "benchmark"),
        "data": row["data_fingerprint"],
        "target": row["target_key"],
        "dtype": row["dtype"],
        "method": _plugin(row, "method"),
        "twin": row["twin_key"] or None,
        "reference": row["reference_key"] or None,
        "seed": row["seed"],
    }


def decided_by(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the planner made the cell's key from, as the columns of its row say it."""
    decides = _unlearning(row)
    attack = {**_plugin(row, "attack"), "variant": row["variant"]}
    analysis = _plugin(row, "analysis")
    if row["stage"] == ANALYSIS:
        return {**decides, ANALYSIS: analysis, "attack": None if attack == NOTHING else attack}
    if analysis != NO_ANALYSIS:
        decides[ANALYSIS] = {**analysis, "stage": row["stage"]}  # it is in no key of another stage
    if row["stage"] == ATTACK:
        return {**decides, "attack": attack}
    # Where a key holds no attack, a row that names one, or an unknown stage, has another key.
    if row["stage"] == UTILITY:
        tasks = {"engine": attack["owner"], "source": attack["source"], "config": attack["config"]}
        named = any(attack[name] != NOTHING[name] for name in ("name", "variant"))
        return {**decides, UTILITY: attack if named else tasks}
    plain = attack == NOTHING and row["stage"] == EVALUATION
    odd = None if plain else {**attack, "stage": row["stage"]}
    return {**decides, "attack": odd}


def _plugin(row: Mapping[str, Any], kind: str) -> dict[str, str]:
    """What of a plugin is in a key."""
    return {
        "name": row[kind],
        "owner": row[f"{kind}_plugin"],
        "source": row[f"{kind}_source"],
        "config": row[f"{kind}_config"],
    }
