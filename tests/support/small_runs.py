"""A short run of a benchmark: one cheap method, one cheap attack, no training to speak of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness
from support.command import harness_cli

Values = dict[tuple[str, str], float]


def small_run(
    benchmark: str, data: Path, folder: Path, model: Path | str = "tiny", *more: str
) -> tuple[Values, dict[str, Any], Any]:
    """The values of the evaluation, its notes, and the results."""
    settings = ("ga.epochs=1", "ga.learning_rates=1e-3", *more)
    ended = harness_cli(
        *("run", "--benchmarks", benchmark, "--data", data, "--model", model, "--methods", "ga"),
        *("--attacks", "quantize:bits=8", "--seeds", 1, "--no-controls", "--utility", "none"),
        *("--results", folder / "results", "--cache", folder / "cache", "--jobs", 1),
        *(part for setting in settings for part in ("--set", setting)),
    )
    assert ended.code == 0, ended.err
    results = harness.load(folder / "results")
    cells = {cell["stage"]: cell for cell in results.cells.to_pylist()}
    assert {stage: cell["status"] for stage, cell in cells.items()} == {"evaluation": "ok", "attack": "ok"}
    own = cells["evaluation"]["key"]
    rows = [row for row in results.metrics.to_pylist() if row["key"] == own and row["step"] is None]
    return (
        {(row["split"], row["metric"]): row["value"] for row in rows},
        json.loads(cells["evaluation"]["notes"]),
        results,
    )
