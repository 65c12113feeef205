"""The base class of benchmarks, and what all plugins have in common. Its docstring is the manual.

No heavy import here: plugins are listed without loading torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from .config import Config
from .hub import Hub
from .types import Fact, Measure, Reported, Sample, Splits, Training


class Plugin(ABC):
    """What plugins of all kinds have in common: a name, settings, and a docstring as manual."""

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    Config: ClassVar[type[Config]] = Config

    def __init__(self, config: Any = None) -> None:
        self.config: Any = self.Config() if config is None else config


class Benchmark(Plugin):
    """Facts in splits, how a model is asked and scored, and when it counts as having forgotten.

    ``forget_metric`` is the metric of split ``forget`` that the forgetting threshold and the attacks look at;
    ``curve_metrics`` are all metrics followed along an attack (``forget_metric`` among them). The class says
    what they are by default; where a setting decides, the instance has its own.
    """

    forget_metric: str
    curve_metrics: tuple[str, ...]
    retain_metric: tuple[str, str]
    """Split and metric of the leaderboard's retain column."""

    neutral: tuple[str, ...] = ()
    """Splits that unlearning neither forgets nor trains on: damage is measured on them (``--stop``)."""

    reports: tuple[Reported, ...] = ()
    """Every metric of :meth:`measures`, :meth:`aggregates` and :meth:`against_twin`, for ``harness show``.

    One that is declared here and was not computed is named in the cell's notes, with the reason.
    """

    needs_data: ClassVar[bool] = False
    """True when the facts come from files or a hub (``--data``) and not from the package."""

    utility_tasks: ClassVar[str] = ""
    """Where its own lm-eval tasks come from, ``"module:function"``; measured unless ``--utility`` says else.

    The function returns configurations as in lm-eval's YAML. Named and not imported: a change of them runs
    them again, and nothing else.
    """

    data: Path | None = None
    """The directory given with ``--data``, set before :meth:`load`; None means the hub or the package."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.hub = Hub()
        """Where :meth:`load` gets data sets of the hub; what it got there, `harness prepare` records."""

    @abstractmethod
    def load(self) -> Splits:
        """Return the splits: ``forget``, ``retain`` and what else is scored; ``instruct`` for attacks.

        Raises DataError naming file, line, field and what was expected; never returns half a data set.
        """

    @abstractmethod
    def measures(self, splits: Splits) -> Iterable[Measure]:
        """Return every number to compute on ``splits``. Called with a part of the splits, too."""

    @abstractmethod
    def chance(self, splits: Splits) -> float:
        """Return the value of ``forget_metric`` for a model that knows the format but not the facts."""

    def threshold(self, splits: Splits) -> float | None:
        """Return the value of ``forget_metric`` at or below which the forget set counts as forgotten.

        None, the default: no better than never having known. That is the retrain twin's own score on the
        forget set, and chance where no twin can be made.
        """
        return None

    def candidates(self, splits: Splits) -> Sequence[Fact]:
        """Return the facts of which only those are asked that the original answers; none: all are asked.

        For pretrained models, which are only asked to forget what they know. The original is scored on them
        once, as if they were in ``forget``, and answers those on which ``forget_metric`` is 1.
        """
        return ()

    def screened(self, splits: Splits, known: Sequence[Fact]) -> Splits:
        """Return the splits to use where the original answers ``known`` of the candidates.

        By default every split loses its candidates that are not answered. Raises ConfigError where too few
        are left, saying how many are needed.
        """
        answered = {fact.id for fact in known}
        lost = {fact.id for fact in self.candidates(splits)} - answered
        return Splits({name: tuple(f for f in facts if f.id not in lost) for name, facts in splits.items()})

    def aggregates(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """Return what adds up all samples of one model; the key ``utility`` fills that column.

        What cannot be computed from these samples is left out, never set to a default.
        """
        return {}

    def against_twin(self, samples: Sequence[Sample], twin: Sequence[Sample]) -> Mapping[str, float]:
        """Return what sets the samples of one model against those of the retrain twin.

        Called only where there is a twin. The engine scores it once on all splits, before anything else.
        """
        return {}

    def training(self, splits: Splits) -> Training | None:
        """Return what the original and its retrain twin are trained on, or None if they cannot be made."""
        return None
