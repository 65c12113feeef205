"""The leaderboard as one HTML file that opens from disk: the tables as JSON, in a page that draws them.

The templates hold no number. The same tables give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markdown_it import MarkdownIt
from markupsafe import Markup

from ..core.formulas import range_text
from ..core.names import CONTROLS, ORIGINAL
from ..leaderboard import analyses, columns, facts, findings, labels, ranking
from ..leaderboard.rows import Columns
from ..leaderboard.verdict import VERDICTS
from . import page_data
from .markdown import reading
from .templating import environment

NAME = "index.html"
LOWER, HIGHER = "lower", "higher"
METRIC = "of the forget metric"
SHARE_KEPT = "0, nothing is left, to 1, all of it; noise may take it above"
RECOVERED = "0, erased, to 1, only hidden; noise may take it outside"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the page's first table: the leaderboard's name of it, and what the header says.

    ``row`` is the row it is read from: the method's before any attack, under its worst, under the one that
    recovered most, or under that shown. ``better`` and ``within``, its range, are for people.
    """

    name: str
    title: str
    group: str
    kind: str
    row: str = "before"
    better: str = ""
    within: str = ""


RECOVERY, LEFT = "highest over attacks", "least of the original's"
WORST, ATTACK = "worst over attacks", "under that attack"
BEFORE, COST = "before any attack", "cost of unlearning"
COLUMNS = (
    Column("method", "method", "", "text"),
    Column("badge", "badge", "", "text"),
    Column("verdict", "verdict", "", "text"),
    Column("recovered", "recovered", RECOVERY, "interval", "recovered", LOWER, RECOVERED),
    Column("recovered_attack", "under", RECOVERY, "text", "recovered"),
    Column("kept", "kept", LEFT, "estimate", better=HIGHER, within=SHARE_KEPT),
    Column("kept_of", "of", LEFT, "text"),
    Column("rank", "rank", "", "rank", better=LOWER),
    Column("worst", "worst", WORST, "headline", "worst", LOWER, METRIC),
    Column("worst_attack", "under", WORST, "text", "worst"),
    Column("score", "score", ATTACK, "interval", "attack", LOWER, METRIC),
    Column("recovery", "recovery", ATTACK, "interval", "attack", LOWER, RECOVERED),
    Column("exact_match", "exact match", ATTACK, "interval", "attack", LOWER, "0 to 1"),
    Column("n_scored", "facts", ATTACK, "count", "attack"),
    Column("forget_before", "forget", BEFORE, "interval", better=LOWER, within=METRIC),
    Column("forgotten", "forgotten", BEFORE, "share", better=HIGHER, within="0 to 1"),
    Column("retain_before", "retain", BEFORE, "share", better=HIGHER),
    Column("utility_before", "utility", BEFORE, "share", better=HIGHER),
    Column("lm_eval", "lm-eval", BEFORE, "share", better=HIGHER, within="0 to 1"),
    Column("seconds", "seconds", COST, "cost", better=LOWER),
    Column("steps", "steps", COST, "cost", better=LOWER),
    Column("peak_memory_mib", "MiB", COST, "cost", better=LOWER),
)
ROW = (
    *("attack", "targets", "seeds", "failed", "forget_metric", "guard", "rank", "worst_attack", "few_facts"),
    *("badge", "verdict", "verdict_why", "recovered_attack", "baseline", "kept_of", "ranked_over"),
    *("threshold", "threshold_high", "threshold_rule", "forgotten", "n_scored"),
    *(name for of in columns.ESTIMATES for name in columns.estimate(of, "")),
    *("learning_rates", "attack_learning_rates", "seconds", "steps", "peak_memory_mib", "signature"),
)
"""Columns of the leaderboard that the page holds."""
VERSIONS = ("engine", "benchmark_source", "method_source", "attack_source", "target_weights")
"""Digests of which it holds the beginning."""
DIGITS = 12
GUARDED = ("retain_before", "utility_before", "lm_eval")
"""Those of which a guard asks how much of the original's is left."""

Rows = Sequence[Mapping[str, Any]]


NO_FACTS, NOT_ANALYSED = facts.SCHEMA.empty_table(), analyses.SCHEMA.empty_table()


def html(
    board: pa.Table, curves: pa.Table, facts: pa.Table = NO_FACTS, analyses: pa.Table = NOT_ANALYSED
) -> str:
    """The page of a leaderboard from its tables. Data reach it as JSON in which no ``<`` is left."""
    guide = Markup(MarkdownIt().render(reading()))
    made = environment(escape=True).get_template(NAME)
    return made.render(data=data(board, curves, facts, analyses), reading=guide)


