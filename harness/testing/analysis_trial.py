"""An analysis on trial: two-layer models of before and after unlearning, and after an attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..core.base import Analysis
from ..core.jobs import Which
from ..core.types import Outcome
from ..engine.analysing import Kept, run_analysis
from ..engine.integrity import Tampered
from ..model import models
from ..plugins.settings import resolve
from . import sandbox
from .facts import Toy, splits_with
from .observe import Guarded, Watch
from .trial import Run, Trial

MOVED: Mapping[Which, float] = {"original": 0.0, "unlearned": 0.25, "attacked": 0.2}
"""How far each model is from the original towards another one: unlearning went some way, the attack back."""


class Compared(dict[Which, Kept]):
    """Models to compare that record which of them were looked at."""

    def __init__(self, kept: Mapping[Which, Kept]) -> None:
        super().__init__(kept)
        self.opened: set[Which] = set()

    def __getitem__(self, which: Which) -> Kept:
        self.opened.add(which)
        return super().__getitem__(which)


@dataclass
class AnalysisRun(Run):
    """What was observed of one analysis."""

    outcome: Outcome
    changed: str
    """Whose weights it changed, as a sentence; empty where it changed none."""
    opened: set[Which]
    """The models that it looked at."""


@dataclass
class AnalysisTrial(Trial[AnalysisRun]):
    """An analysis on trial."""

    cls: type[Analysis]

    def first_runs(self) -> dict[str, AnalysisRun]:
        """The analysis of a Llama."""
        return {"": self.run()}

    def rerun(self, variant: str, family: str = "llama", dtype: str = "float32") -> AnalysisRun:
        """The same of another model."""
        return self.run(family, dtype)

    def run(self, family: str = "llama", dtype: str = "float32", global_seed: int = 1) -> AnalysisRun:
        """Analyse fresh models with a fresh instance."""
        watch, analysis = Watch(), self.cls(resolve(self.cls, self.settings))
        subject = sandbox.subject(Toy(), Guarded(splits_with("test")), family, dtype)
        here, there = models.snapshot(subject.model), sandbox.others(family, dtype)
        kept = {
            which: Kept.of(_between(here, there, share))
            for which, share in MOVED.items()
            if which != "attacked" or self.cls.attacked
        }
        compared, outcome, changed = Compared(kept), Outcome(), ""
        models.restore(subject.model, kept["unlearned"].weights)
        with watch.watching_model(subject, global_seed):
            try:
                outcome = run_analysis(subject, analysis, 0, compared)
            except Tampered as error:
                changed = str(error)
        return AnalysisRun(subject, watch, outcome.notes, "", outcome, changed, compared.opened)


def _between(here: Mapping[str, Any], there: Mapping[str, Any], share: float) -> models.Weights:
    """Weights at a share of the way from one model to another; what is no fraction stays."""
    return {
        name: torch.lerp(tensor, there[name], share) if tensor.is_floating_point() else tensor.clone()
        for name, tensor in here.items()
    }
