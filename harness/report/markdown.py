"""The README of a leaderboard, from its table alone. Its words and its layout are in ``README.md.j2``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from ..core.names import CONTROLS, NO_ATTACK
from ..leaderboard.columns import EXACT, Estimate
from ..leaderboard.findings import explained, findings, overall, resolution
from ..leaderboard.format import DASH, NOT_APPLICABLE, interval, number, percent
from ..leaderboard.labels import (
    attack_label,
    by_target,
    comparable,
    compared,
    computed_on,
    method_label,
    settings,
    target_metric,
    tasks,
)
from ..leaderboard.ranking import share
from . import escape
from .templating import environment

TEMPLATE, READING = "README.md.j2", "reading.md.j2"

Row = dict[str, Any]
Rows = list[Row]
Table = tuple[list[str], list[list[str]]]
"""Head and lines."""

STANDING = (
    *("method", "verdict", "recovered", "under", "kept", "forget", "worst", "under"),
    *("rank", "guard", "seeds", "forgotten", "retain", "utility"),
)
"""The head of the first table."""


def markdown(table: pa.Table) -> str:
    """The README of a leaderboard: a table per target. No dates in it: the same table gives the same text."""
    rows = table.to_pylist()
    return (
        environment(escape=False)
        .get_template(TEMPLATE)
        .render(
            protocols=escape.markdown(", ".join(sorted({row["protocol"] for row in rows}))),
            overall=[escape.markdown(sentence) for sentence in overall(rows)],
            targets=[_target(own) for own in by_target(rows).values()],
        )
    )


def reading() -> str:
    """The list that says how to read the tables."""
    return environment(escape=False).get_template(READING).render()


def _target(rows: Rows) -> dict[str, Any]:
    first = rows[0]
    config = settings(first["benchmark_config"])
    title = f"{first['benchmark']}: {first['model']}" + (f" ({config})" if config else "")
    return {
        "title": escape.markdown(title),
        "about": _about(rows),
        "findings": [escape.markdown(sentence) for sentence in findings(rows)],
        "resolution": resolution(rows),
        "standing": _standing(rows),
        "explained": [escape.markdown(sentence) for sentence in explained(rows)],
        "compared": [escape.markdown(sentence) for sentence in compared(rows)],
        "ranked_over": escape.markdown(", ".join(rows[0]["ranked_over"] or ())),
        "attacked": _attacked(rows),
        "failed": _failed(rows),
    }


def _about(rows: Rows) -> str:
    """Data, model, and what a score is measured by."""
    first = rows[0]
    chances = sorted({row["chance"] for row in rows if row["chance"] is not None})
    return ", ".join(
        [
            f"Data {_code(first['data'])}",
            f"target {_code(first['target'])}",
            escape.markdown(first["dtype"]),
            escape.markdown(f"forget metric {target_metric(rows)}"),
            f"chance {' or '.join(map(number, chances)) or number(None)}",
            *sorted({escape.markdown(tasks(row)) for row in rows if row["lm_eval_tasks"]}),
            *filter(None, [escape.markdown(computed_on(rows))]),
        ]
    )


def _code(digest: str) -> str:
    """The beginning of a digest; within backticks nothing could be escaped."""
    short = digest[:12]
    return f"`{short}`" if short.isalnum() else escape.markdown(short)


def _standing(rows: Rows) -> Table:
    """A line for each method: the verdict and what decided it, its worst attack, and what it left."""
    measured = any(row["lm_eval_tasks"] for row in rows)
    lines = []
    for method, cells in _by_method(rows).items():
        row = next(iter(cells.values()))
        seeds = sorted({cell["seeds"] for cell in cells.values()})
        lines.append(
            [
                method,
                *_verdict(row),
                interval(Estimate.of(row, "forget_before")),
                interval(Estimate.of(row, "worst")) + " (few facts)" * bool(row["few_facts"]),
                escape.markdown(row["worst_attack"] or ""),
                number(row["rank"]),
                escape.markdown(row["guard"] or ""),
                " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
                number(row["forgotten"], missing=NOT_APPLICABLE if _is_control(row) else DASH),
                *(number(row[name]) for name in ("retain_before", "utility_before")),
                *[_lm_eval(row)] * measured,
            ]
        )
    return [*STANDING, *["lm-eval"] * measured], lines


def _verdict(row: Row) -> Iterable[str]:
    """The verdict, what came back under which attack, and the least share that is left of the original's."""
    yield NOT_APPLICABLE if _is_control(row) else f"**{row['verdict']}**" if row["verdict"] else DASH
    yield percent(Estimate.of(row, "recovered"))
    yield escape.markdown(row["recovered_attack"] or "")
    kept = Estimate.of(row, "kept")
    if kept.value is None:
        yield DASH
    else:
        yield f"{percent(kept._replace(value=share(kept.value, 1) / 100))} of {row['kept_of']}"


def _is_control(row: Row) -> bool:
    return row["method"] in CONTROLS


def _attacked(rows: Rows) -> Table | None:
    """A line for each method: what each attack found."""
    metric = target_metric(rows)
    attacks = sorted({_attack(row) for row in rows if row["attack"] != NO_ATTACK})
    lines = [
        [method, *(_score(cells.get(attack), metric) for attack in attacks)]
        for method, cells in _by_method(rows).items()
    ]
    return (["method", *attacks], lines) if attacks else None


def _by_method(rows: Rows) -> dict[str, dict[str, Row]]:
    methods: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        methods[_method(row)][_attack(row)] = row
    return methods


def _method(row: Row) -> str:
    return escape.markdown(method_label(row))


def _attack(row: Row) -> str:
    return escape.markdown(attack_label(row))


def _lm_eval(row: Row) -> str:
    """lm-eval's score, and its share of the original's."""
    value, original = row["lm_eval"], row["lm_eval_original"]
    return f"{number(value)} ({value / original:.0%})" if value is not None and original else number(value)


def _score(row: Row | None, metric: str | None) -> str:
    """What one attack found in one method's models."""
    if row is None or row["score"] is None:
        return "failed" if row and row["failed"] else number(None)
    scored = f"{row['n_scored']} facts x {row['seeds']} seeds" if row["n_scored"] else f"{row['seeds']} seeds"
    lines = [interval(Estimate.of(row, "score")), scored]
    lines.append(f"recovery {interval(Estimate.of(row, 'recovery'))}")
    if not comparable(row, metric):
        lines.insert(1, escape.markdown(f"of {row['forget_metric']}"))
    if row["exact_match"] is not None and row["forget_metric"] != EXACT[1]:
        lines.append(f"exact match {number(row['exact_match'])}")
    return "<br>".join(lines)


def _failed(rows: Rows) -> list[str]:
    return [
        escape.markdown(f"{method_label(row)}, {attack_label(row)}, {error}")
        for row in rows
        for error in row["errors"] or ()
    ]
