"""What analyses found about the models of a leaderboard, as a table: means over seeds, thinned out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import pyarrow as pa

from ..core.names import ATTACK, EVALUATION, NO_ATTACK
from ..store.schema import ANALYSES
from . import board, columns
from .columns import FLOAT, INT, TEXT
from .groups import Groups
from .identity import BEFORE, AttackId, GroupId, MethodId, TargetId

POINT = ("figure", "series", "layer", "module", "x")

_MEANINGS = {field.name: (field.type, field.metadata[b"description"].decode()) for field in ANALYSES}

COLUMNS: columns.Columns = {
    "signature": (
        TEXT,
        "of the row whose model was looked into: before any attack, or under the attack it followed",
    ),
    "analysis": _MEANINGS["analysis"],
    "analysis_source": (TEXT, "SHA-256 of the analysis's source"),
    "analysis_config": (TEXT, "resolved settings of the analysis, canonical JSON"),
    **{name: _MEANINGS[name] for name in POINT},
    "value": (FLOAT, "the number, as the analysis defines it; mean over the seeds that have it"),
    "seeds": (INT, "seeds behind the value"),
}
SCHEMA = columns.schema(COLUMNS)

POINTS = 60
"""Most points of a line or a cloud that are kept, evenly by x; the results hold all."""

Row = Mapping[str, Any]


def build(leaderboard: pa.Table, groups: Groups, findings: pa.Table) -> pa.Table:
    """What was found about the models of the rows of a leaderboard, in its order.

    ``groups`` are those it was built from, and ``findings`` is the table ``analyses`` of the same results.
    After an attack, the numbers of single maps are left out: there are many, and the results hold them.
    """
    signatures = {which: board.signature(which, seeds) for which, seeds in groups.items()}
    by_row: dict[str, dict[tuple[str, ...], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in findings.to_pylist():
        if (cell := groups.looked.get(row["key"])) is None or (which := _row_of(cell)) not in signatures:
            continue
        if which.stage == ATTACK and row["layer"] is not None and row["x"] is None:
            continue
        of = (row["analysis"], cell["analysis_source"], cell["analysis_config"])
        by_row[signatures[which]][of].append(row)
    rows = [
        dict(zip(("signature", "analysis", "analysis_source", "analysis_config"), (name, *of), strict=True))
        | point
        for name in leaderboard["signature"].to_pylist()
        for of in sorted(by_row.get(name, ()))
        for point in _means(by_row[name][of])
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _row_of(cell: Row) -> GroupId:
    """The group of the model that a cell looked into."""
    before = cell["attack"] == NO_ATTACK
    attack = BEFORE if before else AttackId.of(cell)
    return GroupId(TargetId.of(cell), MethodId.of(cell), EVALUATION if before else ATTACK, attack)


def _means(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The mean over seeds at each place, figure by figure as the analysis gave them."""
    lines: dict[tuple[str, str], dict[tuple[Any, ...], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        lines[row["figure"], row["series"]][tuple(row[name] for name in POINT)].append(row["value"])
    for values in lines.values():
        places = list(values)
        if places[0][-1] is not None:
            places = _thinned(sorted(places, key=lambda place: place[-1]))
        for place in places:
            numbers = {"value": fmean(values[place]), "seeds": len(values[place])}
            yield dict(zip(POINT, place, strict=True)) | numbers


def _thinned(places: Sequence[Any]) -> list[Any]:
    """At most ``POINTS`` of them, the first and the last among these."""
    last = len(places) - 1
    if last < POINTS:
        return list(places)
    return [places[round(i * last / (POINTS - 1))] for i in range(POINTS)]
