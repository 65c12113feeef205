"""The README of a leaderboard, from its table alone. Its words and its layout are in ``README.md.j2``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ..core.names import CONTROLS, NO_ATTACK
from ..leaderboard.badges import COLUMN, any_badge
from ..leaderboard.columns import EXACT, OPTIONAL, Estimate
from ..leaderboard.findings import explained, findings, overall, resolution
from ..leaderboard.format import DASH, NOT_APPLICABLE, interval, number, percent
from ..leaderboard.labels import (
    attack_label,
    by_method,
    by_strength,
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
from ..leaderboard.rows import Columns
from . import escape
from .heatmap import Picture, pictures
from .templating import environment

TEMPLATE, READING = "README.md.j2", "reading.md.j2"

Row = Mapping[str, Any]
Rows = Sequence[Row]
Table = tuple[list[str], list[list[str]]]
"""Head and lines."""

VERDICTS = ("method", "verdict", "came back", "under", "kept", "worst score", "rank", "seconds")
"""The head of the table that answers the question."""

BEFORE = ("method", "forget", "forgotten", "retain", "utility")
"""The head of the table of what stood before any attack; lm-eval comes to it where it was measured."""


def markdown(table: pa.Table) -> str:
    """The README of a leaderboard: a table per target. No dates in it: the same table gives the same text."""
    rows = Columns(table).rows()
    shown = pictures(rows)
    return (
        environment(escape=False)
        .get_template(TEMPLATE)
        .render(
            protocols=escape.markdown(", ".join(sorted({row["protocol"] for row in rows}))),
            overall=[escape.markdown(sentence) for sentence in overall(rows)],
            targets=[_target(own, shown.get(target)) for target, own in by_target(rows).items()],
        )
    )


def reading() -> str:
    """The list that says how to read the tables."""
    return environment(escape=False).get_template(READING).render()


def _target(rows: Rows, picture: Picture | None) -> dict[str, Any]:
    first = rows[0]
    config = settings(first["benchmark_config"])
    title = f"{first['benchmark']}: {first['model']}" + (f" ({config})" if config else "")
    return {
        "title": escape.markdown(title),
        "about": _about(rows),
        "findings": [escape.markdown(sentence) for sentence in findings(rows)],
        "resolution": resolution(rows),
        "verdicts": _verdicts(rows),
        "picture": picture,
        "before": _before(rows),
        "not_ranked": _not_ranked(rows),
        "badges": f"Badge: {OPTIONAL[COLUMN][1]}." if any_badge(rows) else "",
        "explained": [escape.markdown(sentence) for sentence in explained(rows)],
        "compared": [escape.markdown(sentence) for sentence in compared(rows)],
        "ranked_over": escape.markdown(", ".join(rows[0]["ranked_over"] or ())),
        "scores": _attacked(rows, _score),
        "recoveries": _attacked(rows, lambda row, _: interval(Estimate.of(row, "recovery"))),
        "exact": _exact(rows),
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


def _verdicts(rows: Rows) -> Table:
    """A line for each method: the verdict, what came back, the least it kept, its worst score, its cost."""
    badges = any_badge(rows)
    lines = [
        [
            escape.markdown(method),
            *[escape.markdown(row.get(COLUMN) or "")] * badges,
            *_verdict(row),
            interval(Estimate.of(row, "worst"), 2) + " (few facts)" * bool(row["few_facts"]),
            number(row["rank"]),
            number(row["seconds"], 0) if row["attack"] == NO_ATTACK else DASH,
        ]
        for method, row in by_method(rows).items()
    ]
    return [VERDICTS[0], *[COLUMN] * badges, *VERDICTS[1:]], lines


def _before(rows: Rows) -> Table:
    """A line for each method: what it left of what was to be forgotten and of what was to stay."""
    measured = any(row["lm_eval_tasks"] for row in rows)
    lines = [
        [
            escape.markdown(method),
            interval(Estimate.of(row, "forget_before")),
            number(row["forgotten"], missing=NOT_APPLICABLE if _is_control(row) else DASH),
            *(interval(Estimate.of(row, name)) for name in ("retain_before", "utility_before")),
            *[_lm_eval(row)] * measured,
        ]
        for method, row in by_method(rows).items()
    ]
    return [*BEFORE, *["lm-eval"] * measured], lines


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


def _not_ranked(rows: Rows) -> list[str]:
    """Why a method has no rank."""
    return [
        f"{escape.markdown(method)}: {escape.markdown(row['guard'])}."
        for method, row in by_method(rows).items()
        if row["guard"] and not _is_control(row)
    ]


def _is_control(row: Row) -> bool:
    return row["method"] in CONTROLS


def _attacked(rows: Rows, cell: Callable[[Row, str | None], str]) -> Table | None:
    """A line for each method: what each attack found, the strongest first."""
    metric = target_metric(rows)
    attacks = [escape.markdown(name) for name in by_strength(rows)]
    lines = [
        [method, *(_found(cells.get(attack), metric, cell) for attack in attacks)]
        for method, cells in _by_method(rows).items()
    ]
    return (["method", *attacks], lines) if attacks else None


def _exact(rows: Rows) -> Table | None:
    """The same of exact matches, where they are not the score itself and some were measured."""
    if target_metric(rows) == EXACT[1] or all(row["exact_match"] is None for row in rows):
        return None
    return _attacked(rows, lambda row, _: number(row["exact_match"]))


def _found(row: Row | None, metric: str | None, cell: Callable[[Row, str | None], str]) -> str:
    if row is None or row["score"] is None:
        return "failed" if row and row["failed"] else DASH
    return cell(row, metric)


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


def _score(row: Row, metric: str | None) -> str:
    """The score of one attack on one method's models, of what, and how many facts it is of."""
    scored = f"{row['n_scored']} facts x {row['seeds']} seeds" if row["n_scored"] else f"{row['seeds']} seeds"
    other = "" if comparable(row, metric) else f" {escape.markdown('of ' + str(row['forget_metric']))}"
    return f"{interval(Estimate.of(row, 'score'))}{other}, {scored}"


def _failed(rows: Rows) -> list[str]:
    return [
        escape.markdown(f"{method_label(row)}, {attack_label(row)}, {error}")
        for row in rows
        for error in row["errors"] or ()
    ]
