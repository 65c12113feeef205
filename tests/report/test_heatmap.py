"""The heat map of a leaderboard."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from harness.report import heatmap
from support.cells import board, cell, world

NAME = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return board(tmp_path_factory.mktemp("results"), world()).to_pylist()


def drawn(text):
    """By its words, the fill and the number of each cell."""
    found = {}
    for group in ElementTree.fromstring(text).iter(f"{NAME}g"):
        says, rect, number = group
        found[says.text] = rect.get("fill"), number.text
    return found


def test_each_method_has_a_cell_under_each_attack_but_the_controls_that_are_0_and_1(rows):
    shown = drawn(heatmap.svg(rows))
    assert {says.split(" under ")[0] for says in shown} == {"ssiuu", "gd", "npo"}
    assert shown["gd under private-data p=0.1: 67%"][1] == "67"


def test_nothing_and_less_than_nothing_have_the_colour_of_zero(rows):
    zero, less, half, whole, more = (
        heatmap._colours(value, heatmap.LIGHT)[0] for value in (0.0, -0.4, 0.5, 1.0, 1.3)
    )
    assert zero == less == "#f0f0ec"
    assert whole == more
    assert half not in (zero, whole)
    assert heatmap._colours(None, heatmap.LIGHT)[0] == "none"


@pytest.mark.parametrize("theme", [heatmap.LIGHT, heatmap.DARK])
def test_lightness_runs_one_way(theme):
    def lightness(value):
        fill, _ = heatmap._colours(value, theme)
        return sum(int(fill[i : i + 2], 16) * w for i, w in ((1, 0.299), (3, 0.587), (5, 0.114)))

    steps = [lightness(k / 10) for k in range(11)]
    assert steps == sorted(steps, reverse=theme is heatmap.LIGHT)


def test_two_targets_of_one_name_have_pictures_of_their_own(tmp_path):
    cells = [
        cell(method, attack, seed, known, target_key=target)
        for target in ("s" * 64, "t" * 64)
        for method, known in (("none", 20), ("gd", 4))
        for attack in ("none", "private-data")
        for seed in range(2)
    ]
    rows = board(tmp_path, cells).to_pylist()
    made = [*heatmap.pictures(rows).values()]
    assert sorted(name for picture in made for name in heatmap.files(rows, picture)) == [
        "heatmap-world-tiny-2-dark.svg",
        "heatmap-world-tiny-2.svg",
        "heatmap-world-tiny-dark.svg",
        "heatmap-world-tiny.svg",
    ]


def test_strangers_names_are_text(tmp_path):
    nasty = "<script>a</script> & \x1b[31m"
    cells = [cell("none"), cell(nasty), cell(nasty, "private-data", variant='"><b>')]
    text = heatmap.svg(board(tmp_path, cells).to_pylist())
    assert {element.tag.removeprefix(NAME) for element in ElementTree.fromstring(text).iter()} == {
        *("svg", "title", "rect", "text", "g"),
    }