def data(
    board: pa.Table, curves: pa.Table, facts: pa.Table = NO_FACTS, analyses: pa.Table = NOT_ANALYSED
) -> dict[str, Any]:
    """What the page draws: targets, rows by column, and what names its row by its place."""
    everything = Columns(board).rows()
    targets, overall = labels.by_target(everything), findings.overall(everything)
    shown: list[dict[str, Any]] = []
    ordered = [row for rows in targets.values() for row in rows]
    absent = columns.OPTIONAL.keys() - {*board.column_names}
    for index, rows in enumerate(targets.values()):
        metric = labels.target_metric(rows)
        original = next((r for r in rows if (r["method"], r["attack"]) == (ORIGINAL, "none")), None)
        for row in rows:
            kept = {name: original[name] if original else None for name in GUARDED}
            kept["lm_eval"] = row["lm_eval_original"]  # the original's, on the same items
            made = {
                "target": index,
                "method": labels.method_label(row),
                "control": row["method"] if row["method"] in CONTROLS else None,
                "label": labels.attack_label(row),
                "counts": labels.comparable(row, metric),
                # Where nothing trained nobody looked at the memory; no model needs 0.
                "peak_memory_mib": row["peak_memory_mib"] or None,
                **{f"{name}_kept": _kept(row[name], kept[name]) for name in GUARDED},
            }
            shown.append(made)
    places = {row["signature"]: place for place, row in enumerate(ordered)}
    of_target = [row["target"] for row in shown]
    made_here = (shown or [{}])[0].keys()
    named = [name for name in ROW if name not in absent and name not in made_here]
    order = np.argsort([places[signature] for signature in board["signature"].to_pylist()])
    of_board = board.select([*named, "method", *VERSIONS]).take(pa.array(order))
    return {
        "columns": [asdict(column) for column in COLUMNS if column.name not in absent],
        "verdicts": VERDICTS,
        "help": {field.name: field.metadata[b"description"].decode() for field in board.schema},
        "kept": ranking.LEAST_KEPT,
        "targets": [_target(rows, overall) for rows in targets.values()],
        "rows": {name: page_data.column(of_board[name]) for name in named}
        | {"name": page_data.column(of_board["method"])}
        | {name: page_data.column(pc.utf8_slice_codeunits(of_board[name], 0, DIGITS)) for name in VERSIONS}
        | {name: page_data.packed([row[name] for row in shown]) for name in made_here},
        "curves": _curves(curves, places),
        "facts": page_data.facts(facts, places, of_target),
        "analyses": page_data.analyses(analyses, places, ordered, [row["label"] for row in shown]),
        "documentation": page_data.documentation(board),
    }


def _kept(value: float | None, original: float | None) -> int | None:
    return None if value is None or not original or original < 0 else ranking.share(value, original)


def _target(rows: Rows, overall: Sequence[str]) -> dict[str, Any]:
    """What is said of a target above its table and below it."""
    metric = labels.target_metric(rows)
    of_metric = next((row for row in rows if row["forget_metric"] == metric), rows[0])
    low, high = of_metric["forget_low_bound"], of_metric["forget_high_bound"]
    chances = {row["chance"] for row in rows if row["chance"] is not None}
    same = {name: rows[0][name] for name in ("protocol", "benchmark", "model", "dtype", "data", "target")}
    return same | {
        "settings": labels.settings(rows[0]["benchmark_config"]),
        "metric": metric,
        "attacks": labels.by_strength(rows),
        "definition": of_metric["forget_definition"],
        "range": None if None in (low, high) else range_text(low, high),
        "chances": sorted(chances),
        "computed": labels.computed_on(rows),
        "tasks": sorted({labels.tasks(row) for row in rows if row["lm_eval_tasks"]}),
        "findings": [*findings.findings(rows), *filter(None, [findings.resolution(rows)]), *overall],
        "compared": labels.compared(rows) + labels.guarded(rows),
        "failed": [
            {"method": labels.method_label(row), "attack": labels.attack_label(row), "error": error}
            for row in rows
            for error in row["errors"] or ()
        ],
    }


def _curves(curves: pa.Table, places: dict[str, int]) -> list[dict[str, Any]]:
    """A curve for each row that has one, its points by column."""
    names = {"step": "step", "value": "value", "value_low": "low", "value_high": "high", "seeds": "seeds"}
    by_row: dict[str, dict[str, Any]] = {}
    points = Columns(curves)
    for signature, *values in zip(points["signature"], *(points[name] for name in names), strict=True):
        if (curve := by_row.get(signature)) is None:
            curve = by_row[signature] = {"row": places[signature]} | {short: [] for short in names.values()}
        for short, value in zip(names.values(), values, strict=True):
            curve[short].append(value)
    return list(by_row.values())
