"""Pictures of results: matplotlib figures whose colours a colour-blind reader can tell apart."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.names import CONTROLS, ORIGINAL, RETRAIN
from ..errors import ConfigError, HarnessError, unknown
from ..leaderboard.columns import Estimate
from ..leaderboard.labels import attack_label, by_target, method_label, target_metric
from .escape import picture

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
    ORIGINAL: {"color": "black", "linestyle": "-", "marker": "", "linewidth": 2.2},
    RETRAIN: {"color": "black", "linestyle": (0, (4, 2)), "marker": "", "linewidth": 1.6},
}
NAMES = {ORIGINAL: "none (never unlearned)", RETRAIN: "retrain (never knew)"}

SEVERAL_TARGETS = "These results hold several targets of '{}' (models, data or settings): load them apart."

Row = dict[str, Any]


def _curves(points: pa.Table, benchmark: str) -> dict[tuple[str, str], list[Row]]:
    """The points of each curve on a benchmark, by attack and method as the leaderboard labels them.

    Steps that not all its seeds have are left out: a mean over others would bend the curve.
    """
    own = [row for row in points.to_pylist() if row["benchmark"] == benchmark]
    if len(by_target(own)) > 1:
        raise ConfigError(SEVERAL_TARGETS.format(benchmark))
    curves: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in own:
        curves[attack_label(row), method_label(row)].append(row)
    most = {which: max(row["seeds"] for row in rows) for which, rows in curves.items()}
    return {which: [row for row in rows if row["seeds"] == most[which]] for which, rows in curves.items()}


def relearning(
    points: pa.Table,
    benchmark: str | None = None,
    methods: Sequence[str] | str = "all",
    attack: str | None = None,
) -> Figure:
    """A panel for each attack with a curve, or for ``attack``; a line for each method, or of ``methods``.

    ``points`` are those of ``harness.leaderboard.curves``, whose 95 % intervals are the bands; none and
    retrain are drawn as references wherever they are there. Raises HarnessError for names that are not in
    the results, and where there is nothing to draw.
    """
    if not points.num_rows:
        raise HarnessError("No attack was scored along its way, so there is no curve: run one that trains.")
    chosen = the_one(pc.unique(points["benchmark"]).to_pylist(), benchmark)
    curves = _curves(points, chosen)
    attacks = sorted({name for name, _ in curves})
    if attack is not None and attack not in attacks:
        raise HarnessError(unknown("attack with a curve named", attack, attacks))
    labels = list(dict.fromkeys(method for _, method in curves))
    drawn = methods_of(labels, methods, "method with a curve named")
    styles = styles_of([label for label in labels if label in (*drawn, *REFERENCES)])
    faint = 0.15 if len(styles) <= 6 else 0.05  # many bands would hide the lines
    panels = [attack] if attack else attacks
    figure, axes = grid_of(len(panels))
    for panel, axis in zip(panels, axes, strict=True):
        mine = {method: curves[panel, method] for method in styles if (panel, method) in curves}
        for method, rows in mine.items():
            steps = [row["step"] for row in rows]
            values = [row["value"] for row in rows]
            axis.plot(steps, values, label=picture(NAMES.get(method, method)), **styles[method])
            low, high = (
                [nan if row[end] is None else row[end] for row in rows] for end in ("value_low", "value_high")
            )
            axis.fill_between(steps, low, high, color=styles[method]["color"], alpha=faint, linewidth=0)
        shown = [row for rows in mine.values() for row in rows]
        chance_line(axis, {row["chance"] for row in shown})
        axis.set(title=picture(panel), xlabel="optimiser steps of the attack")
        axis.locator_params(axis="x", integer=True)
        axis.set_ylabel(picture(f"forget {shown[0]['forget_metric']}"))
    finish(figure, axes, f"{chosen}: what relearning brings back", "bands: 95 % over facts and seeds")
    return figure


def tradeoff(board: pa.Table, cells: pa.Table, benchmark: str | None = None) -> Figure:
    """What a method keeps of the retained facts, against what its worst attack finds of the forgotten ones.

    Bars are 95 % intervals over facts and seeds. Raises HarnessError where no attack was scored.
    """
    chosen = the_one(pc.unique(board["benchmark"]).to_pylist(), benchmark)
    rows = [row for row in board.to_pylist() if row["benchmark"] == chosen and row["attack"] == "none"]
    if len(by_target(rows)) > 1:
        raise ConfigError(SEVERAL_TARGETS.format(chosen))
    rows = [row for row in rows if None not in (row["worst"], row["retain_before"])]
    if not rows:
        raise HarnessError(f"No attack on '{chosen}' was scored, so there is no worst one: run with attacks.")
    figure, (axis,) = grid_of(1)
    styles = styles_of([method_label(row) for row in rows])
    labelled = {method_label(row): row for row in rows}
    for label in styles:
        row = labelled[label]
        style = {**styles[label], "linestyle": "", "linewidth": 1.2, "markersize": 9}
        if label in REFERENCES:
            style["marker"] = {ORIGINAL: "*", RETRAIN: "P"}[label]
        else:
            style["markeredgecolor"] = "white"
        worst = Estimate.of(row, "worst")
        arms = [[abs(row["worst"] - end)] for end in (worst.low, worst.high) if end is not None]
        bars = arms if len(arms) == 2 else None
        axis.errorbar(
            row["retain_before"], row["worst"], bars, label=picture(NAMES.get(label, label)), **style
        )
    chance_line(axis, {row["chance"] for row in rows})
    notes = [json.loads(cell["notes"]) for cell in cells.to_pylist() if cell["benchmark"] == chosen]
    split, kept = next(note["retain_metric"] for note in notes if "retain_metric" in note)
    axis.set(
        xlabel=picture(f"{split} {kept}, after unlearning"),
        ylabel=picture(f"forget {target_metric(rows)}, under the worst attack"),
    )
    finish(
        figure, [axis], f"{chosen}: what is left against what comes back", "bars: 95 % over facts and seeds"
    )
    return figure


def the_one(there: Sequence[str], requested: str | None) -> str:
    """The benchmark that is asked for, or the only one."""
    if requested is not None and requested not in there:
        raise HarnessError(unknown("benchmark in these results named", requested, there))
    if requested is None and len(there) != 1:
        names = ", ".join(sorted(there)) or "none"
        raise ConfigError(f"Say which benchmark to draw, by benchmark='NAME'. There are: {names}.")
    return requested or there[0]


def methods_of(there: Sequence[str], methods: Sequence[str] | str, what: str) -> list[str]:
    """Those of ``there`` that are asked for. Raises HarnessError for another, which ``what`` names."""
    requested = methods.split(",") if isinstance(methods, str) else list(methods)
    for name in requested:
        if name not in (*there, "all"):
            raise HarnessError(unknown(what, name, there))
    return [name for name in there if "all" in requested or name in requested]


def styles_of(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """How each method looks: the same for the same methods, whatever was found."""
    styles = {label: REFERENCES[label] for label in labels if label in REFERENCES}
    others = sorted(
        (label for label in labels if label not in REFERENCES), key=lambda m: (m not in CONTROLS, m)
    )
    return styles | {label: STYLES[i % len(STYLES)] for i, label in enumerate(others)}


def grid_of(panels: int) -> tuple[Figure, list[Axes]]:
    """So many panels, three in a row. Raises HarnessError without matplotlib."""
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


def chance_line(axis: Axes, levels: set[float | None]) -> None:
    """A line at chance, where there is one level of it."""
    if len(levels) == 1 and (chance := next(iter(levels))) is not None:
        axis.axhline(chance, color="0.55", linewidth=1, linestyle=(0, (1, 2)), zorder=0, label="chance")


def finish(figure: Figure, axes: Sequence[Axes], title: str, about: str) -> None:
    """The legend beside the panels, and above it what the intervals are."""
    named: dict[str, Any] = {}
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.92", linewidth=0.8)
        axis.set_axisbelow(True)
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    figure.suptitle(picture(title), x=0.01, horizontalalignment="left", fontsize="medium", fontweight="bold")
    figure.legend(
        named.values(),
        named.keys(),
        loc="outside right upper",
        frameon=False,
        fontsize="small",
        title=about or None,
        title_fontsize="x-small",
        alignment="left",
    )
