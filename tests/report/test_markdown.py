"""The README of a leaderboard."""

from __future__ import annotations

import pytest

from harness.report.markdown import markdown
from support.cells import board, world
from support.rows import judged

UNDER = {"recovered_attack": "private-data p=0.1", "ranked_over": ["private-data p=0.1"]}
ALL = {"kept": 1.0, "kept_low": 1.0, "kept_high": 1.0, "kept_of": "retain"}
VERDICTS = {
    "none": {
        "recovered": 1.0,
        "recovered_low": 1.0,
        "recovered_high": 1.0,
        "forgotten": None,
        **UNDER,
        **ALL,
    },
    "retrain": {
        "recovered": 0.0,
        "recovered_low": 0.0,
        "recovered_high": 0.0,
        "forgotten": None,
        **UNDER,
        **ALL,
    },
    "ssiuu": {
        **{
            "verdict": "undecided",
            "verdict_why": "erased or partly hidden",
            "forgotten": 1.0,
            **UNDER,
            **ALL,
        },
        **{"recovered": 0.06, "recovered_low": -0.01, "recovered_high": 0.12, "few_facts": True},
    },
    "gd": {
        **{"verdict": "hidden", "verdict_why": "0.67 [0.52, 0.81] came back", "forgotten": 1.0, **UNDER},
        **{"recovered": 0.667, "recovered_low": 0.52, "recovered_high": 0.81},
        **{"kept": 0.799, "kept_low": 0.75, "kept_high": 0.84, "kept_of": "utility"},
    },
    "npo": {"verdict": "undecided", "verdict_why": "no recovery", "forgotten": 1.0},
}
"""Made-up, so that they stand in the table with all there is of them."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return judged(board(tmp_path_factory.mktemp("results"), world()), VERDICTS)


def test_the_readme_of_a_small_world(table):
    lines = markdown(table).splitlines()
    start = lines.index("## world: tiny")
    assert lines[start + 2 : start + 5] == [
        "| method | verdict | came back | under | kept | worst score | rank | seconds |",
        "| --- |" + " --- |" * 7,
        "| none | n/a | 100 % | private-data p=0.1 | 100 % of retain | 1.00 [0.84, 1.00] | – | 2 |",
    ]
    ssiuu, gd, npo = lines[start + 6 : start + 9]
    assert ssiuu.startswith("| ssiuu | **undecided** | 6 % [-1, 12] | private-data p=0.1 | 100 % of retain |")
    assert ssiuu.endswith(" (few facts) | 1 | 2 |")
    assert gd.startswith(
        "| gd | **hidden** | 67 % [52, 81] | private-data p=0.1 | 79 % [75, 84] of utility |"
    )
    assert npo.startswith("| npo | **undecided** | – |  | – | ")
    found = lines.index("What was found:", start)
    assert found == start + 10
    assert lines[found + 2 : found + 6] == [
        "- gd hides: up to 67 % &#91;52, 81&#93; of what it was made to forget came back, most under "
        "private-data p=0.1. No method is known to have erased.",
        "- ssiuu is undecided: erased or partly hidden; the intervals are too wide to say which. npo is "
        "undecided (no recovery).",
        "- ssiuu withstands attacks better than gd: their worst scores are 0.15 and 0.70.",
        "",
    ]
    assert '<img src="heatmap-world-tiny.svg" alt="' in lines[found + 8]
    before = lines.index(
        "Data `dddddddddddd`, target `tttttttttttt`, float32, forget metric accuracy, chance 0.250."
    )
    assert lines[before + 2 : before + 5] == [
        "| method | forget | forgotten | retain | utility |",
        "| --- |" + " --- |" * 4,
        "| none | 1.000 [0.839, 1.000] | n/a | 0.900 [0.674, 1.000] | 0.600 |",
    ]
    start = lines.index("What decided each verdict:")
    assert lines[start + 3] == "- gd: hidden; 0.67 &#91;0.52, 0.81&#93; came back."
    start = lines.index("Not ranked:")
    assert lines[start + 2] == "- npo: 2 seeds, 3 are needed."
    order = lines.index("Which method is better?")
    assert lines[order + 5].startswith(
        "1 of 1 pairs of ranked methods are told apart. The interval of a score is "
    )
    assert lines[order + 7] == "Ranked over: private-data p=0.1."


@pytest.mark.parametrize(
    ("title", "none", "gd"),
    [
        ("the score", "1.000 [0.839, 1.000], 20 facts x 3 seeds", "0.700 ["),
        ("the share that came back", "1.000", "0.667 ["),
        ("answers that are exact to the word", "1.000", "0.700"),
    ],
)
def test_what_each_attack_found_is_folded_away(table, title, none, gd):
    lines = markdown(table).splitlines()
    (start,) = (i for i, line in enumerate(lines) if line.startswith("<summary>") and title in line)
    assert lines[start - 1] == "<details>"
    assert lines[start + 1 : start + 5] == [
        "",
        "| method | private-data p=0.1 |",
        "| --- | --- |",
        f"| none | {none} |",
    ]
    assert lines[start + 7].startswith(f"| gd | {gd}")
    end = lines.index("</details>", start)
    assert lines[end - 1] == ""  # or the table would not end


def test_no_cell_holds_a_line_break(table):
    assert "<br" not in markdown(table)
