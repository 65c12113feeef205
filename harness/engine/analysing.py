"""An analysis job: one module that shows several models in turn, and what an analysis found in them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from ..core import jobs
from ..core.base import Analysis
from ..core.jobs import Which
from ..core.types import Finding, Outcome
from ..errors import HarnessError
from ..model import models
from .evaluation import facts_about
from .integrity import Tampered
from .job import FactsJob
from .under_test import ModelUnderTest

READ_ONLY = "An analysis reads weights: take a clone of what it changes."


@dataclass(frozen=True)
class Kept:
    """The weights of a model that analyses look at, and the fingerprint that tells when one changed them."""

    weights: models.Weights
    fingerprint: str
    notes: Mapping[str, Any]
    """What a reader must know of them: the checkpoint of an attack."""

    @classmethod
    def of(cls, weights: models.Weights, **notes: Any) -> Kept:
        """The weights as they are now. They are not copied."""
        return cls(weights, models.fingerprint(weights), notes)

    def check(self, which: Which, who: str) -> None:
        """Raise Tampered where they are others now: no copy is left to put back."""
        if models.fingerprint(self.weights) != self.fingerprint:
            raise Tampered(f"{who} changed the weights of the {which} model. {READ_ONLY}")


@dataclass
class AnalysisJob(FactsJob, jobs.AnalysisJob):
    """The models to compare, shown by the module of the subject, which owns no weights meanwhile."""

    axis = "analysis"

    compared: Mapping[Which, Kept]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._current: Which = "unlearned"

    def original(self) -> AbstractContextManager[nn.Module]:
        return self._showing("original")

    def unlearned(self) -> AbstractContextManager[nn.Module]:
        return self._showing("unlearned")

    def attacked(self) -> AbstractContextManager[nn.Module]:
        return self._showing("attacked")

    def weights(self, which: Which) -> Mapping[str, Tensor]:
        if which not in self.compared:
            raise HarnessError(
                f"There is no {which} model here: an analysis that looks at one after an attack says "
                "`attacked = True` in its class."
            )
        return MappingProxyType(self.compared[which].weights)

    @contextmanager
    def _showing(self, which: Which) -> Iterator[nn.Module]:
        before = self._current
        self._show(which)
        try:
            yield self.model
        finally:
            self._show(before)

    def _show(self, which: Which) -> None:
        models.point(self.model, self.weights(which))
        self._current = which


def run_analysis(
    subject: ModelUnderTest, analysis: Analysis, seed: int, compared: Mapping[Which, Kept]
) -> Outcome:
    """What an analysis finds. The module of ``subject`` has its own weights again afterwards.

    Meanwhile it has none: it shows those of ``compared``, so that in memory is one set of weights for each
    model that is compared and no other. Raises HarnessError for an analysis that finds nothing or what is no
    finite number, and Tampered for one that changed weights.
    """
    who = f"The analysis '{analysis.name}'"
    job = AnalysisJob(subject, analysis.config, seed, compared)
    models.point(subject.model, compared["unlearned"].weights)
    try:
        findings = [_checked(found, who) for found in analysis.analyse(job)]
    finally:
        models.point(subject.model, models.copied(compared["unlearned"].weights))
        subject.model.zero_grad(set_to_none=True)
        for which, kept in compared.items():
            kept.check(which, who)
    if not findings:
        raise HarnessError(f"{who} found nothing: it must give at least one number.")
    told = {name: value for kept in compared.values() for name, value in kept.notes.items()}
    notes = {**facts_about(subject), **told, **job.notes}
    return Outcome(findings=findings, notes=notes, cost=job.cost)


def _checked(given: Any, who: str) -> Finding:
    """A finding whose numbers are plain and finite. Raises HarnessError."""
    if not isinstance(given, Finding):
        raise HarnessError(f"{who} must give harness.Finding, and gave {type(given).__name__}.")
    where = (given.figure, given.series, given.layer, given.module)
    at = " ".join(str(part) for part in where if part not in ("", None))
    value, x = float(given.value), None if given.x is None else float(given.x)
    if not math.isfinite(value) or (x is not None and not math.isfinite(x)):
        at += "" if x is None else f" at {x:g}"
        raise HarnessError(f"{who} gave {value:g} for {at}: leave out what cannot be computed.")
    layer = None if given.layer is None else int(given.layer)
    return Finding(given.figure, given.series, value, x, layer, given.module)
