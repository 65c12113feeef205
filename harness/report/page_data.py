"""What the page holds beside rows and curves: single facts, what analyses found, where documentation is.

All of it is made small: values that repeat stand once, facts have two decimals, findings four digits, and of
long answers the beginning is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import pyarrow as pa

from ..core.names import NO_ATTACK
from ..leaderboard.rows import Columns
from .documented import Documented

Rows = Sequence[Mapping[str, Any]]
LONGEST = 160
"""Characters of an answer that the page holds."""

Places = Mapping[str, int]
"""By signature, the place of each row."""


Packed = list[Any] | dict[str, list[Any]]


def column(values: pa.ChunkedArray) -> Packed:
    """A column of a table as :func:`packed` has it."""
    if pa.types.is_nested(values.type):
        return packed(values.to_pylist())
    encoded = values.combine_chunks().dictionary_encode(null_encoding="encode")
    if 4 * len(encoded.dictionary) > len(values):
        return list(values.to_pylist())
    return {"values": encoded.dictionary.to_pylist(), "at": encoded.indices.to_pylist()}


def packed(values: Sequence[Any]) -> Packed:
    """Values; where few repeat, these, and the place of each among them."""
    distinct: list[Any] = []
    places: dict[str, int] = {}
    at = []
    for value in values:
        place = places.setdefault(repr(value), len(distinct))
        if place == len(distinct):
            distinct.append(value)
            if 4 * len(distinct) > len(values):
                return list(values)
        at.append(place)
    return {"values": distinct, "at": at}


def facts(table: pa.Table, places: Places, targets: Sequence[int]) -> dict[str, Any]:
    """The facts of each target, and by row the value of each in hundredths, and its answer, or None.

    ``targets`` says which target each row is of. An answer is the place of its text.
    """
    columns = Columns(table)
    values = [None if value is None else round(100 * value) for value in columns["value"]]
    names: dict[int, dict[str, str | None]] = defaultdict(dict)
    by_row: dict[int, dict[str, int | None]] = defaultdict(dict)
    texts: dict[str, int] = {}
    answers: dict[int, dict[str, int]] = defaultdict(dict)
    metrics: dict[int, str] = {}
    begin, answered = 0, table["answer"].null_count < table.num_rows
    for signature, same in groupby(columns["signature"]):  # there may be millions, and few rows
        here = slice(begin, begin := begin + sum(1 for _ in same))
        place, of_row = places[signature], columns["fact"][here]
        if not names[targets[place]].keys() >= {*of_row}:
            names[targets[place]] |= dict(zip(of_row, columns["about"][here], strict=True))
        by_row[place].update(zip(of_row, values[here], strict=True))
        said = zip(of_row, columns["answer"][here], columns["answer_metric"][here], strict=True)
        for fact, answer, metric in said if answered else ():
            if answer is not None:
                answers[place][fact] = texts.setdefault(_beginning(answer), len(texts))
                metrics[place] = metric
    ordered = {target: sorted(of_target) for target, of_target in names.items()}
    return {
        "names": [
            [[fact, names[target][fact]] for fact in ordered.get(target, ())]
            for target in range(max(targets, default=-1) + 1)
        ],
        "values": {place: [*map(own.get, ordered[targets[place]])] for place, own in sorted(by_row.items())},
        "texts": list(texts),
        "answers": {
            place: [*map(own.get, ordered[targets[place]])] for place, own in sorted(answers.items())
        },
        "answered": metrics,
    }


def _beginning(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def analyses(table: pa.Table, places: Places, rows: Rows, attacks: Sequence[str]) -> list[dict[str, Any]]:
    """What each analysis found about the model of a row, figure by figure and series by series.

    ``attacks`` are the labels of the rows' own. Points after an attack are those of the attack that recovered
    most, or else of the worst one. Of an analysis that was run with several settings the first are taken.
    """
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for point in table.to_pylist():
        place = places[point["signature"]]
        row = rows[place]
        strongest = row["recovered_attack"] or row["worst_attack"]
        if point["x"] is not None and row["attack"] != NO_ATTACK and attacks[place] != strongest:
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
