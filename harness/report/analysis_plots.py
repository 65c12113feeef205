"""Pictures of what analyses found: influence by rank and by map, the lens by layer, units under attack.

Every function takes the findings of :func:`joined`; numbers are means over the seeds that have them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..errors import ConfigError, HarnessError, unknown
from .escape import picture
from .plots import COLOURS, chance_line, finish, grid_of, methods_of, styles_of, the_one

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNS = {"D+": "D+: positive influence lost (erasing)", "D-": "D-: negative influence grown (hiding)"}
"""The two halves of the influence analysis, as panels are called."""

LINES: dict[str, dict[str, Any]] = {
    "forget original": {"color": "0.45", "linestyle": "--"},
    "forget unlearned": {"color": COLOURS[1], "linestyle": "-"},
    "retain original": {"color": "0.7", "linestyle": ":"},
    "retain unlearned": {"color": COLOURS[0], "linestyle": "-"},
}
"""How the lens draws each set and model: what was unlearned is in colour."""

Row = dict[str, Any]


def joined(cells: pa.Table, analyses: pa.Table) -> list[Row]:
    """Every finding with the benchmark, method, seed and attack of its cell."""
    of = ("benchmark", "model", "method", "seed", "attack", "variant")
    known = {row["key"]: {name: row[name] for name in of} for row in cells.select(["key", *of]).to_pylist()}
    return [{**known[row["key"]], **row} for row in analyses.to_pylist() if row["key"] in known]


def influence(
    findings: Sequence[Row], methods: Sequence[str] | str = "all", benchmark: str | None = None
) -> Figure:
    """D+ and D- summed over the top m units, a line for each method. Raises HarnessError without any."""
    mine = _of(findings, "influence", benchmark)
    chosen = _methods(mine, methods)
    figure, axes = grid_of(len(SIGNS))
    looks = styles_of(chosen)
    for (series, title), axis in zip(SIGNS.items(), axes, strict=True):
        for method in chosen:
            rows = [
                r for r in mine if (r["method"], r["figure"], r["series"]) == (method, "cumulated", series)
            ]
            points = _means(rows, lambda row: row["x"])
            style = {**looks[method], "marker": ""}
            axis.plot(list(points), list(points.values()), label=picture(method), **style)
        axis.set(title=title, xlabel="units, by their own D", xscale="log")
    axes[0].set_ylabel("sum over the top units, in probability")
    finish(figure, axes, f"{mine[0]['benchmark']}: what unlearning did to units", "mean over seeds")
    return figure


def influence_map(findings: Sequence[Row], method: str, benchmark: str | None = None) -> Figure:
    """D+ and D- of one method by linear map and layer, on one scale of colours."""
    mine = [row for row in _of(findings, "influence", benchmark) if row["figure"] == "map"]
    _methods(mine, [method])
    mine = [row for row in mine if row["method"] == method]
    modules = list(dict.fromkeys(row["module"] for row in mine))
    layers = sorted({row["layer"] for row in mine})
    figure, axes = grid_of(len(SIGNS))
    values = {series: _means([r for r in mine if r["series"] == series], _place) for series in SIGNS}
    highest = max((value for each in values.values() for value in each.values()), default=0.0)
    for (series, title), axis in zip(SIGNS.items(), axes, strict=True):
        squares = [[values[series].get((module, layer), 0.0) for layer in layers] for module in modules]
        shown = axis.imshow(squares, aspect="auto", cmap="viridis", vmin=0, vmax=highest or 1.0)
        axis.set(title=title, xlabel="layer")
        axis.set_yticks(range(len(modules)), modules)
        step = max(1, len(layers) // 10)
        axis.set_xticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
    figure.colorbar(shown, ax=axes, label="mean of the map's top 100 units")
    figure.suptitle(picture(f"{mine[0]['benchmark']}: where {method} changed influence"), fontsize="medium")
    return figure


def lens(
    findings: Sequence[Row], methods: Sequence[str] | str = "all", benchmark: str | None = None
) -> Figure:
    """Accuracy of the answer against a distractor at every layer, a panel for each method."""
    mine = [row for row in _of(findings, "lens", benchmark) if row["figure"] == "accuracy"]
    chosen = _methods(mine, methods)
    figure, axes = grid_of(len(chosen))
    for method, axis in zip(chosen, axes, strict=True):
        for series, style in LINES.items():
            rows = [row for row in mine if (row["method"], row["series"]) == (method, series)]
            points = _means(rows, lambda row: row["layer"])
            axis.plot(list(points), list(points.values()), label=series, **style)
        chance_line(axis, {row["value"] for row in mine if row["series"] == "chance"})
        axis.set(title=picture(method), xlabel="layer", ylim=(0, 1.02))
        axis.locator_params(axis="x", integer=True)
    axes[0].set_ylabel("answer likelier than a distractor")
    finish(figure, axes, f"{mine[0]['benchmark']}: where the answer is read", "mean over seeds")
    return figure


def stability(
    findings: Sequence[Row], method: str, attack: str | None = None, benchmark: str | None = None
) -> Figure:
    """Attributions of units before an attack against those after it, of one method under one attack."""
    mine = [row for row in _of(findings, "stability", benchmark) if row["method"] == method]
    if not mine:
        raise HarnessError(unknown("method with a finding of 'stability' named", method, _names(findings)))
    attacks = sorted({_attack(row) for row in mine})
    if attack is None and len(attacks) > 1:
        raise ConfigError(f"Say which attack to draw, by attack='NAME'. There are: {', '.join(attacks)}.")
    if attack is not None and attack not in attacks:
        raise HarnessError(unknown("attack with a finding of 'stability' named", attack, attacks))
    rows = [row for row in mine if _attack(row) == (attack or attacks[0])]
    figure, [axis] = grid_of(1)
    for series, colour in (("positive", COLOURS[0]), ("negative", COLOURS[1])):
        points = [(r["x"], r["value"]) for r in rows if (r["figure"], r["series"]) == ("scatter", series)]
        pearson = [
            r["value"] for r in rows if (r["figure"], r["series"], r["layer"]) == ("pearson", series, None)
        ]
        label = f"{series}, r = {fmean(pearson):.2f}" if pearson else series
        axis.scatter(
            [x for x, _ in points], [y for _, y in points], s=9, color=colour, alpha=0.6, label=label
        )
    axis.ticklabel_format(scilimits=(-2, 3))
    axis.axline((0, 0), slope=1, color="0.7", linewidth=0.8, zorder=0)
    axis.set(xlabel="attribution after unlearning", ylabel="attribution after the attack")
    title = f"{rows[0]['benchmark']}: {method} under {_attack(rows[0])}"
    finish(figure, [axis], title, "some of the units")
    return figure


def every(findings: Sequence[Row]) -> Iterator[tuple[str, Figure]]:
    """All pictures that these findings allow, each with a name for its file."""
    for benchmark in dict.fromkeys(row["benchmark"] for row in findings):
        mine = [row for row in findings if row["benchmark"] == benchmark]
        there = {row["analysis"] for row in mine}
        if "influence" in there:
            yield f"{benchmark}-influence", influence(mine)
            for method in _names(row for row in mine if row["figure"] == "map"):
                yield f"{benchmark}-influence-map-{method}", influence_map(mine, method)
        if "lens" in there:
            yield f"{benchmark}-lens", lens(mine)
        moved = [row for row in mine if row["analysis"] == "stability"]
        for method, attack in dict.fromkeys((row["method"], _attack(row)) for row in moved):
            yield (
                f"{benchmark}-stability-{method}-{attack.replace(' ', '-')}",
                stability(mine, method, attack),
            )


def _of(findings: Sequence[Row], analysis: str, benchmark: str | None) -> list[Row]:
    """What one analysis found on one benchmark. Raises HarnessError where it was not run."""
    mine = [row for row in findings if row["analysis"] == analysis]
    if not mine:
        raise HarnessError(
            f"Nothing of the analysis '{analysis}' is in these results: run with it in --analyses."
        )
    chosen = the_one(list(dict.fromkeys(row["benchmark"] for row in mine)), benchmark)
    return [row for row in mine if row["benchmark"] == chosen]


def _methods(mine: Sequence[Row], methods: Sequence[str] | str) -> list[str]:
    """The methods to draw. Raises HarnessError for one that was not analysed."""
    return methods_of(_names(mine), methods, "method with such a finding named")


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _attack(row: Row) -> str:
    return " ".join(filter(None, (row["attack"], row["variant"])))


def _place(row: Row) -> tuple[str, int]:
    return row["module"], row["layer"]


def _means(rows: Iterable[Row], by: Callable[[Row], Any]) -> Mapping[Any, float]:
    """Mean value over seeds at each place, in order; where a seed lacks it, that of the others."""
    values: dict[Any, list[float]] = defaultdict(list)
    for row in rows:
        values[by(row)].append(row["value"])
    return {place: fmean(values[place]) for place in sorted(values)}
