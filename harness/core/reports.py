"""What is stored beside every value: range and definition of a metric, and what a fact is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .formulas import described
from .types import Metric, Reported, Sample, Splits


def with_definitions(metrics: Iterable[Metric], reports: Iterable[Reported]) -> list[Metric]:
    """The metrics, each with range, definition and ``at_most`` where one of its name is reported.

    A metric is looked up by split and name, so one name may stand for two formulas on two splits.
    """
    reported = {(split, report.metric): report for report in reports for split in report.splits}
    return [_defined(metric, reported.get((metric.split, metric.metric))) for metric in metrics]


def clustered(samples: Iterable[Sample], splits: Splits) -> list[Sample]:
    """The samples, each with the subject of its fact; a fact without one is about itself."""
    subjects = {(split, fact.id): fact.subject for split, facts in splits.items() for fact in facts}
    return [
        replace(sample, cluster=subjects.get((sample.split, sample.fact_id)) or sample.fact_id)
        for sample in samples
    ]


def _defined(metric: Metric, report: Reported | None) -> Metric:
    if report is None:
        return metric
    formula = described(report.formula)
    return replace(
        metric,
        low_bound=float(formula.low),
        high_bound=float(formula.high),
        definition=formula.definition,
        at_most=report.at_most,
    )
