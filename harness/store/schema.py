"""The tables of results: columns, their meaning, and the versions of schema and protocol."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pyarrow as pa

from ..core.names import ANALYSIS, EVALUATION, NO_ATTACK, UTILITY

SCHEMA_VERSION = "6"
"""Of the tables: raised when a column is added, renamed or changes its meaning."""

READ_AS_WELL: Mapping[str, frozenset[str]] = {
    "4": frozenset(
        {"analysis", "analysis_plugin", "analysis_source", "analysis_config", "analyses", "answer"}
    ),
    "5": frozenset({"answer"}),
}
"""The versions that are read as well, and by version the columns it lacks: nothing else differs."""

LATER: Mapping[str, Any] = {
    "analysis": "",
    "analysis_plugin": "",
    "analysis_source": "",
    "analysis_config": "{}",
    "analyses": [],
    "answer": None,
}
"""By name, what the columns that came later hold in cells of before, and where they say nothing."""

PROTOCOL = "2"
"""Of the measurement. Raised when the same code inputs would no longer give comparable numbers: another
definition of the score, of recovery or of the forgetting threshold, other splits, seeds or budgets. Not
raised for speed, plugins, or columns. A leaderboard never mixes two."""


def _column(kind: pa.DataType, says: str, unit: str = "", **default: Any) -> Any:
    """A field of a row, its type and meaning in the table kept beside it."""
    return field(metadata={"kind": kind, "description": says, "unit": unit}, **default)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRow:
    """One cell: what it is, whether it worked, and what it took. Each field is a column of ``cells``."""

    key: str = _column(pa.string(), "SHA-256 of everything that decides the cell's numbers")
    protocol: str = _column(
        pa.string(), "version of the measurement, with a limit of damage if there was one", default=PROTOCOL
    )
    engine: str = _column(pa.string(), "SHA-256 of the code that decides numbers", default="")
    benchmark: str = _column(pa.string(), "name of the benchmark")
    benchmark_plugin: str = _column(
        pa.string(), "distribution and version the benchmark comes from", default=""
    )
    benchmark_source: str = _column(pa.string(), "SHA-256 of the benchmark's source", default="")
    benchmark_config: str = _column(
        pa.string(), "resolved settings of the benchmark, canonical JSON", default="{}"
    )
    data_fingerprint: str = _column(pa.string(), "SHA-256 of every fact in every split, and of candidates")
    model: str = _column(pa.string(), "what the target was made from: hub id, or name of the embedded model")
    target_key: str = _column(pa.string(), "content key of the target")
    target_family: str = _column(
        pa.string(), "content key shared by all independently trained targets of one recipe", default=""
    )
    replicate: int = _column(
        pa.int64(), "which of the independently trained targets of its family this is", default=0
    )
    target_weights: str = _column(pa.string(), "SHA-256 of the original model's weight files")
    twin_key: str = _column(
        pa.string(), "content key of the retrain twin that the method reads, or ''", default=""
    )
    reference_key: str = _column(
        pa.string(), "key of the scores of the twin that says what counts as forgotten, or ''", default=""
    )
    method: str = _column(pa.string(), "name of the method")
    method_plugin: str = _column(pa.string(), "distribution and version the method comes from")
    method_source: str = _column(pa.string(), "SHA-256 of the method's source", default="")
    method_config: str = _column(pa.string(), "resolved settings of the method, canonical JSON", default="{}")
    stage: str = _column(
        pa.string(),
        "what was done with the unlearned model: 'evaluation', 'utility' (lm-eval), 'attack' or 'analysis'",
        default=EVALUATION,
    )
    attack: str = _column(pa.string(), "name of the attack, or 'none' before any attack", default=NO_ATTACK)
    variant: str = _column(pa.string(), "published setting of the attack, e.g. 'p=0.1', or ''", default="")
    attack_plugin: str = _column(
        pa.string(),
        "distribution and version the attack comes from (lm-eval for 'utility'), or ''",
        default="",
    )
    attack_source: str = _column(
        pa.string(),
        "SHA-256 of the attack's source (of tasks and items for 'utility'), or ''",
        default="",
    )
    attack_config: str = _column(
        pa.string(), "resolved settings of the attack (the tasks for 'utility'), canonical JSON", default="{}"
    )
    analysis: str = _column(pa.string(), "name of the analysis, or '' where there is none", default="")
    analysis_plugin: str = _column(
        pa.string(), "distribution and version the analysis comes from, or ''", default=""
    )
    analysis_source: str = _column(pa.string(), "SHA-256 of the analysis's source, or ''", default="")
    analysis_config: str = _column(
        pa.string(), "resolved settings of the analysis, canonical JSON", default="{}"
    )
    seed: int = _column(pa.int64(), "the cell's seed, from which one per axis is derived")
    dtype: str = _column(pa.string(), "number format of the weights, e.g. 'bfloat16'")
    status: str = _column(pa.string(), "'ok' or 'failed'", default="ok")
    error_type: str | None = _column(pa.string(), "class of the error of a failed cell", default=None)
    error_message: str | None = _column(pa.string(), "message of the error of a failed cell", default=None)
    notes: str = _column(
        pa.string(), "facts about the run as JSON: forget_metric, threshold, chance, ...", default="{}"
    )
    seconds: float = _column(pa.float64(), "wall time", "s", default=0.0)
    steps: int = _column(pa.int64(), "optimiser steps", default=0)
    tokens: int = _column(pa.int64(), "tokens seen in training", default=0)
    peak_memory_mib: float = _column(pa.float64(), "highest memory in use", "MiB", default=0.0)
    provenance: str = _column(pa.string(), "commit, versions and hardware as JSON", default="{}")
    content: str = _column(
        pa.string(),
        "SHA-256 over the rest of this row and all that the cell measured",
        default="",
    )


def cell_name(row: Mapping[str, Any]) -> str:
    """A cell for people: benchmark, method, what was done with the unlearned model, and seed."""
    what = (UTILITY,) if row["stage"] == UTILITY else (row["attack"], row["variant"])
    if row["stage"] == ANALYSIS:
        what = (row["analysis"], *(what if row["attack"] != NO_ATTACK else ()))
    return " ".join(filter(None, (row["benchmark"], row["method"], *what, f"seed {row['seed']}")))


def _schema(columns: Iterable[tuple[str, pa.DataType, str, str]]) -> pa.Schema:
    """A schema that explains itself; its versions end up in the footer of every file."""
    return pa.schema(
        [
            pa.field(name, kind, metadata={"description": says, **({"unit": unit} if unit else {})})
            for name, kind, says, unit in columns
        ],
        metadata={"schema_version": SCHEMA_VERSION, "protocol": PROTOCOL},
    )


CELLS = _schema(
    (f.name, f.metadata["kind"], f.metadata["description"], f.metadata["unit"]) for f in fields(CellRow)
)
METRICS = _schema(
    [
        ("key", pa.string(), "the cell", ""),
        ("split", pa.string(), "split of the benchmark, or 'all' for an aggregate", ""),
        ("metric", pa.string(), "name of the metric", ""),
        ("value", pa.float64(), "its value: mean over the facts, or the maximum of an attack's curve", ""),
        ("low", pa.float64(), "lower end of the 95 % interval over facts", ""),
        ("high", pa.float64(), "upper end of the 95 % interval over facts", ""),
        ("n", pa.int64(), "facts behind the value", "facts"),
        ("step", pa.int64(), "optimiser step of a point of a curve; null for a final value", "steps"),
        ("learning_rate", pa.float64(), "learning rate of that curve; null for a final value", ""),
        ("low_bound", pa.float64(), "least value the metric can take; null where nobody said", ""),
        ("high_bound", pa.float64(), "highest value it can take; null where nobody said", ""),
        ("definition", pa.string(), "what the metric is, in a line; null where nobody said", ""),
        ("at_most", pa.string(), "metric of the same split that it never exceeds, or null", ""),
    ]
)
SAMPLES = _schema(
    [
        ("key", pa.string(), "the cell", ""),
        ("split", pa.string(), "split of the benchmark", ""),
        ("metric", pa.string(), "name of the metric", ""),
        ("fact_id", pa.string(), "id of the fact within the benchmark", ""),
        ("value", pa.float64(), "value of the metric on the fact", ""),
        ("cluster", pa.string(), "what the fact is about: its subject, or the fact itself", ""),
        ("answer", pa.string(), "what the model wrote; null where the value is not that of one text", ""),
    ]
)
ANALYSES = _schema(
    [
        ("key", pa.string(), "the cell", ""),
        ("analysis", pa.string(), "name of the analysis", ""),
        ("figure", pa.string(), "name of the figure or table that the number belongs to", ""),
        ("series", pa.string(), "the line or group within the figure, or '' where there is one alone", ""),
        ("layer", pa.int64(), "decoder layer, from 0; null where the number is of none or several", ""),
        ("module", pa.string(), "linear map: 'q', 'k', 'v', 'o', 'gate', 'up', 'down', ..., or null", ""),
        ("x", pa.float64(), "position on the axis: rank, depth, ...; null for a single number", ""),
        ("value", pa.float64(), "the number: what the figure shows, as the analysis defines it", ""),
    ]
)


def of_version(schema: pa.Schema, version: str) -> pa.Schema:
    """A table's schema as that version has it: :data:`SCHEMA_VERSION`, or one that is read as well."""
    if version == SCHEMA_VERSION:
        return schema
    metadata = {**schema.metadata, b"schema_version": version.encode()}
    lacking = () if schema is ANALYSES else READ_AS_WELL[version]
    return pa.schema(_without(schema, lacking), metadata=metadata)


def _without(columns: Iterable[pa.Field], lacking: Collection[str]) -> list[pa.Field]:
    """The columns that are not lacking, and of nested ones the fields that are not."""
    kept = []
    for column in columns:
        if column.name not in lacking:
            if pa.types.is_list(column.type):
                column = column.with_type(pa.list_(pa.struct(_without(column.type.value_type, lacking))))
            kept.append(column)
    return kept


def as_of_now(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table of any version that is read, with the columns of ``schema`` and the versions of now."""
    metadata = {**(table.schema.metadata or {}), **schema.metadata}
    if table.schema.equals(schema):
        return table.replace_schema_metadata(metadata)
    columns = [
        table[column.name].cast(column.type)
        if column.name in table.column_names
        else pa.repeat(pa.scalar(LATER[column.name], column.type), table.num_rows)
        for column in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema.with_metadata(metadata))
