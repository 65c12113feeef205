"""Runs with an attacker who has the model before unlearning, too."""

from __future__ import annotations

from support.results import rows


def test_an_attack_that_needs_the_original_is_given_it_in_a_run(world):
    ended = world.run("gd", "ablate-direction", "stub", "--set", "ablate-direction.samples=3", seeds=1)
    assert ended.code == 0, ended.err
    found = rows(world.path(), attack="ablate-direction")
    assert {(row["method"], row["status"]) for row in found} == {
        (method, "ok") for method in ("none", "retrain", "refusal", "gd")
    }
