"""A metric carries its range and definition, so that tables can be checked and shown without any plugin."""

from __future__ import annotations

import pytest

from harness.core.formulas import described
from harness.core.reports import with_definitions
from harness.core.types import Metric, Reported
from harness.plugins.registry import Registry
from harness.scoring import metrics

REPORTS = (
    Reported("exact", ("forget", "retain"), metrics.exact_match, at_most="rouge"),
    Reported("truth", ("forget",), metrics.truth_ratio_forget),
    Reported("truth", ("retain",), metrics.truth_ratio_other),
)


def test_a_metric_is_defined_by_its_split_and_name():
    found = with_definitions([Metric(split, "truth", 0.5) for split in ("forget", "retain")], REPORTS)
    formulas = (metrics.truth_ratio_forget, metrics.truth_ratio_other)
    assert [metric.definition for metric in found] == [described(f).definition for f in formulas]
    assert {(metric.low_bound, metric.high_bound, metric.at_most) for metric in found} == {(0, 1, None)}


def test_a_point_of_a_curve_keeps_its_numbers_and_says_what_it_never_exceeds():
    point = Metric("forget", "exact", 0.5, 0.4, 0.6, 20, 5, 1e-5)
    [found] = with_definitions([point], REPORTS)
    assert (found.value, found.low, found.high, found.n, found.step) == (0.5, 0.4, 0.6, 20, 5)
    assert found.at_most == "rouge"


def test_what_nobody_reports_stays_as_it_is():
    metric = Metric("forget", "elo", 1700.0)
    assert with_definitions([metric], REPORTS) == [metric]


@pytest.mark.parametrize("name", sorted(Registry().kinds["benchmark"]))
def test_every_metric_of_every_benchmark_here_has_range_and_definition(name):
    reports = Registry().benchmark(name).load()().reports
    reported = [(split, report) for report in reports for split in report.splits]
    found = with_definitions([Metric(split, report.metric, 0.5) for split, report in reported], reports)
    assert len(found) >= 8
    for (_, report), metric in zip(reported, found, strict=True):
        formula = described(report.formula)
        assert (metric.low_bound, metric.high_bound) == (formula.low, formula.high), metric.metric
        assert metric.definition == formula.definition
