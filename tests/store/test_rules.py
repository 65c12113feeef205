"""What must hold of the numbers of one cell: what breaks it is named, and nothing honest does."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from harness.core.names import ANALYSIS, ATTACK, EVALUATION, UTILITY
from harness.core.types import Finding, Metric, Outcome, Sample, as_row
from harness.store.rules import violations
from harness.store.store import as_tables
from support.sound import curve, row_of, scored, together

SHARE = {"low_bound": 0.0, "high_bound": 1.0}
HALF = [1.0, 1.0, 0.0, 0.0]


def row(stage=EVALUATION, **changes):
    return row_of(**{"stage": stage, "attack": "noise" if stage == ATTACK else "none"} | changes)


def broken(outcome, stage=EVALUATION, **changes):
    """What the rules say of a cell."""
    metrics, samples, findings = as_tables("k", outcome, changes.get("analysis", ""))
    by_column = samples.to_pydict(), findings.to_pydict()
    return violations(as_row(row(stage, **changes)), metrics.to_pylist(), *by_column)


def changed(outcome, **changes):
    """The outcome with another final value."""
    return replace(outcome, metrics=[replace(m, **changes) if m.step is None else m for m in outcome.metrics])


@pytest.mark.parametrize("stage", [EVALUATION, ATTACK])
def test_nothing_is_wrong_with_what_was_measured(stage):
    outcome = scored("forget", "rouge_l", [0.1, 0.5, 0.7], **SHARE)
    assert broken(curve(outcome, (0, None), (5, 1e-4)) if stage == ATTACK else outcome, stage) == []
    assert broken(together(scored("forget", "p", [0.5]), scored("forget", "q", HALF))) == []


def test_aggregates_and_the_curve_of_unlearning_have_no_samples():
    metrics = [Metric("all", "utility", 0.6), Metric("forget", "p", 0.9, n=4, step=5, learning_rate=1e-4)]
    assert broken(together(scored("forget", "p", HALF), Outcome(metrics))) == []


def test_rounding_is_no_violation():
    outcome = scored("forget", "p", [1.0 + 1e-9, 1.0], **SHARE)
    assert broken(changed(outcome, value=1.0 + 2e-7)) == []


def test_a_value_whose_range_is_not_known_may_be_anything_and_log_of_zero_is_in_its_range():
    assert broken(scored("forget", "elo", [1700.0, 1710.0])) == []
    assert broken(Outcome([Metric("all", "log10_p", -239.0, low_bound=-math.inf, high_bound=0.0)])) == []
    assert broken(Outcome([Metric("all", "log10_p", -math.inf, low_bound=-math.inf, high_bound=0.0)])) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_no_number(value):
    [said] = broken(Outcome([Metric("all", "whatever", value)]))
    assert said == f"all.whatever is {value}, and a value must be a finite number"
    outcome = scored("forget", "p", HALF)
    outcome.samples[1] = replace(outcome.samples[1], value=value)
    assert broken(outcome) == [f"forget.p of 'f1' is {value}, and a value must be a finite number"]


def test_half_an_interval():
    assert broken(Outcome([Metric("all", "p", 0.5, low=0.1)])) == [
        "all.p has one end of an interval without the other"
    ]
    assert broken(Outcome([Metric("all", "p", 0.5, low=0.1, high=math.inf)])) == [
        "the interval of all.p must be of finite numbers"
    ]


@pytest.mark.parametrize(("value", "where"), [(2.0, "is 2"), (-0.1, "is -0.1")])
def test_a_value_outside_its_range_in_the_end_on_a_curve_and_of_a_fact(value, where):
    end = f"{where}, and it lies in [0, 1]"
    assert broken(Outcome([Metric("all", "p", value, **SHARE)])) == [f"all.p {end}"]
    point = Metric("forget", "p", value, step=5, **SHARE)
    assert broken(Outcome([point])) == [f"forget.p at step 5 {end}"]
    said, *_ = broken(scored("forget", "p", [0.5, value, 0.5], **SHARE))
    assert said == f"forget.p of 'f1' {end}"


def test_a_value_outside_its_own_interval():
    said = broken(changed(scored("forget", "p", HALF), value=0.01))
    assert said == ["forget.p is 0.01, outside its own interval [0.150039, 0.849961]"]


def test_a_value_that_is_not_the_mean_of_its_samples():
    said = broken(changed(scored("forget", "p", HALF), value=0.4))
    assert said == ["forget.p is 0.4, and the mean of its 4 samples 0.5"]


def test_an_interval_that_is_not_of_its_samples():
    said = broken(changed(scored("forget", "p", HALF), low=0.49))
    assert said == ["the interval of forget.p is not that of its 4 samples"]
    assert broken(changed(scored("forget", "p", HALF), low=None, high=None)) == said


def test_samples_that_are_fewer_than_said_or_none_or_too_many():
    outcome = scored("forget", "p", HALF)
    fewer = replace(outcome, samples=outcome.samples[1:])
    assert broken(fewer) == ["forget.p says that 4 facts are behind it, and there are 3"]
    assert broken(replace(outcome, samples=[])) == [
        "forget.p has a value and no samples that it is the mean of"
    ]
    assert broken(replace(outcome, metrics=[])) == ["forget.p has samples and no final value"]


def test_what_is_there_twice():
    outcome = scored("forget", "p", HALF)
    twice = replace(outcome, samples=[*outcome.samples, outcome.samples[2]])
    assert broken(twice) == ["a fact must be scored once, and forget.p of 'f2' is there 2 times"]
    twice = replace(outcome, metrics=outcome.metrics * 2)
    assert broken(twice) == ["a final value must be there once, and forget.p is there 2 times"]


@pytest.mark.parametrize("where", [{}, {"step": 5, "learning_rate": 1e-5}])
def test_a_metric_above_one_that_it_never_exceeds(where):
    metrics = [Metric("all", "all", 0.5, at_most="some", **where), Metric("all", "some", 0.4, **where)]
    at = " at step 5" if where else ""
    assert broken(Outcome(metrics)) == [f"all.all{at} is 0.5, and it is at most some, 0.4"]


def test_metrics_at_other_points_and_splits_do_not_meet():
    metrics = [Metric("forget", "all", 0.5, step=5, at_most="some"), Metric("forget", "some", 0.4, step=0)]
    metrics += [Metric("all", "all", 0.5, at_most="some")]
    assert broken(together(Outcome(metrics), scored("retain", "some", [0.4]))) == []


def test_points_of_one_step_meet_in_their_order():
    metrics = [
        Metric("forget", name, value, step=5, at_most=limit)
        for low, high in ((0.3, 0.4), (0.5, 0.6))
        for name, value, limit in (("all", low, "some"), ("some", high, None))
    ]
    assert broken(Outcome(metrics)) == []


def test_a_score_that_is_not_the_maximum_of_its_curve():
    outcome = curve(scored("forget", "p", HALF), (0, None), (5, 1e-4))
    above = [*outcome.metrics, Metric("forget", "p", 0.6, step=10, learning_rate=1e-4)]
    assert broken(replace(outcome, metrics=above), ATTACK) == [
        "forget.p is 0.5, and the maximum of its curve 0.6"
    ]
    below = [replace(m, value=0.3) if m.step is not None else m for m in outcome.metrics]
    below = [replace(m, low=None, high=None) if m.step is not None else m for m in below]
    assert broken(replace(outcome, metrics=below), ATTACK) == [
        "forget.p is 0.5, and the maximum of its curve 0.3"
    ]
    without = replace(outcome, metrics=outcome.metrics[-1:])
    assert broken(without, ATTACK) == ["forget.p has a curve or a final value, and not both"]


def test_of_lm_evals_values_those_with_an_interval_are_means():
    outcome = scored("utility", "task/acc", HALF)
    assert broken(outcome, UTILITY) == []
    assert broken(changed(outcome, value=0.4), UTILITY) == [
        "utility.task/acc is 0.4, and the mean of its 4 samples 0.5"
    ]
    assert broken(changed(outcome, value=17.0, low=None, high=None), UTILITY) == []
    assert broken(replace(outcome, metrics=[]), UTILITY) == []


@pytest.mark.parametrize(("stage", "attack"), [(EVALUATION, "noise"), (ATTACK, "none"), ("other", "none")])
def test_a_stage_that_is_not_the_attacks(stage, attack):
    assert broken(Outcome(), stage, attack=attack) == [
        f"only a cell of the stage 'attack' names an attack; this is '{stage}' of '{attack}'"
    ]


def test_samples_of_another_split_are_others():
    outcome = scored("forget", "p", HALF)
    extra = Sample("retain", "p", "f0", 1.0)
    assert broken(replace(outcome, samples=[*outcome.samples, extra])) == [
        "retain.p has samples and no final value"
    ]


def found(*findings, **more):
    return Outcome(findings=[*findings], **more)


NUMBER = Finding("cumulated", "D+", 0.5, x=1.0, layer=0, module="q")


@pytest.mark.parametrize("attack", ["none", "noise"])
def test_nothing_is_wrong_with_an_analysis_before_or_after_an_attack(attack):
    outcome = found(NUMBER, Finding("share", "", 0.25))
    assert broken(outcome, ANALYSIS, analysis="parts", attack=attack) == []


@pytest.mark.parametrize(
    ("outcome", "stage", "changes", "says"),
    [
        (found(), ANALYSIS, {"analysis": "parts"}, "the analysis 'parts' found nothing"),
        (found(NUMBER), EVALUATION, {}, "only an analysis has findings, and there are 1"),
        (found(NUMBER), ANALYSIS, {}, "only a cell of the stage 'analysis' names an analysis"),
        (
            found(NUMBER),
            EVALUATION,
            {"analysis": "parts"},
            "only a cell of the stage 'analysis' names an analysis",
        ),
        (found(replace(NUMBER, figure="")), ANALYSIS, {"analysis": "parts"}, "names no figure"),
        (
            found(NUMBER, samples=[Sample("forget", "p", "f", 1.0)]),
            ANALYSIS,
            {"analysis": "parts"},
            "there are metrics or samples",
        ),
        *(
            (
                found(replace(NUMBER, **{column: value})),
                ANALYSIS,
                {"analysis": "parts"},
                f"cumulated D+ 0 q {1.0 if column == 'value' else value} is "
                f"{value if column == 'value' else 0.5}, and a number of an analysis must be finite",
            )
            for column in ("value", "x")
            for value in (math.nan, math.inf)
        ),
    ],
)
def test_what_no_analysis_can_find(outcome, stage, changes, says):
    [said, *_] = broken(outcome, stage, **changes)
    assert says in said


def test_a_number_of_another_analysis_is_no_number_of_this_one():
    metrics, samples, findings = as_tables("k", found(NUMBER), "other")
    by_column = samples.to_pydict(), findings.to_pydict()
    cell = as_row(row(ANALYSIS, analysis="parts"))
    assert violations(cell, metrics.to_pylist(), *by_column) == [
        "a number of the analysis 'parts' is of 'other'"
    ]
