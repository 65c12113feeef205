"""Options as the line of a shell that says the same."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from harness.runner.options import RunOptions, as_command
from support.command import harness_cli

GIVEN = {
    "methods": ["gd", "npo"],
    "attacks": "private-data:p=0.1",
    "seeds": 2,
    "settings": {"npo.beta": 0.2, "gd.learning_rates": [1e-4, 1e-2], "npo.retain": None},
    "data": {"tofu": "my data"},
    "results": "r",
    "lora": "r=16,alpha=32",
    "utility": "none",
    "controls": False,
    "trust_code": True,
    "plugins": ["a.py", "b.py"],
    "dry_run": True,
}


def test_all_that_was_given_is_in_it_but_a_dry_run():
    assert as_command(RunOptions.of(GIVEN)) == (
        "harness run --methods gd,npo --attacks private-data:p=0.1 --seeds 2 --set npo.beta=0.2 "
        "--set gd.learning_rates=0.0001,0.01 --set npo.retain=none --data 'tofu=my data' --results r "
        "--lora r=16,alpha=32 --no-controls --utility none --trust-code --plugin a.py --plugin b.py"
    )


def test_what_was_not_given_is_left_out():
    assert as_command(RunOptions.of({})) == "harness run"
    assert as_command(RunOptions.of({"data": Path("d")})) == "harness run --data d"


@pytest.mark.parametrize("over", [{}, {"attacks": "none"}])
def test_typed_it_gives_the_same_options(monkeypatch, over):
    options = RunOptions.of(over).over(RunOptions.of(GIVEN | {"dry_run": False}))
    typed = []
    monkeypatch.setattr("harness.api.carry_out", lambda options, **_: typed.append(options))
    harness_cli(*shlex.split(as_command(options))[1:], "--dry-run")
    [again] = typed
    assert as_command(again) == as_command(options)
    assert again.model_fields_set == options.model_fields_set
