"""Stability: attributions before and after an attack, correlated by hand."""

from __future__ import annotations

import copy
import math
import statistics

import numpy as np
import pytest
import torch
from harness.analyses.stability import Stability, agreement

from harness.errors import HarnessError
from harness.model.outputs import linear_outputs
from support.analysis_jobs import run, single, values
from support.equations import moved
from support.seven import GOLDEN, attributions, made


def by_hand(model, job):
    """Of each map, lists of the mean over facts of the maximum and of the minimum over tokens."""
    for key, each in attributions(model, job.encode(job.forget)).items():
        high, low = (torch.stack([reduce(a, dim=0) for a in each]) for reduce in (torch.amax, torch.amin))
        yield key, (high.mean(0).tolist(), low.mean(0).tolist())


def pearson(x, y):
    a, b = statistics.fmean(x), statistics.fmean(y)
    product = math.fsum((i - a) * (j - b) for i, j in zip(x, y, strict=True))
    return product / math.sqrt(math.fsum((i - a) ** 2 for i in x) * math.fsum((j - b) ** 2 for j in y))


def ranked(x):
    order = sorted(range(len(x)), key=x.__getitem__)
    places = [0.0] * len(x)
    for place, i in enumerate(order):
        places[i] = float(place)
    return places


@pytest.mark.parametrize("name", GOLDEN)
def test_the_correlations_are_those_of_attributions_worked_out_by_hand(name, tokenizer, compare):
    original = made(name, tokenizer)
    unlearned = moved(original)
    attacked = moved(unlearned)
    job = compare(original, unlearned, attacked)
    findings = run(Stability(), job)
    before, after = dict(by_hand(unlearned, job)), dict(by_hand(attacked, job))
    for side, series in enumerate(("positive", "negative")):
        pairs = {key: (before[key][side], after[key][side]) for key in before}
        everything = tuple([v for pair in pairs.values() for v in pair[i]] for i in range(2))
        for (layer, module), (x, y) in {**pairs, (None, None): everything}.items():
            where = layer, module, None
            deviation = statistics.pstdev(b - a for a, b in zip(x, y, strict=True))
            spread = deviation / max(statistics.pstdev(x), statistics.pstdev(y))
            assert values(findings, "pearson", series)[where] == pytest.approx(pearson(x, y), abs=1e-5)
            assert values(findings, "spearman", series)[where] == pytest.approx(
                pearson(ranked(x), ranked(y)), abs=1e-5
            )
            assert values(findings, "spread", series)[where] == pytest.approx(spread, rel=1e-5)


def test_an_attack_that_did_nothing_leaves_all_where_it_was(three, compare):
    findings = run(Stability(), compare(three[0], three[1], three[1]))
    for figure, expected in (("pearson", 1.0), ("spearman", 1.0), ("spread", 0.0)):
        for value in values(findings, figure).values():
            assert value == pytest.approx(expected, abs=1e-12)
    for f in findings:
        assert f.figure != "scatter" or f.x == f.value


def test_the_scatter_has_units_drawn_by_the_seed(three, compare):
    some = Stability(Stability.Config(points=100))
    one, again, other = (
        [f for f in run(some, compare(*three, seed=seed)) if f.figure == "scatter"] for seed in (0, 0, 1)
    )
    assert one == again
    assert len(one) == len(other) == 100
    assert [(f.layer, f.module, f.x) for f in one] != [(f.layer, f.module, f.x) for f in other]
    assert {f.series for f in one} == {"positive", "negative"}
    with pytest.raises(ValueError, match="less than or equal to 500"):
        Stability.Config(points=501)


def test_the_scatter_is_what_is_correlated(three, compare):
    """With as many points as there are units, the correlation is that of the points."""
    findings = run(Stability(), compare(*three))
    units = sum(len(output) for output in linear_outputs(three[0]))
    assert units <= 250
    for series in ("positive", "negative"):
        points = [(f.x, f.value) for f in findings if (f.figure, f.series) == ("scatter", series)]
        assert len(points) == units
        assert single(findings, "pearson", series) == pytest.approx(
            pearson(*map(list, zip(*points, strict=True)))
        )


def test_without_an_attacked_model_it_cannot_be(three, compare):
    assert Stability.attacked
    with pytest.raises(HarnessError, match="no attacked model"):
        list(Stability().analyse(compare(*three[:2])))


def agreed(x, y):
    return {f.figure: f.value for f in agreement("positive", np.array(x), np.array(y))}


def test_what_cannot_be_correlated_is_left_out():
    assert agreed([1.0, 1.0], [2.0, 2.0]) == {}
    assert agreed([0.0, 0.0], [0.0, 0.0]) == {}
    assert agreed([1.0, 1.0], [1.0, 2.0]) == {"spread": pytest.approx(1.0)}
    assert agreed([1.0, 2.0], [3.0, 3.0]) == {"spread": pytest.approx(1.0)}


@pytest.mark.parametrize("tiny_value", [1.0, 1e-12, 1e-200, 1e-300])
def test_probabilities_whose_squares_are_nothing_are_correlated_all_the_same(tiny_value):
    x, y = [1.0, 2.0, 4.0, 3.0], [2.0, 3.0, 5.0, 4.5]
    found = agreed([tiny_value * v for v in x], y)
    assert found["pearson"] == pytest.approx(pearson(x, y))
    assert found["spearman"] == pytest.approx(1.0)
    assert 0 < found["spread"] <= 2


def test_models_that_know_nothing_of_the_answers_give_numbers_that_are_finite(model, compare):
    """P of some 1e-100 on one side."""
    unlearned = copy.deepcopy(model)
    with torch.no_grad():
        unlearned.lm_head.weight.mul_(40)
    for f in run(Stability(), compare(model, unlearned, model)):
        assert math.isfinite(f.value)
        assert f.x is None or math.isfinite(f.x)
