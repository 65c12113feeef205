"""Results of a run as tables and pictures: the cells on disk, and the leaderboard that follows from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.names import NO_ATTACK
from ..errors import ConfigError, unknown
from ..leaderboard import board, curves
from ..leaderboard.findings import findings
from ..leaderboard.format import DASH
from ..leaderboard.groups import Groups, grouped
from ..leaderboard.labels import attack_label, by_target, method_label, target_metric
from ..store.schema import ANALYSES
from . import summary
from .escape import plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Tables = tuple[pa.Table, pa.Table, pa.Table]

NAMES = ("leaderboard", "curves", "cells", "metrics", "samples", "analyses")


class Results:
    """The cells of a run or of a results directory. They are read when first asked for, all at once."""

    def __init__(
        self,
        read: Callable[[], Tables],
        planned: int | None = None,
        sources: Sequence[str] = (),
        analyses: Callable[[], pa.Table] = ANALYSES.empty_table,
    ) -> None:
        self._read, self._planned, self._sources, self._found = read, planned, sources, analyses

    @cached_property
    def _tables(self) -> Tables:
        return self._read()

    @property
    def cells(self) -> pa.Table:
        """A row for each cell: what it is, whether it worked, what it cost (``store.CellRow``)."""
        return self._tables[0]

    @property
    def metrics(self) -> pa.Table:
        """Final values, and the points of curves (those with a step), by cell key (``store.METRICS``)."""
        return self._tables[1]

    @property
    def samples(self) -> pa.Table:
        """The value of every fact, by cell key (``store.SAMPLES``)."""
        return self._tables[2]

    @cached_property
    def analyses(self) -> pa.Table:
        """What analyses found, a row for each number, by cell key (``store.ANALYSES``)."""
        return self._found()

    @cached_property
    def _groups(self) -> Groups:
        return grouped(*self._tables, self._sources)

    @cached_property
    def leaderboard(self) -> pa.Table:
        """A row for each method and attack over the seeds (``leaderboard.COLUMNS``).

        Raises StoreError when there are no cells, where versions of a code compete, or where the cells
        violate what must hold in any results.
        """
        return board.build(self._groups)

    @cached_property
    def curves(self) -> pa.Table:
        """The relearning curves behind the leaderboard's scores, a row per point (``curves.COLUMNS``)."""
        return curves.build(self.leaderboard, self._groups)

    @property
    def failed(self) -> pa.Table:
        """The cells that failed, with ``error_type`` and ``error_message``; the next run tries them again.

        A cell that was changed after it was written is among them, as an ``IntegrityError``.
        """
        return self.cells.filter(pc.not_equal(self.cells["status"], "ok"))

    def summary(self) -> str:
        """What was found, as text: for each target a line for each method, and what follows in sentences."""
        if not self.cells.num_rows:
            return "There are no results yet."
        return summary.text(self.leaderboard.to_pylist())

    def to_pandas(self, name: str = "leaderboard") -> pd.DataFrame:
        """One of the tables, by its name here, as a data frame."""
        if name not in NAMES:
            raise ConfigError(unknown("table of results named", name, NAMES))
        return getattr(self, name).to_pandas()

    def plot_relearning(
        self,
        benchmark: str | None = None,
        methods: Sequence[str] | str = "all",
        attack: str | None = None,
    ) -> Figure:
        """What each attack that trains brings back with every step; see ``harness.report.plots``."""
        from . import plots

        return plots.relearning(self.curves, benchmark, methods, attack)

    def plot_tradeoff(self, benchmark: str | None = None) -> Figure:
        """What a method leaves of the model, against its worst attack; see ``harness.report.plots``."""
        from . import plots

        return plots.tradeoff(self.leaderboard, self.cells, benchmark)

    def plot_influence(self, methods: Sequence[str] | str = "all", benchmark: str | None = None) -> Figure:
        """What unlearning took from units, and set against them; see ``harness.report.analysis_plots``."""
        from . import analysis_plots

        return analysis_plots.influence(self._findings, methods, benchmark)

    def plot_influence_map(self, method: str, benchmark: str | None = None) -> Figure:
        """In which maps and layers it did; see ``harness.report.analysis_plots``."""
        from . import analysis_plots

        return analysis_plots.influence_map(self._findings, method, benchmark)

    def plot_lens(self, methods: Sequence[str] | str = "all", benchmark: str | None = None) -> Figure:
        """From which layer on the answer is preferred; see ``harness.report.analysis_plots``."""
        from . import analysis_plots

        return analysis_plots.lens(self._findings, methods, benchmark)

    def plot_stability(self, method: str, attack: str | None = None, benchmark: str | None = None) -> Figure:
        """Whether units do the same after an attack; see ``harness.report.analysis_plots``."""
        from . import analysis_plots

        return analysis_plots.stability(self._findings, method, attack, benchmark)

    @property
    def _findings(self) -> list[dict[str, Any]]:
        """What analyses found, each number with its cell's place."""
        from .analysis_plots import joined

        return joined(self.cells, self.analyses)

    def __repr__(self) -> str:
        planned = f" of {self._planned}" * (self._planned is not None)
        there = f"{self.cells.num_rows}{planned} cells, {self.failed.num_rows} failed"
        named = (
            f"{name}s: {', '.join(sorted(set(self.cells[name].to_pylist()))) or DASH}"
            for name in ("benchmark", "method", "attack")
        )
        return plain(f"<Results: {'; '.join([there, *named])}>", lines=False)

    def _repr_html_(self) -> str | None:
        """For each target the scores, a row for each method and a column for each attack, and findings."""
        if not self.cells.num_rows:
            return None
        targets = by_target(self.leaderboard.to_pylist()).values()
        parts = [part for rows in targets for part in (_table(rows), *map(_paragraph, findings(rows)))]
        if self.failed.num_rows:
            parts.append(f"<p>{self.failed.num_rows} cells failed: see <code>failed</code>.</p>")
        return "".join(parts)


def _paragraph(sentence: str) -> str:
    return f"<p>{escape(plain(sentence, lines=False))}</p>"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The forget metric of one target's rows, before and highest under each attack, as HTML."""
    from pandas import DataFrame

    metric = target_metric(rows)
    shown: dict[str, dict[str, float | None]] = defaultdict(dict)
    for row in rows:
        other_metric = "" if row["forget_metric"] in (None, metric) else f" ({row['forget_metric']})"
        before = row["attack"] == NO_ATTACK
        column = "before" if before else attack_label(row) + other_metric
        shown[method_label(row)][column] = row["forget_before"] if before else row["score"]
    first = rows[0]
    caption = f"{first['benchmark']}, {first['model']}: forget {metric}, before and highest under each attack"
    table = DataFrame.from_dict(shown, orient="index", dtype=float).rename_axis(columns="method")
    styled = table.style.format(precision=2, na_rep=DASH)
    for axis in ("index", "columns"):
        styled = styled.format_index(axis=axis, escape="html")
    return styled.set_caption(escape(caption)).to_html(exclude_styles=True)
