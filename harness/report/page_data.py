"""What the page holds beside rows and curves: single facts, what analyses found, where documentation is.

All of it is made small: values that repeat stand once, facts have two decimals, findings four digits, and of
long answers the beginning is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from ..core.names import NO_ATTACK
from .documented import Documented

Rows = list[dict[str, Any]]
LONGEST = 160
"""Characters of an answer that the page holds."""

Places = Mapping[str, int]
"""By signature, the place of each row."""


def packed(values: Sequence[Any]) -> list[Any] | dict[str, list[Any]]:
    """A column; where few values repeat, these, and the place of each row's among them."""
    distinct = list({repr(value): value for value in values}.values())
    if 4 * len(distinct) > len(values):
        return list(values)
    places = {repr(value): place for place, value in enumerate(distinct)}
    return {"values": distinct, "at": [places[repr(value)] for value in values]}


def facts(table: pa.Table, places: Places, targets: Sequence[int]) -> dict[str, Any]:
    """The facts of each target, and by row the value of each in hundredths, and its answer, or None.

    ``targets`` says which target each row is of. An answer is the place of its text.
    """
    names: dict[int, dict[str, str | None]] = {}
    by_row: dict[int, dict[str, float]] = {}
    texts: dict[str, int] = {}
    answers: dict[int, dict[str, int]] = {}
    asked: dict[int, str] = {}
    for row in table.to_pylist():
        place = places[row["signature"]]
        names.setdefault(targets[place], {}).setdefault(row["fact"], row["about"])
        by_row.setdefault(place, {})[row["fact"]] = row["value"]
        if row["answer"] is not None:
            text = _beginning(row["answer"])
            answers.setdefault(place, {})[row["fact"]] = texts.setdefault(text, len(texts))
            asked[place] = row["answer_metric"]
    ordered = {target: sorted(of_target) for target, of_target in names.items()}
    return {
        "names": [
            [[fact, names[target][fact]] for fact in ordered.get(target, ())]
            for target in range(max(targets, default=-1) + 1)
        ],
        "values": {
            place: [_hundredths(values.get(fact)) for fact in ordered[targets[place]]]
            for place, values in sorted(by_row.items())
        },
        "texts": list(texts),
        "answers": {
            place: [of_row.get(fact) for fact in ordered[targets[place]]]
            for place, of_row in sorted(answers.items())
        },
        "answered": asked,
    }


def _beginning(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _hundredths(value: float | None) -> int | None:
    return None if value is None else round(100 * value)


def analyses(table: pa.Table, places: Places, rows: Rows) -> list[dict[str, Any]]:
    """What each analysis found about the model of a row, figure by figure and series by series.

    Points after an attack are those of the attack that recovered most, or else of the worst one. Of an
    analysis that was run with several settings the first are taken.
    """
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for point in table.to_pylist():
        place = places[point["signature"]]
        row = rows[place]
        strongest = row["recovered_attack"] or row["worst_attack"]
        if point["x"] is not None and row["attack"] != NO_ATTACK and row["label"] != strongest:
            continue
        version = (point["analysis_source"], point["analysis_config"])
        looked = found.setdefault(
            (place, point["analysis"]),
            {"row": place, "analysis": point["analysis"], "version": version, "figures": {}},
        )
        if looked["version"] == version:
            _add(looked["figures"], point)
    return [
        {"row": looked["row"], "analysis": looked["analysis"], "figures": _figures(looked["figures"])}
        for _, looked in sorted(found.items())
    ]


def _add(figures: dict[tuple[str, str], dict[str, list[Any]]], point: dict[str, Any]) -> None:
    columns = figures.setdefault(
        (point["figure"], point["series"]), {name: [] for name in ("x", "layer", "module", "value", "seeds")}
    )
    for name, values in columns.items():
        number = point[name]
        values.append(float(f"{number:.4g}") if isinstance(number, float) else number)


def _figures(figures: dict[tuple[str, str], dict[str, list[Any]]]) -> list[dict[str, Any]]:
    """Each series of each figure by column, without those that hold nothing."""
    return [
        {"figure": figure, "series": series, "seeds": max(columns["seeds"])}
        | {
            name: values
            for name, values in columns.items()
            if name != "seeds" and any(value is not None for value in values)
        }
        for (figure, series), columns in figures.items()
    ]


def documentation(board: pa.Table) -> dict[str, Any] | None:
    """Where the documentation is, if the leaderboard says so."""
    told = Documented.of(board)
    return asdict(told) if told else None
