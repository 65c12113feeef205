"""Pictures of results: matplotlib figures whose colours a colour-blind reader can tell apart."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import stats
from .base import CONTROLS
from .cells import grouped
from .errors import ConfigError, HarnessError, unknown
from .leaderboard import difference
from .markdown import attack_label, method_label, target_metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito, without the yellow that white paper swallows."""

STYLES = [
    {"color": COLOURS[i % 6], "marker": "os^Dv"[i % 5], "linestyle": ("-", "--", ":", "-.")[i % 4]}
    for i in range(30)
]
"""Colour, marker and dash differ at once: what lies on top of another line still shows it, even in grey."""

REFERENCES = {
    "none": {"color": "black", "linestyle": "-", "marker": "", "linewidth": 2.2},
    "retrain": {"color": "black", "linestyle": (0, (4, 2)), "marker": "", "linewidth": 1.6},
}
TOLD = {"none": "none (never unlearned)", "retrain": "retrain (never knew)"}

SEVERAL = "These results hold several targets of '{}' (models, data or settings): load them apart."

Row = dict[str, Any]


def curve_rows(cells: pa.Table, metrics: pa.Table, samples: pa.Table, benchmark: str) -> list[Row]:
    """The forget metric along every attack that has checkpoints, mean and 95 % interval over the seeds.

    A row for each ``method``, ``attack`` (both as the leaderboard labels them) and ``step``, with ``mean``,
    ``low``, ``high`` (None for fewer than two seeds or equal ones), ``seeds``, ``metric`` and ``chance``. The
    rate of a cell that counts is the one that got highest. Steps that not all seeds have are left
    out: a mean over others would bend the curve.
    """
    points: dict[str, list[Row]] = defaultdict(list)
    for point in metrics.filter(
        pc.and_(pc.is_valid(metrics["step"]), pc.equal(metrics["split"], "forget"))
    ).to_pylist():
        points[point["key"]].append(point)
    groups = {
        which: seeds.ok()
        for which, seeds in grouped(cells, metrics, samples).items()
        if which[0][0] == benchmark and which[2][0] != "none"
    }
    if len({target for target, _, _ in groups}) > 1:
        raise ConfigError(SEVERAL.format(benchmark))
    methods = {method for _, method, _ in groups}
    attacks = {attack for _, _, attack in groups}
    rows = []
    for (_, method, attack), seeds in groups.items():
        metric = seeds.note("forget_metric")
        curves = [
            _counting([p for p in points[cell["key"]] if p["metric"] == metric]) for cell in seeds.values()
        ]
        shared = set.intersection(*map(set, curves)) if curves else set()
        if len(shared) < 2:
            continue
        config = difference(method[1:], {m[1:] for m in methods if m[0] == method[0]})
        settings = difference(attack[2:], {a[2:] for a in attacks if a[:2] == attack[:2]})
        told = {
            "method": method_label({"method": method[0], "config": config}),
            "attack": attack_label({"attack": attack[0], "variant": attack[1], "attack_config": settings}),
            "metric": metric,
            "chance": seeds.note("chance"),
        }
        for step in sorted(shared):
            values = [curve[step] for curve in curves]
            # Seeds that agree do not tell how far others may be off: no interval, as for a single seed.
            low, high = stats.mean_interval(values) if np.ptp(values) else (None, None)
            row = {"step": step, "mean": float(np.mean(values)), "low": low, "high": high}
            rows.append({**told, **row, "seeds": len(values)})
    return rows


def _counting(points: Sequence[Row]) -> dict[int, float]:
    """By step, a cell's values at the rate that got highest, and before the first step, which has no rate."""
    rated = [point for point in points if point["learning_rate"] is not None]
    best = max(rated, key=lambda point: point["value"])["learning_rate"] if rated else None
    return {point["step"]: point["value"] for point in points if point["learning_rate"] in (None, best)}


def relearning(
    cells: pa.Table,
    metrics: pa.Table,
    samples: pa.Table,
    benchmark: str | None = None,
    methods: Sequence[str] | str = "all",
    attack: str | None = None,
) -> Figure:
    """A panel for each attack with checkpoints, or for ``attack``; a line for each method, or of ``methods``.

    Bands are 95 % intervals over seeds; none and retrain are drawn as references wherever they are there.
    Raises HarnessError for names that are not in the results, and where there is nothing to draw.
    """
    chosen = _one(pc.unique(cells["benchmark"]).to_pylist(), benchmark)
    rows = curve_rows(cells, metrics, samples, chosen)
    attacks = sorted({row["attack"] for row in rows})
    if not attacks:
        raise HarnessError(f"No attack on '{chosen}' was scored along its way: run one that trains.")
    if attack is not None and attack not in attacks:
        raise HarnessError(unknown("attack with a curve named", attack, attacks))
    labels = list(dict.fromkeys(row["method"] for row in rows))
    wanted = methods.split(",") if isinstance(methods, str) else list(methods)
    for name in wanted:
        if name not in (*labels, "all"):
            raise HarnessError(unknown("method with a curve named", name, labels))
    drawn = [label for label in labels if "all" in wanted or label in (*wanted, *REFERENCES)]
    styles = _styles(drawn)
    faint = 0.15 if len(styles) <= 6 else 0.05  # many bands would hide the lines
    panels = [attack] if attack else attacks
    figure, axes = _figure(len(panels))
    for panel, axis in zip(panels, axes, strict=True):
        mine = [row for row in rows if row["attack"] == panel]
        for method in styles:
            points = [row for row in mine if row["method"] == method]
            steps = [row["step"] for row in points]
            axis.plot(
                steps, [row["mean"] for row in points], label=TOLD.get(method, method), **styles[method]
            )
            low, high = ([nan if row[end] is None else row[end] for row in points] for end in ("low", "high"))
            axis.fill_between(steps, low, high, color=styles[method]["color"], alpha=faint, linewidth=0)
        _chance(axis, {row["chance"] for row in mine})
        axis.set(title=panel, xlabel="optimiser steps of the attack")
        axis.locator_params(axis="x", integer=True)
        axis.set_ylabel(f"forget {mine[0]['metric']}")
    seeds = {row["seeds"] for row in rows}
    _finish(
        figure,
        axes,
        f"{chosen}: what relearning brings back",
        f"bands: 95 % over {_range(seeds)} seeds" * (max(seeds) > 1),
    )
    return figure


