"""Group samples by metric, and average them over facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from ...core.intervals import mean_interval
from ...core.types import Metric, Sample


def by_metric(samples: Iterable[Sample]) -> dict[tuple[str, str], list[float]]:
    """The values of each (split, metric), a fact each, in the order of the samples."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in samples:
        values[sample.split, sample.metric].append(sample.value)
    return dict(values)


def means(samples: Iterable[Sample]) -> dict[tuple[str, str], float]:
    """The mean over facts of each (split, metric)."""
    return {key: float(np.mean(values)) for key, values in by_metric(samples).items()}


def summarise(samples: Iterable[Sample]) -> list[Metric]:
    """Mean and 95 % interval over facts of each metric on each split."""
    return [
        Metric(split, metric, float(np.mean(numbers)), *mean_interval(numbers), n=len(numbers))
        for (split, metric), numbers in by_metric(samples).items()
    ]
