"""Plugins are selected by name, and what is wrong in a selection is said at once."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError
from harness.plugins import selection
from harness.plugins.selection import AttackChoice, select, split
from support.registries import Abstract, Mine, Probe, names, registry


@pytest.fixture
def full():
    return registry(
        ("method", "ga", Mine, "d"),
        ("method", "mine", Mine, "d"),
        ("attack", "probe", Probe, "d"),
        ("attack", "other", Probe, "d"),
        ("benchmark", "facts", Abstract, "d"),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mine", ["mine"]),
        ("mine,ga", ["mine", "ga"]),
        (" ga , mine,", ["ga", "mine"]),
        ("ga,ga", ["ga"]),
        ("all", ["ga", "mine"]),
        ("mine,all", ["ga", "mine"]),
        ("all,-ga", ["mine"]),
        ("-ga,all,-ga", ["mine"]),
        ("ga,mine,-mine", ["ga"]),
    ],
)
def test_methods_are_selected_in_the_order_asked_for_each_once(full, text, expected):
    assert names(selection.select_methods(full, split(text))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", []),
        ("all", [("probe", None), ("other", None)]),
        ("probe", [("probe", None)]),
        ("probe:p=0.1", [("probe", "p=0.1")]),
        ("probe:p=0.1,probe:p=0.5,probe:p=0.1", [("probe", "p=0.1"), ("probe", "p=0.5")]),
        ("probe:p=0.1,probe", [("probe", None)]),
        ("all,-probe", [("other", None)]),
        ("all,-probe:p=0.1", [("probe", "p=0.5"), ("other", None)]),
        ("probe,other,-probe:p=0.1,-probe:p=0.5", [("other", None)]),
        ("probe:p=0.1,probe:p=0.5,-probe:p=0.5", [("probe", "p=0.1")]),
    ],
)
def test_an_attack_is_selected_with_all_its_variants_or_with_one(full, text, expected):
    choices: list[AttackChoice] = selection.select_attacks(full, split(text))
    assert [(choice.entry.name, choice.variant) for choice in choices] == expected


@pytest.mark.parametrize(
    ("select", "text", "words"),
    [
        ("select_methods", "", ["No method"]),
        ("select_methods", " , ", ["No method"]),
        ("select_methods", "gaa", ["'gaa'", "Did you mean 'ga'?"]),
        ("select_methods", "all,gaa", ["'gaa'"]),
        ("select_methods", "gaa,ga,zz", ["'gaa'", "'zz'"]),
        ("select_methods", "all,-gaa", ["'gaa'", "Did you mean 'ga'?"]),
        ("select_methods", "-ga", ["Only what to leave out", "'all'"]),
        ("select_methods", "ga,-ga", ["No method is left"]),
        ("select_attacks", "probe,-probe", ["No attack is left"]),
        ("select_attacks", "all,-probe:p=0.11", ["'p=0.11'", "Did you mean 'p=0.1'?"]),
        ("select_attacks", "none,probe", ["'none'", "alone"]),
        ("select_attacks", "prob:p=0.1", ["Did you mean 'probe'?"]),
        ("select_attacks", "probe:p=0.11", ["'p=0.11'", "Did you mean 'p=0.1'?"]),
        ("select_benchmarks", "fact", ["Did you mean 'facts'?"]),
    ],
)
def test_a_selection_that_cannot_be_says_why_and_suggests_the_nearest(full, select, text, words):
    with pytest.raises(HarnessError) as raised:
        getattr(selection, select)(full, split(text))
    assert all(word in str(raised.value) for word in words), raised.value


def test_everything_wrong_in_a_selection_is_said_at_once(full):
    with pytest.raises(HarnessError) as raised:
        select(full, ["gaa", "zz"], ["prob"], [])
    assert len(str(raised.value).splitlines()) == 4


def test_a_selection_lists_its_plugins_once(full):
    chosen = select(full, ["all"], ["probe:p=0.1", "probe:p=0.5"], ["facts"])
    assert names(chosen.entries()) == ["facts", "ga", "mine", "probe"]
