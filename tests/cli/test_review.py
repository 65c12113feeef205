"""Keys are made again from the configuration of a run of the harness's own plugins, and from no other."""

from __future__ import annotations

import pytest

from harness.cli.review import built_in, other_keys
from harness.core.fingerprint import engine_fingerprint
from harness.runner.options import RunOptions
from harness.runner.resolve import resolved

RUN = {
    "methods": "gd",
    "attacks": "quantize:bits=8",
    "benchmarks": "tofu-mini",
    "seeds": 1,
    "utility": "none",
}


@pytest.fixture(scope="module")
def rows():
    """The columns that say what the cells of a run are of, with the keys that its plan gives them."""
    return [
        {
            **{"benchmark": group.benchmark.name, "method": group.method.name, "stage": cell.stage},
            **{"attack": cell.attack.name if cell.attack else "none", "variant": cell.variant},
            **{"analysis": "", "seed": cell.seed, "key": cell.key, "engine": engine_fingerprint()},
        }
        for group in resolved(RunOptions.of(RUN)).plan.groups
        for cell in group.cells
    ]


def test_the_plan_of_the_configuration_has_the_keys_of_its_cells(rows):
    notes = []
    assert [*other_keys(rows, [RunOptions.of(RUN)], notes)] == []
    assert notes == []


def test_a_key_of_another_configuration_is_named(rows):
    run = RunOptions.of(RUN | {"settings": {"gd.alpha": 0.5}})
    named = [sentence.partition(" has the key ")[0] for sentence in other_keys(rows, [run], [])]
    assert named == ["tofu-mini gd none seed 0", "tofu-mini gd quantize bits=8 seed 0"]


@pytest.mark.parametrize(
    ("run", "note"),
    [
        ({"methods": "strange", "controls": False}, "their code is not run here"),
        ({"model": "some-org/some-model"}, "its model, data or files are not here"),
        ({"settings": {"gd.alpha": "/etc/passwd"}}, "its model, data or files are not here"),
        ({"seeds": 1000, "methods": "gd"}, None),
    ],
)
def test_what_cannot_be_planned_without_a_strangers_code_or_files_is_said(rows, run, note):
    notes = []
    assert [*other_keys(rows, [RunOptions.of(RUN | run)], notes)] == []
    assert [sentence.endswith(note) for sentence in notes] == ([True] if note else [])


def test_cells_of_another_engine_are_counted_and_not_planned(rows):
    notes = []
    old = [row | {"engine": "0" * 64} for row in rows]
    assert [*other_keys(old, [RunOptions.of(RUN)], notes)] == []
    assert notes[0].startswith(f"{len(rows)} of {len(rows)} cells are of another version of the engine")


def test_names_of_the_harness_are_those_of_its_own_distribution():
    names = built_in()
    assert {"gd", "npo", "sam"} <= names["method"]
    assert "tofu-mini" in names["benchmark"]
    assert "sick" not in names["method"]
