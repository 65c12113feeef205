"""What became of single facts: the forget metric on each, and an answer, before and after every attack."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import Any

import pyarrow as pa

from ..core.names import ATTACK, EVALUATION
from . import board, columns
from .arrays import Sampled
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
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    names = (leaderboard[name].to_pylist() for name in ("signature", "forget_metric"))
    for signature, metric in zip(*names, strict=True):
        facts = _facts(measured.get(signature, Seeds()), metric)
        columns["signature"] += [signature] * len(facts["fact"])
        for name, values in facts.items():
            columns[name] += values
    return pa.table(columns, SCHEMA)


def _facts(seeds: Seeds, metric: str | None) -> dict[str, list[Any]]:
    """Each fact of one row, by its id: its columns."""
    measured = (FORGET, metric or "")
    by_seed, about = seeds.facts(measured), seeds.clusters(measured)
    facts, values, times = _means(by_seed)
    subjects = [about[fact] if about.get(fact) != fact else None for fact in facts]
    of, answers = _answers(seeds, metric)
    said = [*map(answers.get, facts)]
    which = [None if answer is None else of for answer in said]
    return {
        **{"fact": facts, "about": subjects, "value": values, "seeds": times},
        **{"answer": said, "answer_metric": which},
    }


def _means(by_seed: Sampled) -> tuple[list[str], list[float], list[int]]:
    """The facts, the mean of each over the seeds that scored it, and how many these are."""
    if by_seed.whole:
        facts, seeds, y = by_seed.whole
        return [*facts], [*map(fmean, y.T.tolist())], [len(seeds)] * len(facts)
    values: dict[str, list[float]] = defaultdict(list)
    for by_fact in by_seed.values():
        for fact, value in by_fact.items():
            values[fact].append(value)
    ordered = sorted(values)
    return ordered, [fmean(values[fact]) for fact in ordered], [len(values[fact]) for fact in ordered]


def _answers(seeds: Seeds, metric: str | None) -> tuple[str | None, dict[str, str]]:
    """The metric whose texts are kept, the row's own if it has any, and by fact the first seed's text."""
    metrics = {of for cell in seeds.values() for of in cell.answers}
    chosen = metric if metric in metrics else min(metrics, default=None)
    answers: dict[str, str] = {}
    for seed in sorted(seeds, reverse=True):
        answers |= seeds[seed].answers.get(chosen or "", {})
    return chosen, answers
