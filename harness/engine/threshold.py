"""The forgetting threshold: a model has forgotten when it does no better than one that never knew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from ..core.benchmark import Benchmark
from ..core.intervals import clustered_interval
from ..core.types import Sample, Splits
from ..errors import HarnessError

FEWEST_SUBJECTS = 5
"""With fewer subjects an interval over them says nothing (of two, Student's t is 12.7): it is over facts."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Values of the forget metric: unlearning stops at ``value``, and up to ``high`` counts as forgotten.

    ``high`` allows for noise where the value is the score of a twin: it is the upper end of the 95 % interval
    of that score over subjects, or over facts where subjects are too few. Any other value allows for none.
    """

    value: float
    high: float
    rule: Literal["twin", "chance", "benchmark", "method"]


def threshold(benchmark: Benchmark, splits: Splits, twin: Sequence[Sample] | None) -> Threshold:
    """What the benchmark says, else the score of the retrain ``twin`` on the forget set, else chance.

    Raises HarnessError where the twin was not scored by the forget metric.
    """
    own = benchmark.threshold(splits)
    if own is not None:
        return Threshold(own, own, "benchmark")
    if twin is None:
        chance = benchmark.chance(splits)
        return Threshold(chance, chance, "chance")
    scored = [s for s in twin if (s.split, s.metric) == ("forget", benchmark.forget_metric)]
    if not scored:
        raise HarnessError(
            f"The retrain twin has no '{benchmark.forget_metric}' on the forget set of '{benchmark.name}': "
            "nothing says what counts as forgotten: have the benchmark measure it, or return a value from "
            "its threshold()."
        )
    value = fmean(s.value for s in scored)
    subjects = [s.cluster or s.fact_id for s in scored]
    if len({*subjects}) < FEWEST_SUBJECTS:
        subjects = [s.fact_id for s in scored]
    _, high = clustered_interval([s.value for s in scored], subjects)
    return Threshold(value, value if high is None else high, "twin")
