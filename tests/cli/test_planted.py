"""`harness check-analysis` tells an instrument that finds what was planted from one that does not."""

from __future__ import annotations

import re

import pytest

from harness.testing import planted
from support.command import harness_cli

FOUND = {"A": 0.6, "D+": 0.5, "weights": 0.1, "random": 0.05}


@pytest.fixture
def found(monkeypatch):
    """What the planted worlds give, without making them: other tests do."""
    asked = []
    monkeypatch.setattr(planted, "plant", asked.append)
    monkeypatch.setattr(
        planted, "precisions", lambda world: {k: v + 0.01 * asked[-1] for k, v in FOUND.items()}
    )
    return asked


@pytest.mark.parametrize(("name", "code", "signs"), [("influence", 0, {"ok"}), ("weights", 1, {"FAIL"})])
def test_one_that_cannot_find_what_was_planted_fails(found, name, code, signs):
    ended = harness_cli("check-analysis", name)
    assert ended.code == code
    assert found == [0, 1, 2]
    lines = re.findall(r"^(ok|FAIL|    )\s*(\S+): (0\.\d\d) \(0\.\d\d to 0\.\d\d\)$", ended.out, re.MULTILINE)
    assert {sign for sign, _, _ in lines} - {"    "} == signs
    assert {score: float(mean) for _, score, mean in lines} == pytest.approx(
        {score: value + 0.01 for score, value in FOUND.items()}
    )


def test_worlds_may_be_more_or_fewer(found):
    assert harness_cli("check-analysis", "influence", "--seeds", 5).code == 0
    assert found == [0, 1, 2, 3, 4]


def test_one_that_scores_no_units_is_refused(found):
    ended = harness_cli("check-analysis", "lens")
    assert ended.code == 2
    assert "scores no single units" in ended.err
    assert "influence and weights do" in " ".join(ended.err.split())
    assert found == []
