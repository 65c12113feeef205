"""Cells by what they measure: one that something is wrong with stands in its own row or in none."""

from __future__ import annotations

import pyarrow as pa
import pytest

from harness.core.names import UTILITY
from harness.core.types import Metric, Outcome
from harness.errors import ConfigError
from harness.leaderboard import board
from harness.leaderboard.groups import grouped
from harness.store.store import Store, tables, unsound
from support.cells import FACTS, cell
from support.sound import edit


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    tasks = {"stage": UTILITY, "attack_plugin": "lm-eval 0.4", "attack_source": "s" * 64}
    for method in ("none", "gd"):
        made.commit(*cell(method, known=4))
        made.commit(*cell(method, "private-data", known=9))
        row, _ = cell(method, **tasks)
        made.commit(row, Outcome([Metric("all", "score", 0.5)]))
    return made


def key_of(store, stage):
    """The cell of gd."""
    rows = store.cells().to_pylist()
    (key,) = (row["key"] for row in rows if (row["method"], row["stage"]) == ("gd", stage))
    return key


def shown(store):
    """The groups, of which a board can be built."""
    found = grouped(*tables([store]))
    board.build(found)
    return found


@pytest.mark.parametrize(
    ("stage", "column", "value"),
    [
        ("evaluation", "attack_config", "{"),
        ("evaluation", "attack_config", '{"a": 1}'),
        ("evaluation", "attack_plugin", "p 1"),
        ("evaluation", "attack_source", "s" * 64),
        ("evaluation", "variant", "large"),
        ("evaluation", "stage", "evaluations"),
        ("utility", "variant", "large"),
        ("utility", "attack", "noise"),
        ("evaluation", "model", "other"),
        ("attack", "model", "other"),
        ("evaluation", "target_family", "other"),
        ("attack", "attack", "other"),
    ],
)
def test_a_cell_edited_to_be_of_something_else_gets_no_row(store, stage, column, value):
    before = shown(store)
    key = key_of(store, stage)
    edit(store.root, "cells", key, lambda rows: [rows[0] | {column: value}])
    assert shown(store).keys() < before.keys()
    [(name, _)] = unsound(tables([store])[0])
    assert name.startswith(key[:12])


def test_a_cell_with_another_number_fails_in_its_own_row(store):
    before = shown(store)
    key = key_of(store, "attack")
    edit(store.root, "cells", key, lambda rows: [rows[0] | {"seconds": 9.0}])
    after = shown(store)
    assert after.keys() == before.keys()
    failed = [cell.row["key"] for seeds in after.values() for cell in seeds.failed().values()]
    assert failed == [key]


def test_facts_of_the_retain_set_and_what_facts_are_grouped_by(store):
    cells, metrics, samples = tables([store])
    (gd,) = (
        seeds
        for which, seeds in shown(store).items()
        if which.stage == "evaluation" and seeds.first().row["method"] == "gd"
    )
    assert gd.facts(("retain", "accuracy")) == {0: {f"f{i}": float(i < 9) for i in range(10)}}
    assert gd.facts(("retain", "accuracy")).keys() == gd.facts(("forget", "accuracy")).keys()
    assert gd.clusters(("forget", "accuracy")) == {fact: fact for fact in FACTS}
    of = pa.array(
        [
            f"{split} {fact[:2]}"
            for split, fact in zip(*(samples[n].to_pylist() for n in ("split", "fact_id")), strict=True)
        ]
    )
    without = samples.drop(["cluster"]) if "cluster" in samples.column_names else samples
    for seeds in grouped(cells, metrics, without.append_column("cluster", of)).values():
        if seeds.first().row["stage"] != UTILITY:
            assert seeds.clusters(("forget", "accuracy")) == {fact: f"forget {fact[:2]}" for fact in FACTS}
    assert seeds.clusters(("elsewhere", "accuracy")) == {}


class TestOnly:
    """A part of what was measured, by the names that a run takes."""

    @pytest.fixture
    def groups(self, tmp_path):
        made = Store(tmp_path)
        for method in ("none", "gd", "npo"):
            made.commit(*cell(method, known=4))
            made.commit(*cell(method, stage=UTILITY, attack_plugin="lm-eval 0.4"))
            for variant in ("p=0.1", "p=0.3"):
                made.commit(*cell(method, "private-data", known=9, variant=variant))
            made.commit(*cell(method, "noise", known=9, variant=""))
        return grouped(*tables([made]))

    def measured(self, groups):
        """By method, the stages and attacks."""
        found = {}
        for which in groups:
            name = f"{which.attack.attack} {which.attack.variant}".strip()
            found.setdefault(which.method.method, set()).add(which.stage if name == "none" else name)
        return found

    def test_all_is_everything(self, groups):
        assert groups.only() == groups.only(["all"], ["all"]) == groups

    def test_methods_that_are_named_and_the_controls_stay(self, groups):
        assert self.measured(groups.only(["npo"])).keys() == {"none", "npo"}

    @pytest.mark.parametrize(
        ("attacks", "kept"),
        [
            (["none"], set()),
            (["noise"], {"noise"}),
            (["private-data"], {"private-data p=0.1", "private-data p=0.3"}),
            (["private-data:p=0.3", "noise"], {"private-data p=0.3", "noise"}),
        ],
    )
    def test_attacks_that_are_named_stay_with_what_was_before_them(self, groups, attacks, kept):
        found = self.measured(groups.only(attacks=attacks))
        assert found == dict.fromkeys(("none", "gd", "npo"), {"evaluation", "utility"} | kept)

    @pytest.mark.parametrize(
        ("methods", "attacks", "sentence"),
        [
            (
                ["gdd"],
                ["all"],
                "There is no method in these results named 'gdd'. Did you mean 'gd'? There are: ",
            ),
            (["gd"], ["noise:p=0.1"], "There is no attack in these results named 'noise:p=0.1'. "),
            ([], ["all"], "No method is named: give names separated by commas, or 'all'."),
        ],
    )
    def test_a_name_that_was_not_measured_is_refused_with_those_that_were(
        self, groups, methods, attacks, sentence
    ):
        with pytest.raises(ConfigError) as refused:
            groups.only(methods, attacks)
        assert str(refused.value).startswith(sentence)
