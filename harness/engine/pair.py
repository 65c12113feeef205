"""A ready pair: an original and its retrain twin that are there already, and whether they are that.

Nothing is trained here: both are taken as they are. What they score tells whether the one knows what the
other never learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ..core.intervals import difference_interval
from ..core.types import Sample
from ..errors import ModelError
from .source import Source
from .targets import Recipe

LEAST_RETAINED = 0.9
"""Share of what the original knows of the retain set that a twin of it knows, too."""

Measured = tuple[str, str]
"""Split and metric."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The original, and the twin that never saw the forget set, where that was given."""

    original: Source
    retrain: Source | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """Both, or the original alone."""
        return (self.original,) if self.retrain is None else (self.original, self.retrain)

    def recipes(self) -> dict[str, Recipe]:
        """By role, how the models are made: not at all."""
        return {
            role: Recipe(source, None, role)
            for role, source in zip(("original", "retrain"), self.sources, strict=False)
        }

    def check_files(self) -> None:
        """Raise ModelError where both are the same files."""
        if self.retrain and self.retrain.fingerprint() == self.original.fingerprint():
            raise ModelError(
                f"{self} are the same model, file by file: give a --retrain that never saw the forget set, "
                "or leave it out."
            )

    def check_scores(
        self,
        benchmark: str,
        forget: Measured,
        retain: Measured,
        original: Sequence[Sample],
        retrain: Sequence[Sample],
    ) -> str | None:
        """Hold what both score on a benchmark against each other, paired by fact.

        Raises ModelError unless the 95 % interval of the difference on the forget set, original minus twin,
        is above 0. Where the twin's score on the retain set is below :data:`LEAST_RETAINED` of the
        original's, by the whole interval of ``LEAST_RETAINED * original - twin``, that is returned as a
        sentence.
        """
        know = _compared(forget, original, retrain)
        if know and not know.low > 0:
            if know.high < 0:
                found = "look exchanged: the second one knows the forget set better"
            else:
                found = "know the forget set alike, so nothing can be learned from them"
            raise ModelError(
                f"{self} on {benchmark}: they {found} ({know.of(forget)}). Give an original that was trained "
                "on it, and a twin that was not."
            )
        keep = _compared(retain, original, retrain, LEAST_RETAINED)
        if keep is None or not keep.low > 0:
            return None
        return (
            f"{self} on {benchmark}: they differ in more than the forget set: of '{retain[0]}' the "
            f"second one knows less than {LEAST_RETAINED:.0%} of what the first does ({keep.of(retain)}); "
            "what counts as forgotten may be too low."
        )

    def __str__(self) -> str:
        """Both, as they were given."""
        return " and ".join(
            _option(role, source) for role, source in zip(("original", "retrain"), self.sources, strict=False)
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """Mean scores of the original and the twin on the same facts, and the interval of their difference."""

    original: float
    retrain: float
    low: float
    high: float

    def of(self, measured: Measured) -> str:
        """The scores, for people."""
        return f"{measured[1]} {self.original:.3g} and {self.retrain:.3g}"


def _compared(
    measured: Measured, original: Sequence[Sample], retrain: Sequence[Sample], share: float = 1.0
) -> Compared | None:
    """The scores of both, with the interval of ``share * original - retrain``; None where there are none.

    Where there is no interval (one fact, or differences that are all the same) it is the mean alone.
    """
    own, other = (
        {s.fact_id: s for s in samples if (s.split, s.metric) == measured} for samples in (original, retrain)
    )
    pairs = [(own[fact], other[fact]) for fact in own if fact in other]
    if not pairs:
        return None
    differences = [share * mine.value - its.value for mine, its in pairs]
    low, high = difference_interval(differences, [mine.cluster or mine.fact_id for mine, _ in pairs])
    mean = fmean(differences)
    return Compared(
        fmean(mine.value for mine, _ in pairs),
        fmean(its.value for _, its in pairs),
        mean if low is None else low,
        mean if high is None else high,
    )


def _option(role: str, source: Source) -> str:
    return f"--{role} {source.spec}" + (f"@{source.revision}" if source.revision else "")
