"""A leaderboard as a data set of the Hugging Face hub: its tables, a configuration for each, and a card.

Each table has one schema, pinned where it is defined, so that a configuration has the same columns and types
whatever was measured. The tables of the leaderboard lie as `harness leaderboard` keeps them: what is loaded
from the hub is a leaderboard again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from ..errors import ConfigError, unknown
from ..leaderboard import analyses, columns, curves, facts
from ..store.atomic import parquet_bytes
from ..store.schema import ANALYSES, CELLS, METRICS, SAMPLES
from . import escape, files
from .files import README, Published
from .markdown import markdown
from .templating import environment

TEMPLATE = "dataset.md.j2"

SPLIT = "test"
"""The one split of each configuration: nothing here is to train on."""

TAGS = ("machine-unlearning", "robustness", "benchmark", "unlearning-harness")
TITLE = "Erased or hidden: machine unlearning under attack"


class Content(NamedTuple):
    """What a data set may hold."""

    path: str
    schema: pa.Schema
    about: str


CONTENTS: Mapping[str, Content] = {
    "leaderboard": Content(
        files.TABLE,
        columns.SCHEMA,
        "a row for each method under each attack, over its seeds; attack `none` is the model before any",
    ),
    "curves": Content(
        files.CURVES, curves.SCHEMA, "the forget metric after each step of an attack that trains"
    ),
    "facts": Content(
        files.FACTS,
        facts.SCHEMA,
        "what became of each fact, before and after every attack: forget metric and answer",
    ),
    "analyses": Content(
        files.ANALYSES, analyses.SCHEMA, "what analyses found, mean over seeds and thinned out"
    ),
    "cells": Content(
        "cells.parquet", CELLS, "a row for each cell: what it is, whether it worked, what it took"
    ),
    "metrics": Content("metrics.parquet", METRICS, "final values (`step` is null) and curves, by cell"),
    "samples": Content(
        "samples.parquet", SAMPLES, "the value of every fact, and what the model wrote, by cell"
    ),
    "findings": Content("findings.parquet", ANALYSES, "what analyses found, every number, by cell"),
}
"""By name, the tables of a data set: of a leaderboard, then of results. The first is shown first."""

OF_BOARD, OF_RESULTS = tuple(CONTENTS)[:4], tuple(CONTENTS)[4:]


def chosen(names: Collection[str], there: Collection[str]) -> list[str]:
    """The tables of these names, or ``all``, of those that are ``there``; the leaderboard always is.

    Raises ConfigError for one that does not exist, or that a leaderboard alone does not hold.
    """
    for name in names:
        if name not in (*CONTENTS, "all"):
            raise ConfigError(unknown("table named", name, (*CONTENTS, "all")))
        if name not in (*there, "all"):
            raise ConfigError(f"A leaderboard does not hold the table '{name}': give its --results instead.")
    return [
        name for name in CONTENTS if name in there and (name in (*names, "leaderboard") or "all" in names)
    ]


def folder(
    board: Published, results: Mapping[str, pa.Table], names: Collection[str], repo: str, licence: str
) -> dict[str, bytes]:
    """By path, the files of the data set ``repo``; ``results`` has the tables beside those of the board.

    ``names`` are its tables. One without rows is no configuration: the hub shows none without data.
    """
    nothing = {name: CONTENTS[name].schema.empty_table() for name in OF_BOARD[1:] if name not in names}
    board = board._replace(**nothing)
    tables = {
        **dict(zip(OF_BOARD, board, strict=True)),
        **{name: results[name] for name in OF_RESULTS if name in names},
    }
    shown = {name: table for name, table in tables.items() if table.num_rows}
    made = dict(board.files())
    for name in OF_RESULTS:
        if name in shown:
            made[CONTENTS[name].path] = parquet_bytes(shown[name].cast(CONTENTS[name].schema))
    made[README] = card(board.board, shown, repo, licence).encode()
    return made


def card(board: pa.Table, tables: Mapping[str, pa.Table], repo: str, licence: str) -> str:
    """The card of the data set: what viewers read at its head, what was found, and what each column is."""
    from huggingface_hub import DatasetCard, DatasetCardData

    head = DatasetCardData(
        license=licence,
        pretty_name=TITLE,
        tags=[*TAGS],
        configs=[
            {
                "config_name": name,
                **({"default": True} if name == "leaderboard" else {}),
                "data_files": [{"split": SPLIT, "path": CONTENTS[name].path}],
            }
            for name in tables
        ],
    )
    body = (
        environment(escape=False)
        .get_template(TEMPLATE)
        .render(
            title=TITLE,
            repo=repo,
            split=SPLIT,
            table=files.TABLE,
            board=markdown(board),
            parts=[_described(name, table) for name, table in tables.items()],
        )
    )
    return str(DatasetCard(f"---\n{head.to_yaml()}\n---\n\n{body}"))


def _described(name: str, table: pa.Table) -> dict[str, Any]:
    return {
        "name": name,
        "about": CONTENTS[name].about,
        "rows": table.num_rows,
        "columns": [
            (field.name, str(field.type), escape.markdown(_meaning(field))) for field in CONTENTS[name].schema
        ],
    }


def _meaning(field: pa.Field) -> str:
    """What a column is, with its unit."""
    says = field.metadata[b"description"].decode()
    unit = field.metadata.get(b"unit", b"").decode()
    return f"{says} ({unit})" if unit else says
