"""The heat map of a leaderboard as SVG: methods by attacks, and how much came back. (``heatmap.svg.j2``)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from ..core.names import NO_ATTACK, ORIGINAL, RETRAIN
from ..leaderboard.format import DASH, share
from ..leaderboard.labels import attack_label, by_strength, by_target, method_label
from .escape import file_name, plain
from .templating import environment

TEMPLATE = "heatmap.svg.j2"

WIDTH, HEIGHT, LETTER, GAP = 46, 24, 7, 10
"""Of a cell, of a letter of the names, and between names and cells; in pixels."""

Row = Mapping[str, Any]
Colour = tuple[int, int, int]


class Theme(NamedTuple):
    """Colours of a picture: of nothing that came back, of all of it, of text and of the ground."""

    name: str
    nothing: Colour
    everything: Colour
    text: str
    ground: str


LIGHT = Theme("", (240, 240, 236), (170, 30, 45), "#1f2328", "#ffffff")
DARK = Theme("-dark", (44, 49, 58), (240, 96, 88), "#e6edf3", "#0d1117")
"""Lightness rises or falls all the way: the order is seen without colours, too."""


@dataclass(frozen=True)
class Picture:
    """A heat map as files, and what it shows in words."""

    light: str
    dark: str
    says: str


def pictures(rows: Sequence[Row]) -> dict[tuple[Any, ...], Picture]:
    """By target, the names of its files; none of one without an attack."""
    made: dict[tuple[Any, ...], Picture] = {}
    names: set[str] = set()
    for target, own in by_target(rows).items():
        if not by_strength(own):
            continue
        first = own[0]
        name = file_name(f"heatmap-{first['benchmark']}-{first['model']}", names)
        names.add(name)
        says = "Heat map: how much of what each method was made to forget came back under each attack."
        made[target] = Picture(f"{name}{LIGHT.name}.svg", f"{name}{DARK.name}.svg", says)
    return made


def files(rows: Sequence[Row], picture: Picture) -> dict[str, bytes]:
    """By name, the light and the dark picture of one target."""
    return {name: svg(rows, theme).encode() for name, theme in ((picture.light, LIGHT), (picture.dark, DARK))}


def svg(rows: Sequence[Row], theme: Theme = LIGHT) -> str:
    """The picture of one target: attacks by strength, without the controls that are 0 and 1 by definition."""
    attacks = by_strength(rows)
    shown = [row for row in rows if row["method"] not in (ORIGINAL, RETRAIN)]
    methods = list(dict.fromkeys(map(method_label, shown)))
    title = f"{rows[0]['benchmark']}, {rows[0]['model']}: share of the forgotten that came back"
    scores = {(method_label(row), attack_label(row)): row for row in rows if row["attack"] != NO_ATTACK}
    left = GAP + LETTER * max(map(len, methods), default=0) + GAP
    top = GAP + LETTER * max(map(len, attacks), default=0) * 0.75 + GAP
    right = GAP + LETTER * max(map(len, attacks), default=0) * 0.75
    return (
        environment(escape=True)
        .get_template(TEMPLATE)
        .render(
            theme=theme,
            title=plain(title, lines=False),
            width=round(left + WIDTH * len(attacks) + right),
            height=round(top + HEIGHT * len(methods) + 4 * GAP),
            left=round(left),
            top=round(top),
            cell=(WIDTH, HEIGHT),
            attacks=[plain(name, lines=False) for name in attacks],
            methods=[plain(name, lines=False) for name in methods],
            cells=_cells(methods, attacks, scores, theme, round(left), round(top)),
            legend=[(share(value), *_colours(value, theme)) for value in (0.0, 0.25, 0.5, 0.75, 1.0)],
        )
    )


def _cells(
    methods: Sequence[str],
    attacks: Sequence[str],
    scores: Mapping[tuple[str, str], Row],
    theme: Theme,
    left: int,
    top: int,
) -> Iterator[tuple[int | str, ...]]:
    """Where each begins, its colours, its number, and what it says."""
    for y, method in zip(count(top, HEIGHT), methods):
        for x, attack in zip(count(left, WIDTH), attacks):
            row = scores.get((method, attack))
            value = None if row is None else row["recovery"]
            fill, text = _colours(value, theme)
            says = f"{method} under {attack}: {share(value) if value is not None else 'not known'}"
            shown = DASH if value is None else str(round(100 * value))
            yield x, y, fill, text, shown, plain(says, lines=False)


def _colours(value: float | None, theme: Theme) -> tuple[str, str]:
    """Of a cell and of the number in it: from nothing to everything on a straight way, with a true zero."""
    if value is None:
        return "none", theme.text
    part = min(max(value, 0.0), 1.0)
    mixed = [round(a + part * (b - a)) for a, b in zip(theme.nothing, theme.everything, strict=True)]
    luminance = sum(w * c for w, c in zip((0.299, 0.587, 0.114), mixed, strict=True))
    return "#" + "".join(f"{c:02x}" for c in mixed), "#1f2328" if luminance > 140 else "#ffffff"