def tradeoff(board: pa.Table, cells: pa.Table, benchmark: str | None = None) -> Figure:
    """What a method keeps of the retained facts, against what its worst attack finds of the forgotten ones.

    Bars are 95 % intervals over facts and seeds. Raises HarnessError where no attack was scored.
    """
    chosen = _one(pc.unique(board["benchmark"]).to_pylist(), benchmark)
    rows = [row for row in board.to_pylist() if row["benchmark"] == chosen and row["attack"] == "none"]
    if len({(row["target"], row["benchmark_config"], row["dtype"]) for row in rows}) > 1:
        raise ConfigError(SEVERAL.format(chosen))
    rows = [row for row in rows if None not in (row["worst"], row["retain_before"])]
    if not rows:
        raise HarnessError(f"No attack on '{chosen}' was scored, so there is no worst one: run with attacks.")
    figure, (axis,) = _figure(1)
    styles = _styles([method_label(row) for row in rows])
    labelled = {method_label(row): row for row in rows}
    for label in styles:
        row = labelled[label]
        style = {**styles[label], "linestyle": "", "linewidth": 1.2, "markersize": 9}
        if label in REFERENCES:
            style["marker"] = {"none": "*", "retrain": "P"}[label]
        else:
            style["markeredgecolor"] = "white"
        ends = [[abs(row["worst"] - row[end])] for end in ("worst_low", "worst_high") if row[end] is not None]
        bars = ends if len(ends) == 2 else None
        axis.errorbar(row["retain_before"], row["worst"], bars, label=TOLD.get(label, label), **style)
    _chance(axis, {row["chance"] for row in rows})
    notes = [json.loads(cell["notes"]) for cell in cells.to_pylist() if cell["benchmark"] == chosen]
    split, kept = next(note["retain_metric"] for note in notes if "retain_metric" in note)
    axis.set(
        xlabel=f"{split} {kept}, after unlearning",
        ylabel=f"forget {target_metric(rows)}, under the worst attack",
    )
    _finish(
        figure, [axis], f"{chosen}: what is left against what comes back", "bars: 95 % over facts and seeds"
    )
    return figure


def _one(there: Sequence[str], wanted: str | None) -> str:
    """The benchmark that is asked for, or the only one."""
    if wanted is not None and wanted not in there:
        raise HarnessError(unknown("benchmark in these results named", wanted, there))
    if wanted is None and len(there) != 1:
        names = ", ".join(sorted(there)) or "none"
        raise ConfigError(f"Say which benchmark to draw, by benchmark='NAME'. There are: {names}.")
    return wanted or there[0]


def _styles(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """How each method looks: the same for the same methods, whatever was found."""
    styles = {label: REFERENCES[label] for label in labels if label in REFERENCES}
    others = sorted(
        (label for label in labels if label not in REFERENCES), key=lambda m: (m not in CONTROLS, m)
    )
    return styles | {label: STYLES[i % len(STYLES)] for i, label in enumerate(others)}


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise HarnessError(
            "Pictures need matplotlib, which is not installed: pip install 'unlearning-harness[plots]'."
        ) from error
    columns = min(panels, 3)
    lines = -(-panels // columns)
    figure, axes = pyplot.subplots(
        lines,
        columns,
        figsize=(4.4 * columns + 2, 3.7 * lines),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    pyplot.close(figure)  # it is returned: a notebook would show it twice
    for empty in axes.flat[panels:]:
        empty.set_axis_off()
    return figure, list(axes.flat[:panels])


def _chance(axis: Axes, levels: set[float | None]) -> None:
    """A line at chance, where there is one level of it."""
    if len(levels) == 1 and (chance := next(iter(levels))) is not None:
        axis.axhline(chance, color="0.55", linewidth=1, linestyle=(0, (1, 2)), zorder=0, label="chance")


def _finish(figure: Figure, axes: Sequence[Axes], title: str, told: str) -> None:
    """The legend beside the panels, and above it what the intervals are."""
    named: dict[str, Any] = {}
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.92", linewidth=0.8)
        axis.set_axisbelow(True)
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    figure.suptitle(title, x=0.01, horizontalalignment="left", fontsize="medium", fontweight="bold")
    figure.legend(
        named.values(),
        named.keys(),
        loc="outside right upper",
        frameon=False,
        fontsize="small",
        title=told or None,
        title_fontsize="x-small",
        alignment="left",
    )


def _range(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
