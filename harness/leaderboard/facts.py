"""What became of single facts: the forget metric on each, and an answer, before and after every attack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import pyarrow as pa

from ..core.names import ATTACK, EVALUATION
from . import board, columns
from .columns import FLOAT, INT, TEXT
from .groups import Groups, Seeds
from .reading import FORGET

COLUMNS: columns.Columns = {
    "signature": columns.COLUMNS["signature"],
    "fact": (TEXT, "id of the forget fact within its benchmark"),
    "about": (TEXT, "what it is about: its subject, or null where its benchmark names none"),
    "value": (
        FLOAT,
        "forget_metric of the row on this fact, after an attack at its best checkpoint; mean over seeds",
    ),
    "seeds": (INT, "seeds that scored it: an attack that trains on facts does not score them"),
    "answer": (TEXT, "what the model of the first of these seeds wrote when it was asked, or null"),
    "answer_metric": (
        TEXT,
        "metric that looked at this answer, after an attack at its own best checkpoint: forget_metric of the "
        "row where that looks at text",
    ),
}
SCHEMA = columns.schema(COLUMNS)


def build(leaderboard: pa.Table, groups: Groups) -> pa.Table:
    """The facts behind the scores of a leaderboard, which was built from the same cells; in its order."""
    stages = (EVALUATION, ATTACK)
    measured = {
        board.signature(which, seeds): seeds.ok() for which, seeds in groups.items() if which.stage in stages
    }
    rows = [
        {"signature": signature} | fact
        for signature, metric in zip(
            leaderboard["signature"].to_pylist(), leaderboard["forget_metric"].to_pylist(), strict=True
        )
        for fact in _facts(measured.get(signature, Seeds()), metric)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _facts(seeds: Seeds, metric: str | None) -> Iterator[dict[str, Any]]:
    """Each fact of one row, by its id."""
    values: dict[str, list[float]] = defaultdict(list)
    for by_fact in seeds.facts((FORGET, metric or "")).values():
        for fact, value in by_fact.items():
            values[fact].append(value)
    about = seeds.clusters((FORGET, metric or ""))
    of, answers = _answers(seeds, metric)
    for fact in sorted(values):
        subject = about[fact] if about.get(fact) != fact else None
        row = {"fact": fact, "about": subject, "value": fmean(values[fact]), "seeds": len(values[fact])}
        answer = answers.get(fact)
        yield row | {"answer": answer, "answer_metric": None if answer is None else of}


def _answers(seeds: Seeds, metric: str | None) -> tuple[str | None, dict[str, str]]:
    """The metric whose texts are kept, the row's own if it has any, and by fact the first seed's text."""
    metrics = {of for cell in seeds.values() for of in cell.answers}
    chosen = metric if metric in metrics else min(metrics, default=None)
    answers: dict[str, str] = {}
    for seed in sorted(seeds, reverse=True):
        answers |= seeds[seed].answers.get(chosen or "", {})
    return chosen, answers
