"""Pictures of analyses show the numbers that are there, mean over seeds, and refuse what is not."""

from __future__ import annotations

import pytest

from harness.errors import ConfigError, HarnessError
from harness.report import analysis_plots as plots

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def found(analysis, method, seed, value, **where):
    row = {
        "benchmark": "world",
        "model": "m",
        "method": method,
        "seed": seed,
        "attack": "none",
        "variant": "",
    }
    place = {"figure": "", "series": "", "layer": None, "module": None, "x": None}
    return {**row, **place, "analysis": analysis, "value": value, **where}


@pytest.fixture
def rows():
    """Two methods under two seeds, whose numbers differ by method and seed."""
    made = []
    for m, method in enumerate(("gd", "npo")):
        for seed in (0, 1):
            for series in ("D+", "D-"):
                sign = 1 if series == "D+" else 2
                for x in (1.0, 10.0):
                    where = {"figure": "cumulated", "series": series, "x": x}
                    made.append(found("influence", method, seed, sign * x + seed + 100 * m, **where))
                for layer in (0, 1):
                    where = {"figure": "map", "series": series, "layer": layer, "module": "up"}
                    made.append(found("influence", method, seed, sign + layer + seed, **where))
            for series in plots.LINES:
                for layer in (0, 1, 2):
                    where = {"figure": "accuracy", "series": series, "layer": layer, "x": float(layer)}
                    made.append(found("lens", method, seed, 0.2 * layer + 0.1 * seed, **where))
            made.append(found("lens", method, seed, 0.5, figure="accuracy", series="chance"))
            attacked = {"attack": "relearn", "variant": "p=1"}
            for series in ("positive", "negative"):
                made.append(
                    found("stability", method, seed, 0.5, figure="pearson", series=series, **attacked)
                )
                for x in (0.1, 0.3):
                    where = {"figure": "scatter", "series": series, "x": x, "layer": 0, "module": "q"}
                    made.append(found("stability", method, seed, 2 * x, **where, **attacked))
    return made


def lines(axis):
    return {line.get_label(): list(map(float, line.get_ydata())) for line in axis.get_lines()}


def test_influence_has_a_panel_for_each_sign_and_a_line_for_each_method(rows):
    plus, minus = plots.influence(rows).axes
    assert lines(plus) == {"gd": [1.5, 10.5], "npo": [101.5, 110.5]}
    assert lines(minus) == {"gd": [2.5, 20.5], "npo": [102.5, 120.5]}
    assert set(lines(plots.influence(rows, "npo").axes[0])) == {"npo"}


def test_the_maps_share_one_scale(rows):
    plus, minus, bar = plots.influence_map(rows, "gd").axes
    (one,), (other,) = plus.get_images(), minus.get_images()
    assert one.get_array().tolist() == [[1.5, 2.5]]
    assert other.get_array().tolist() == [[2.5, 3.5]]
    assert one.get_clim() == other.get_clim() == (0, 3.5)
    assert bar.get_ylabel() == "mean of the map's top 100 units"


def test_the_lens_has_both_sets_and_models_and_chance(rows):
    (first, second) = plots.lens(rows).axes
    assert {first.get_title(), second.get_title()} == {"gd", "npo"}
    assert lines(first)["forget unlearned"] == pytest.approx([0.05, 0.25, 0.45])
    assert lines(first)["chance"] == [0.5, 0.5]


def test_stability_has_every_point_of_the_scatter(rows):
    (axis,) = plots.stability(rows, "gd").axes
    points = [tuple(point) for part in axis.collections for point in part.get_offsets().tolist()]
    assert sorted(points) == sorted([(0.1, 0.2), (0.3, 0.6)] * 4)
    assert {part.get_label() for part in axis.collections} == {"positive, r = 0.50", "negative, r = 0.50"}


def test_all_pictures_have_a_name(rows):
    assert [name for name, _ in plots.every(rows)] == [
        "world-influence",
        "world-influence-map-gd",
        "world-influence-map-npo",
        "world-lens",
        "world-stability-gd-relearn-p=1",
        "world-stability-npo-relearn-p=1",
    ]


def test_what_is_not_there_is_named(rows):
    lens = [row for row in rows if row["analysis"] == "lens"]
    with pytest.raises(HarnessError, match="Nothing of the analysis 'influence' is in these results"):
        plots.influence(lens)
    with pytest.raises(HarnessError, match="no method with such a finding named 'gdd'"):
        plots.influence(rows, "gdd")
    with pytest.raises(HarnessError, match="no method with a finding of 'stability' named 'rmu'"):
        plots.stability(rows, "rmu")
    other = [{**row, "benchmark": "other"} for row in rows]
    with pytest.raises(ConfigError, match="Say which benchmark to draw"):
        plots.lens([*rows, *other])
    more = [{**row, "attack": "prune"} for row in rows if row["analysis"] == "stability"]
    with pytest.raises(ConfigError, match="Say which attack to draw, by attack='NAME'"):
        plots.stability([*rows, *more], "gd")
