"""Pictures show the numbers of the tables: the curve of the rate that counts, its interval, references."""

from __future__ import annotations

import builtins
import dataclasses
import json

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from harness.core.names import ATTACK, EVALUATION
from harness.errors import ConfigError, HarnessError
from harness.report import plots
from harness.report.results import Results
from harness.store.schema import CELLS, METRICS, SAMPLES, CellRow

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

NOTES = {"forget_metric": "accuracy", "retain_metric": ["kept", "accuracy"], "chance": 0.25, "threshold": 0.3}
LEVEL = {"none": 0.9, "retrain": 0.3, "gd": 0.5, "npo": 0.7}
STEPS = (0, 5, 10)


def cell(method, attack, seed, **changes):
    identity = f"{method} {attack} {seed} {changes}"
    row = CellRow(
        **{"key": identity, "benchmark": "world", "data_fingerprint": "d", "model": "m", "target_key": "t"},
        **{"target_weights": "w", "method": method, "method_plugin": "p 1", "attack": attack, "seed": seed},
        **{"dtype": "float32", "notes": json.dumps(NOTES), "target_family": "t"},
        attack_plugin="" if attack == "none" else "a 1",
        stage=EVALUATION if attack == "none" else ATTACK,
        provenance=json.dumps({"started_at": "2026-01-01"}),
    )
    return dataclasses.asdict(dataclasses.replace(row, **changes))


def point(key, value, step=None, rate=None, split="forget", metric="accuracy"):
    where = {"key": key, "split": split, "metric": metric, "step": step, "learning_rate": rate}
    return {**where, "value": value, "low": None, "high": None, "n": 4}


def tables(methods=tuple(LEVEL), seeds=3, **changes):
    """Cells of made-up methods under one attack that trains at two rates and one that does not train."""
    cells, metrics, samples = [], [], []
    for method in methods:
        for seed in range(seeds):
            before, trained, still = (
                cell(method, attack, seed, **changes) for attack in ("none", "relearn", "prune")
            )
            cells += [before, trained, still]
            value = LEVEL[method] + 0.01 * seed
            metrics += [point(before["key"], 0.2), point(before["key"], LEVEL[method], split="kept")]
            metrics += [point(trained["key"], value), point(trained["key"], 0.1, 0)]
            for rate, factor in ((1e-3, 0.5), (1e-4, 1.0)):
                metrics += [
                    point(trained["key"], value * factor * step / 10, step, rate) for step in STEPS[1:]
                ]
            metrics += [point(still["key"], value), point(still["key"], value, 0)]
            samples += [
                {"key": each["key"], "split": "forget", "metric": "accuracy", "fact_id": f"{i}", "value": v}
                for each in (trained, still)
                for i, v in enumerate((value - 0.05, value + 0.05))
            ]
    made = zip((cells, metrics, samples), (CELLS, METRICS, SAMPLES), strict=True)
    return tuple(pa.Table.from_pylist(rows, schema=schema) for rows, schema in made)


def joined(*parts):
    return tuple(pa.concat_tables(column) for column in zip(*parts, strict=True))


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


def curves(*parts):
    """The curves of these results, as the page draws them."""
    return Results(lambda: joined(*(parts or (tables(),)))).curves


class TestCurves:
    def test_hold_the_steps_of_all_seeds_only(self):
        cells, metrics, samples = tables()
        gone = [row for row in metrics.to_pylist() if (row["key"], row["step"]) != ("gd relearn 1 {}", 5)]
        points = curves((cells, pa.Table.from_pylist(gone, schema=METRICS), samples))
        drawn = lines(plots.relearning(points).axes[0])
        assert list(drawn["gd"].get_xdata()) == [0, 10]
        assert list(drawn["npo"].get_xdata()) == [0, 5, 10]

    def test_of_one_method_with_two_settings_are_two(self):
        points = curves(tables(), tables(["gd"], method_config='{"gamma":2}'))
        assert {"gd gamma=None", "gd gamma=2"} <= set(lines(plots.relearning(points).axes[0]))

    def test_of_two_targets_are_not_mixed(self):
        with pytest.raises(ConfigError, match="several targets of 'world'"):
            plots.relearning(curves(tables(), tables(target_key="u", target_family="u")))


