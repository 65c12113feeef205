"""Committing cells: rows of the plan with what was measured or what failed, and the news of it."""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..core.events import Event, Tell
from ..core.fingerprint import engine_fingerprint
from ..core.keys import canonical
from ..core.names import NO_ATTACK
from ..core.types import Outcome, as_row
from ..engine.source import Source
from ..errors import HarnessError
from ..store import provenance
from ..store.rules import violations
from ..store.schema import CellRow, cell_name
from ..store.store import Store, as_tables
from .plan import Cell, Group, Spec

NO_ANALYSIS = Spec("analysis", "", "", "", "{}", "{}")
"""Of a cell of another stage."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Commits the cells of groups to a results directory, and tells of each."""

    source: Source
    store: Store
    tell: Tell
    leads: bool = True
    """Whether it is this process that commits, of those that hold a model together."""

    def row(self, group: Group, cell: Cell, weights: str = "") -> CellRow:
        """The row of a cell that starts now, on a target whose weights have this fingerprint."""
        plugin, source, config = "", "", "{}"
        if cell.attack:
            plugin, source, config = cell.attack.owner, cell.attack.source, cell.attack.settings
        elif cell.tasks:
            plugin, source, config = cell.tasks.engine, cell.tasks.fingerprint, cell.tasks.config
        analysis = cell.analysis or NO_ANALYSIS
        return CellRow(
            key=cell.key,
            protocol=group.protocol,
            engine=engine_fingerprint(),
            benchmark=group.benchmark.name,
            benchmark_plugin=group.benchmark.owner,
            benchmark_source=group.benchmark.source,
            benchmark_config=group.benchmark.settings,
            data_fingerprint=group.data_fingerprint,
            model=display_name(self.source),
            target_key=group.target,
            target_family=group.family,
            replicate=group.replicate,
            target_weights=weights,
            twin_key=group.twin or "",
            reference_key=group.reference.key if group.reference else "",
            method=group.method.name,
            method_plugin=group.method.owner,
            method_source=group.method.source,
            method_config=group.method.settings,
            stage=cell.stage,
            attack=cell.attack.name if cell.attack else NO_ATTACK,
            variant=cell.variant,
            attack_plugin=plugin,
            attack_source=source,
            attack_config=config,
            analysis=analysis.name,
            analysis_plugin=analysis.owner,
            analysis_source=analysis.source,
            analysis_config=analysis.settings,
            seed=cell.seed,
            dtype=self.source.dtype,
            provenance=json.dumps(asdict(provenance.collect(gpu_name()))),
        )

    def done(self, row: CellRow, outcome: Outcome) -> None:
        """Commit a cell that worked; one whose numbers break a rule fails, and no other."""
        if not self.leads:
            return
        try:
            row = complete(row, outcome)
        except HarnessError as error:
            self.failed(row, error)
        else:
            self.store.commit(row, outcome)
            self._tell(row)

    def failed(self, row: CellRow, error: BaseException) -> None:
        """Commit a cell that failed: its row alone."""
        if not self.leads:
            return
        message = explain(error)
        row = replace(row, status="failed", error_type=type(error).__name__, error_message=message)
        self.store.commit(row)
        self._tell(row, message, "".join(traceback.format_exception(error)))

    def _tell(self, row: CellRow, message: str = "", trace: str = "") -> None:
        name = cell_name(asdict(row))
        self.tell(Event(name, "", 0, 0, row.status, message, trace, row.seconds, cell=True, key=row.key))


def complete(row: CellRow, outcome: Outcome) -> CellRow:
    """The row of a cell that worked. Raises HarnessError where a plugin's notes or numbers cannot stand."""
    try:
        row = replace(row, notes=canonical(outcome.notes), **asdict(outcome.cost))
    except (TypeError, ValueError) as error:
        raise HarnessError(f"Its notes cannot be written as JSON: {error}.") from error
    try:
        metrics, samples, findings = as_tables(row.key, outcome, row.analysis)
    except (TypeError, ValueError, OverflowError) as error:
        raise HarnessError(f"Its numbers cannot be written as a table: {error}.") from error
    by_column = samples.to_pydict(), findings.to_pydict()
    if broken := violations(as_row(row), metrics.to_pylist(), *by_column):
        raise HarnessError(f"What it measured cannot be: {broken[0]}.")
    return row


def explain(error: BaseException) -> str:
    """The message of an error, and for one nobody foresaw also where it was raised."""
    text = storable(str(error).strip() or type(error).__name__)
    if isinstance(error, HarnessError):
        return text
    if not isinstance(error, Exception):  # SystemExit, KeyboardInterrupt and their like
        text = f"A plugin must not end the process, and raised {type(error).__name__}: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else text


def display_name(source: Source) -> str:
    """The model's name for a table: the last part of a path, because nothing is keyed or shown by path."""
    return storable(Path(source.spec).name if Path(source.spec).expanduser().exists() else source.spec)


def storable(text: str) -> str:
    """Text without the half characters that stand for the odd bytes of a file name: no table holds them."""
    return text.encode("utf-8", "backslashreplace").decode()


def gpu_name() -> str | None:
    """Model name of the first GPU."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
