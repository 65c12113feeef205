"""What a run prints at its end: a line for each method within eighty columns, and sentences."""

from __future__ import annotations

import pytest

from harness.report import summary, terminal
from harness.report.console import Level, telling
from support.rows import row, standing, unlearned

RETRAIN = {"worst": 0.33, "worst_attack": "relearn-retain", "recovered": 0.0, "kept": 0.99}
LONGEST = {
    **{"worst": 0.58, "worst_attack": "private-data p=0.3", "few_facts": True},
    **{"recovered_attack": "private-data p=0.3", "kept": 0.799, "guard": "utility 79 % of the original's"},
}
ROWS = [
    row("none", forget_before=0.96, worst=0.98, worst_attack="rtt", kept=1.0),
    row("retrain", **RETRAIN),
    standing("gd", 1, 0.57, kept=0.95),
    standing("ssiuu", 1, 0.58, kept=0.96),
    unlearned("simu-random", "below the twin", 1.02, 0.96, 1.08, **LONGEST),
]


def lines(rows=ROWS):
    return summary.text(rows).splitlines()


def test_one_line_a_method_in_order_and_controls_apart():
    firsts = [line.split()[0] for line in lines() if line]
    start = firsts.index("gd")
    assert firsts[start : start + 4] == ["gd", "ssiuu", "simu-random", "Controls:"]
    start = firsts.index("none")
    assert firsts[start : start + 2] == ["none", "retrain"]


def test_a_line_says_verdict_scores_attack_recovery_and_what_is_kept():
    [line] = [line for line in lines() if line.startswith("ssiuu ")]
    assert line.split() == ["ssiuu", "hidden", "0.30", "0.58", "lora", "60%", "[55,", "65]", "96%"]
    [line] = [line for line in lines() if line.startswith("retrain ")]
    assert line.split() == ["retrain", "n/a", "0.30", "0.33", "relearn-retain", "0%", "99%"]


def test_the_longest_names_of_what_is_built_in_fit_on_one_line_of_eighty_columns():
    assert max(map(len, lines())) <= 80
    line = next(line for line in lines() if line.startswith("simu-random "))
    assert "below the twin" in line
    assert "0.58* private-data p=0.3" in line
    assert line.endswith("102% [96, 108]  79%")  # 89.9 is not 90


def test_what_is_longer_wraps_and_loses_nothing():
    own = standing("gd", 1, 0.5, config='{"gamma": 0.123, "learning_rates": [0.0001, 0.0002]}', kept=1.0)
    shown = lines([own | {"worst_attack": "an-attack-of-mine strength=0.12345"}])
    assert max(map(len, shown)) <= 80
    table = "\n".join(shown).partition("\n\n")[0].split()
    for word in ("gd", "gamma=0.123,", "0.0002]", "an-attack-of-mine", "strength=0.12345", "hidden", "100%"):
        assert word in table


def test_the_findings_stand_below_and_no_name_is_broken():
    text = summary.text(ROWS)
    told = " ".join(text.split())
    assert "gd and ssiuu cannot be told apart here" in told
    assert "simu-random scores below a model that never knew" in told
    assert text.index("Controls:") < text.index("cannot be")
    assert "* Few facts decided this score." in text
    assert "recovered: how much of what was forgotten" in told
    assert not [line for line in lines() if line.endswith("-")]


def test_each_target_has_its_own_table():
    other = [r | {"benchmark": "other", "model": "big"} for r in ROWS]
    titles = [line for line in lines([*ROWS, *other]) if "on the facts to forget" in line]
    assert titles == [
        f"{target}: accuracy on the facts to forget" for target in ("world, tiny", "other, big")
    ]


def test_nothing_in_it_acts_or_begins_a_line_of_its_own(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [r | {"model": "m\nok: none", "worst_attack": "\x1b[31m\nok: lora"} for r in ROWS]
    shown = lines(rows)
    assert "\x1b" not in "".join(shown)
    assert not [line for line in shown if line.startswith("ok:")]


@pytest.mark.parametrize(("requested", "printed"), [(True, True), (False, False)])
def test_quiet_prints_it_only_where_it_was_asked_for(requested, printed, capsys):
    with telling(Level.QUIET):
        terminal.show_results(ROWS, requested=requested)
    assert bool(capsys.readouterr().out) == printed


def test_details_add_reasons_ranks_and_guards(capsys):
    terminal.show_results(ROWS)
    short = capsys.readouterr().out
    terminal.show_results(ROWS, details=True)
    told = " ".join(capsys.readouterr().out.removeprefix(short).split())
    for sentence in (
        "before and highest under each attack",
        "simu-random: below the twin.",
        "rank 1: gd, ssiuu; not distinguishable from gd.",
        "simu-random has no rank: utility 79 % of the original's.",
    ):
        assert sentence in told
        assert sentence not in short
