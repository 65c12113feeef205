"""A cell as it lies on disk, with what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..errors import IntegrityError
from .schema import ANALYSES, CELLS, METRICS, SAMPLES

Tables = tuple[pa.Table, pa.Table, pa.Table]
"""Cells, metrics and samples."""

UNSOUND = IntegrityError.__name__
"""The ``error_type`` of a cell that is read as failed, because something is wrong with it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A cell as it lies there, and sentences on what is wrong with it."""

    row: pa.Table
    metrics: pa.Table
    samples: pa.Table
    analyses: pa.Table
    wrong: Sequence[str]

    @property
    def status(self) -> str:
        """``ok`` or ``failed``; an unsound cell has neither worked nor failed."""
        return "unsound" if self.wrong else str(self.row["status"][0].as_py())

    def findings(self) -> pa.Table:
        """What an analysis found; of a cell that is not ok nothing."""
        return self.analyses if self.status == "ok" else ANALYSES.empty_table()

    def tables(self, key: str) -> Tables:
        """Row, metrics and samples; of an unsound cell the row alone, as of one that failed."""
        if not self.wrong:
            return self.row, self.metrics, self.samples
        (row,) = self.row.to_pylist()
        error = {"status": "failed", "error_type": UNSOUND, "error_message": f"{self.wrong[0]}."}
        row |= {"key": key, "notes": "{}", "provenance": "{}"} | error
        return pa.Table.from_pylist([row], CELLS), METRICS.empty_table(), SAMPLES.empty_table()