class TestRelearning:
    def test_draws_the_rows(self):
        figure = plots.relearning(curves())
        [axis] = figure.axes
        drawn = lines(axis)
        assert set(drawn) == {"none (never unlearned)", "retrain (never knew)", "gd", "npo", "chance"}
        assert list(drawn["gd"].get_xdata()) == [0, 5, 10]
        assert list(drawn["gd"].get_ydata()) == pytest.approx([0.1, 0.255, 0.51])
        assert list(drawn["chance"].get_ydata()) == [0.25, 0.25]
        assert len(axis.collections) == 4  # a band each
        assert (axis.get_title(), axis.get_ylabel()) == ("relearn", "forget accuracy")
        [legend] = figure.legends
        assert legend.get_title().get_text() == "bands: 95 % over facts and seeds"
        assert {text.get_text() for text in legend.get_texts()} == set(drawn)

    def test_methods_that_are_asked_for_come_with_the_references(self):
        [axis] = plots.relearning(curves(), methods=["npo"], attack="relearn").axes
        assert set(lines(axis)) == {"none (never unlearned)", "retrain (never knew)", "npo", "chance"}
        [again] = plots.relearning(curves(), methods="npo").axes
        assert set(lines(again)) == set(lines(axis))

    def test_each_attack_has_a_panel(self):
        other = tables(variant="r=8")
        figure = plots.relearning(curves(tables(), other))
        assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["relearn", "relearn r=8"]

    def test_no_two_methods_look_the_same(self):
        styles = plots.styles_of(["none", "retrain", *(f"m{i}" for i in range(28))])
        assert len({(s["color"], s["marker"], str(s["linestyle"])) for s in styles.values()}) == 30

    @pytest.mark.parametrize(
        ("wanted", "sentence"),
        [
            (
                {"benchmark": "word"},
                "There is no benchmark in these results named 'word'. Did you mean 'world'?",
            ),
            ({"attack": "relern"}, "There is no attack with a curve named 'relern'. Did you mean 'relearn'?"),
            ({"attack": "prune"}, "There is no attack with a curve named 'prune'."),
            ({"methods": "ngpo"}, "There is no method with a curve named 'ngpo'. Did you mean 'npo'?"),
        ],
    )
    def test_what_is_not_there_is_said(self, wanted, sentence):
        with pytest.raises(HarnessError) as refused:
            plots.relearning(curves(), **wanted)
        assert str(refused.value).startswith(sentence)

    def test_one_of_several_benchmarks_has_to_be_named(self):
        both = curves(tables(), tables(benchmark="moon"))
        with pytest.raises(ConfigError, match=r"benchmark='NAME'\. There are: moon, world\."):
            plots.relearning(both)
        assert plots.relearning(both, benchmark="moon").axes

    def test_nothing_to_draw_is_said(self):
        with pytest.raises(HarnessError, match="No attack was scored along its way"):
            plots.relearning(curves().slice(0, 0))


class TestTradeoff:
    def test_draws_the_leaderboard(self):
        found = Results(tables)
        [axis] = found.plot_tradeoff().axes
        drawn = {bar.get_label(): bar for bar in axis.containers}
        assert set(drawn) == {"none (never unlearned)", "retrain (never knew)", "gd", "npo"}
        [row] = [r for r in found.leaderboard.to_pylist() if (r["method"], r["attack"]) == ("gd", "none")]
        spot, _, [bars] = drawn["gd"].lines
        assert (spot.get_xdata()[0], spot.get_ydata()[0]) == pytest.approx((0.5, row["worst"]))
        [[low, high]] = bars.get_segments()
        assert (low[1], high[1]) == pytest.approx((row["worst_low"], row["worst_high"]))
        assert axis.get_xlabel() == "kept accuracy, after unlearning"
        assert axis.get_ylabel() == "forget accuracy, under the worst attack"
        assert [line.get_ydata()[0] for line in axis.get_lines() if line.get_label() == "chance"] == [0.25]

    def test_without_attacks_there_is_nothing_to_draw(self):
        cells, metrics, samples = tables()
        before = [row for row in cells.to_pylist() if row["attack"] == "none"]
        alone = pa.Table.from_pylist(before, schema=CELLS)
        keys = pa.array([row["key"] for row in before])
        metrics, samples = (part.filter(pc.is_in(part["key"], keys)) for part in (metrics, samples))
        with pytest.raises(HarnessError, match="No attack on 'world' was scored"):
            Results(lambda: (alone, metrics, samples)).plot_tradeoff()


def test_without_matplotlib_a_sentence_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(HarnessError, match=r"not installed: pip install 'unlearning-harness\[plots\]'"):
        Results(tables).plot_relearning()


def test_a_name_with_dollars_is_no_formula():
    """matplotlib reads what stands between two dollars as TeX, and an error there would leave no picture."""
    made = tables(("none", "retrain", "gd"), benchmark=r"$\frac{$")
    found = Results(lambda: made)
    for figure in (found.plot_relearning(), found.plot_tradeoff()):
        figure.draw_without_rendering()
        assert figure.get_suptitle().startswith(r"\$\frac{\$: what")
