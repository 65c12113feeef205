"""The README of a leaderboard."""

from __future__ import annotations

import pytest

from harness.report.markdown import markdown
from support.cells import board, world


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return board(tmp_path_factory.mktemp("results"), world())


def test_the_readme_of_a_small_world(table):
    lines = markdown(table).splitlines()
    start = lines.index("## world: tiny")
    assert lines[start + 2] == (
        "Data `dddddddddddd`, target `tttttttttttt`, float32, forget metric accuracy, chance 0.250."
    )
    assert lines[start + 4 : start + 8] == [
        "| method | rank | guard | seeds | forgotten | forget | retain | utility | worst | under |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| none | – |  | 3 | 0.000 | 1.000 [0.839, 1.000] | 0.900 | 0.600 | 1.000 [0.839, 1.000] "
        "| private-data p=0.1 |",
        "| retrain | – |  | 3 | 1.000 | 0.100 [0.000, 0.244] | 0.900 | 0.600 | 0.100 [0.000, 0.244] "
        "| private-data p=0.1 |",
    ]
    assert lines[start + 9].startswith("| gd | 2 |  | 3 | 1.000 | 0.200 [0.008, 0.392] |")
    assert lines[start + 10].startswith("| npo | – | 2 seeds, 3 are needed | 2 to 3 |")
    start = lines.index("Under each attack:")
    assert lines[start + 2 : start + 5] == [
        "| method | private-data p=0.1 |",
        "| --- | --- |",
        "| none | 1.000 [0.839, 1.000]<br>20 facts x 3 seeds<br>recovery 1.000<br>exact match 1.000 |",
    ]
    assert "<br>recovery 0.667 [" in lines[start + 7]
