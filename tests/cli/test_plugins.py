"""`harness check` shows the rules, what was seen, and how to mend it."""

from __future__ import annotations

import pytest

from support.command import harness_cli

COMMAND = """
from harness.core.base import Attack


class Look(Attack):
    \"\"\"Scores the model as it is.\"\"\"

    name = "noise"

    def attack(self, job):
        job.checkpoint()
"""


def test_the_command_checks_a_file_whoever_has_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "mine.py").write_text(COMMAND)
    ended = harness_cli("check", tmp_path / "mine.py")
    assert ended.code == 0, ended.out + ended.err
    assert "mine.py" in ended.out
    assert "FAILED" not in ended.out


def test_the_command_shows_the_rule_what_was_seen_and_how_to_mend_it(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "mine.py").write_text(COMMAND.replace("job.checkpoint()", "pass"))
    ended = harness_cli("check", tmp_path / "mine.py")
    assert ended.code == 1
    [line] = [line for line in ended.out.splitlines() if "FAILED" in line]
    assert "runs on a two-layer Llama" in line
    assert "ended without a checkpoint" in line
    assert "→ See the error; record the forget score with job.checkpoint()" in ended.out
    assert "4 of 5 rules hold." in ended.out


@pytest.mark.parametrize(
    ("what", "words"), [("nois", "Did you mean 'noise'?"), ("gone.py", "no such Python file")]
)
def test_what_cannot_be_checked_is_one_sentence(what, words):
    ended = harness_cli("check", what)
    assert ended.code == 2
    assert words in ended.err
