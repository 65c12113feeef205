"""`harness check` prints each result as soon as there is one."""

from __future__ import annotations

from harness.cli.check import show
from harness.plugins.registry import Entry
from harness.testing import Result

ENTRY = Entry("method", "mine", "mine:Mine", "mine", "1.0")


def test_a_result_is_printed_before_the_next_rule_is_checked(capsys):
    printed = []

    def results():
        yield Result("first rule", "ok", "fine")
        printed.append(capsys.readouterr().out)
        yield Result("second rule", "failed", "it raised", "Do not raise.")
        printed.append(capsys.readouterr().out)
        yield Result("third rule", "skipped", "no data")

    assert not show(ENTRY, results())
    assert "method mine  mine:Mine, mine 1.0" in printed[0]
    assert "first rule" in printed[0]
    assert "fine" in printed[0]
    assert "second rule" in printed[1]
    assert "→ Do not raise." in printed[1]
    assert capsys.readouterr().out.splitlines()[-2:] == ["1 of 2 rules hold. 1 were skipped.", ""]


def test_a_rule_that_only_follows_from_another_is_not_printed(capsys):
    assert show(ENTRY, iter([Result("a rule", "ok", "fine"), Result("other", "skipped", "it does not run")]))
    assert "other" not in capsys.readouterr().out
