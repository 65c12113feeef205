"""Labels of rows, and rows by target: the same in tables, pages and pictures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, TypeVar

from ..core.names import CONTROLS, NO_ATTACK
from .columns import TARGET

Row = Mapping[str, Any]
R = TypeVar("R", bound=Mapping[str, Any])


def by_target(rows: Iterable[R]) -> dict[tuple, list[R]]:
    """The rows of each target, by the columns of ``TARGET``."""
    targets: dict[tuple, list[R]] = defaultdict(list)
    for row in rows:
        targets[tuple(row[name] for name in TARGET)].append(row)
    return targets


def target_metric(rows: Sequence[Row]) -> str | None:
    """The forget metric of one target's rows, as it is before any attack."""
    before = [row for row in rows if row["attack"] == "none"]
    return next(iter(sorted({row["forget_metric"] for row in before or rows if row["forget_metric"]})), None)


def comparable(row: Row, metric: str | None) -> bool:
    """True where the score measures what the forget metric measures before any attack.

    An attack that measures otherwise names another metric, or (the best of many answers) has no chance level.
    """
    return None not in (row["score"], row["chance"]) and row["forget_metric"] == metric


def method_label(row: Row) -> str:
    """A method, with the settings that tell it from others of its name."""
    return f"{row['method']} {settings(row['config'])}".strip()


def by_method(rows: Iterable[R]) -> dict[str, R]:
    """By its label, the first row of each method of one target: that before any attack, if there is one."""
    methods: dict[str, R] = {}
    for row in rows:
        methods.setdefault(method_label(row), row)
    return methods


def attack_label(row: Row) -> str:
    """An attack with its variant, and the settings that tell it from others of its name."""
    return " ".join(part for part in (row["attack"], row["variant"], settings(row["attack_config"])) if part)


def by_strength(rows: Sequence[Row]) -> list[str]:
    """The attacks on one target, by what they brought back on average over its methods, strongest first.

    Those that measure something else come last; among those of equal recovery, or without any, scores decide.
    """
    metric, found = target_metric(rows), defaultdict(list)
    for row in rows:
        if row["attack"] != NO_ATTACK:
            found[attack_label(row)].append(row)

    def order(label: str) -> tuple[Any, ...]:
        of_methods = [row for row in found[label] if row["method"] not in CONTROLS]
        counts = any(comparable(row, metric) for row in found[label])
        return not counts, _least(of_methods, "recovery"), _least(of_methods, "score"), label

    return sorted(found, key=order)


def _least(rows: Sequence[Row], column: str) -> float:
    """The mean of a column, negative, so that the highest comes first; 0 where nothing was measured."""
    values = [row[column] for row in rows if row[column] is not None]
    return -fmean(values) if values else 0.0


def computed_on(rows: Iterable[Row]) -> str:
    """What the cells of these rows ran on, for the seconds beside them; "" where nobody said."""
    names = sorted({name for row in rows for name in row["hardware"] or ()})
    return f"computed on {' and '.join(names)}" if names else ""


def tasks(row: Row) -> str:
    """The tasks behind the lm-eval column, with what a score always carries."""
    measured = json.loads(row["lm_eval_tasks"])
    tasks = (
        f"{name} v{task['version']} {task['num_fewshot']}-shot {task['items']} items"
        for name, task in measured["tasks"].items()
    )
    return f"{measured['engine']} ({'; '.join(tasks)})"


def settings(config: str | None) -> str:
    """The settings of a ``config`` column, for people; empty for null."""
    return ", ".join(f"{name}={value}" for name, value in json.loads(config).items()) if config else ""


def compared(rows: Sequence[Row]) -> list[str]:
    """The ranks: who cannot be told from the lowest of a group, and who is worse than whom."""
    methods = {method_label(row): row for row in rows if row["method"] not in CONTROLS}
    order = sorted(
        (m for m, row in methods.items() if row["rank"] is not None), key=lambda m: methods[m]["rank"]
    )
    groups: dict[int, list[str]] = defaultdict(list)
    for method in order:
        groups[methods[method]["rank"]].append(method)
    lines = []
    for rank, group in groups.items():
        parts = [f"rank {rank}: {', '.join(group)}"]
        if len(group) > 1:
            parts.append(f"not distinguishable from {group[0]}")
        for method in group:
            better = [m for m in order[: order.index(method)] if m in methods[method]["distinguishable_from"]]
            if better:
                who = f"{method} is" if len(group) > 1 else "it is"
                parts.append(f"{who} worse than {', '.join(better)}")
        lines.append("; ".join(parts) + ".")
    return lines or ["no method is ranked; the guards say why."] * bool(methods)


def guarded(rows: Sequence[Row]) -> list[str]:
    """The methods that have no rank, and why."""
    reasons = {method_label(row): row["guard"] for row in rows if row["guard"]}
    return [f"{method} has no rank: {reason}." for method, reason in reasons.items()]
