"""How much a command says, in which colours, and with which exit code it ends."""

from __future__ import annotations

import os
import pty
import re
import select
import sys

import pytest
from rich.text import Text

from harness.core.events import Event
from harness.report import console
from harness.report.console import Level
from harness.report.progress import RunProgress
from harness.report.time_left import TimeLeft
from support.child import Child
from support.command import harness_cli
from support.results import rows

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9\d|10\d)(?:;\d+)*m")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
EVENTS = [
    Event("gd seed 0", "unlearn at 0.1", 1, 9),
    Event("gd seed 0", "unlearn at 0.1", 9, 9),
    Event("gd none seed 0", status="ok", seconds=2.5, cell=True),
    Event("gd nudge seed 0", status="failed", message="No.", trace="Traceback (...)\nNo.\n", cell=True),
    Event("gd seed 0", status="done"),
]


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """An environment that says nothing about colours."""
    for name in (
        "FORCE_COLOR",
        "NO_COLOR",
        "GITHUB_ACTIONS",
        "PY_COLORS",
        "TTY_COMPATIBLE",
        "TTY_INTERACTIVE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def on_terminal(monkeypatch):
    """``on_terminal(function, ...)`` calls the functions and returns what they write to a terminal."""

    def call(*functions):
        master, slave = pty.openpty()
        with os.fdopen(slave, "w", buffering=1) as stream, monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", stream)
            patched.setattr(sys, "stderr", stream)
            for function in functions:
                function()
            os.set_blocking(master, False)
            written = b""
            while select.select([master], [], [], 0)[0]:
                written += os.read(master, 1 << 16)
        os.close(master)
        return written.decode()

    return call


def show(level=Level.NORMAL, events=EVENTS):
    """A run of two cells, one of which fails."""
    with console.telling(level), RunProgress(2) as shown:
        for event in events:
            shown(event)
            shown.progress.refresh()


def say_in_colours():
    console.say(Text("careful", "bold yellow"))


class TestColours:
    def test_a_terminal_has_them(self, on_terminal):
        told = on_terminal(say_in_colours, show)
        assert COLOUR.search(told.partition("careful")[0])
        assert COLOUR.search(told.partition("careful")[2])

    def test_no_color_switches_them_off_everywhere(self, on_terminal, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        told = on_terminal(say_in_colours, show)
        assert "failed: gd nudge seed 0: No." in told
        assert "gd seed 0: unlearn at 0.1" in told  # the bar is there
        assert not COLOUR.search(told)

    def test_no_color_goes_before_force_color(self, monkeypatch, capsys):
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("FORCE_COLOR", "1")
        say_in_colours()
        assert not COLOUR.search(capsys.readouterr().out)

    def test_a_pipe_gets_no_control_characters(self, capsys):
        say_in_colours()
        show(Level.VERBOSE)
        out, err = capsys.readouterr()
        assert out == "careful\n"
        assert not CONTROL.search(out + err)

    def test_force_color_colours_a_pipe_and_moves_nothing_in_it(self, monkeypatch, capsys):
        monkeypatch.setenv("FORCE_COLOR", "1")
        say_in_colours()
        show()
        out, err = capsys.readouterr()
        assert COLOUR.search(out)
        assert not CONTROL.search(re.sub(r"\x1b\[[\d;]*m", "", out + err))

    def test_a_terminal_that_cannot_move_its_cursor_gets_lines(self, on_terminal, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        told = on_terminal(show)
        assert "ok: gd none seed 0 (1 of 2)" in told
        assert not CONTROL.search(told.replace("\r\n", "\n"))

    @pytest.mark.parametrize("arguments", [["list"], ["show", "gd"], ["--help"], ["show", "gdd"]])
    def test_no_command_writes_control_characters_to_a_pipe(self, arguments):
        ended = harness_cli(*arguments)
        assert ended.out + ended.err
        assert not CONTROL.search(ended.out + ended.err)


class TestProgress:
    def test_a_pipe_gets_a_line_for_each_cell(self, capsys):
        show()
        assert capsys.readouterr().err.splitlines() == [
            "ok: gd none seed 0 (1 of 2)",
            "failed: gd nudge seed 0: No.",
            "done: gd seed 0",
        ]

    def test_quiet_says_what_failed_and_nothing_else(self, capsys):
        show(Level.QUIET)
        assert capsys.readouterr() == ("", "failed: gd nudge seed 0: No.\n")

    def test_quiet_moves_no_bar_on_a_terminal(self, on_terminal):
        fine = [event for event in EVENTS if event.status != "failed"]
        assert on_terminal(lambda: show(Level.QUIET, fine)) == ""

    def test_verbose_says_what_runs_how_long_and_how_it_fails(self, capsys):
        show(Level.VERBOSE)
        *lines, last = capsys.readouterr().err.splitlines()
        assert lines == [
            "begun: gd seed 0",
            "ok: gd none seed 0 (1 of 2), 2.5 s",
            "failed: gd nudge seed 0: No.",
            "Traceback (...)",
            "No.",
            "done: gd seed 0",
        ]
        assert re.fullmatch(r"2 of 2 cells in \d+\.\d s", last)

    def test_the_forget_score_stands_with_what_it_was_taken_of(self, on_terminal):
        events = [
            Event("gd seed 0", "unlearn at 0.1", 5, 9, value=0.618),
            Event("gd seed 0", "unlearn at 0.1", 6, 9),
            Event("gd seed 0", "unlearn at 0.2", 1, 9),
        ]
        told = on_terminal(lambda: show(events=events))
        assert "gd seed 0: unlearn at 0.1, forget 0.62" in told
        assert "gd seed 0: unlearn at 0.2" in told
        assert "unlearn at 0.2, forget" not in told

    def test_each_line_says_what_is_left(self, capsys):
        with RunProgress(2, TimeLeft({"a": 600.0, "b": 600.0})) as shown:
            shown(Event("gd none seed 0", status="ok", seconds=600.0, cell=True, key="a"))
            shown(Event("gd nudge seed 0", status="ok", seconds=600.0, cell=True, key="b"))
        assert capsys.readouterr().err.splitlines() == [
            "ok: gd none seed 0 (1 of 2, about 10 min left)",
            "ok: gd nudge seed 0 (2 of 2)",
        ]

    def test_a_bar_says_what_is_left(self, on_terminal):
        def shown():
            with RunProgress(1, TimeLeft({"a": 7200.0}, 2)) as progress:
                progress(Event("gd seed 0", "load", 0, 1))
                progress.progress.refresh()

        assert "cells, about 2 h left" in on_terminal(shown)

    def test_a_notebook_has_one_line_that_is_written_over(self, monkeypatch, capsys):
        lines = []
        monkeypatch.setattr(
            "harness.report.progress._line", lambda: lambda text, at_once=False: lines.append(text)
        )
        show()
        assert lines[0] == "0 of 2 cells; gd seed 0: unlearn at 0.1, 1 of 9"
        assert re.fullmatch(r"2 of 2 cells in \d+\.\d s, 1 failed", lines[-1])
        assert capsys.readouterr().err == "failed: gd nudge seed 0: No.\n"


class TestLevels:
    """-q and -v come before the command, and hold for it alone."""

    @pytest.fixture
    def run(self, world):
        options = world.options("none", "nudge", controls=False, seeds=1)
        return lambda *levels: harness_cli(*levels, *options)

    def test_quiet_says_nothing_when_all_is_well(self, run, world):
        assert run("--quiet") == (ended := run("-q"))
        assert (ended.code, ended.out, ended.err) == (0, "", "")
        assert len(rows(world.path())) == 3
        assert "cells: 3, of which 3" in run().out

    def test_quiet_says_what_failed(self, run, world):
        world.switch("nudge")
        ended = run("-q")
        first, last = ended.err.splitlines()
        assert (ended.code, ended.out) == (1, "")
        assert first.startswith("failed: stub none nudge large seed 0: nothing to hold on to")
        assert last == "1 of 3 cells failed; they will be tried again by the next run."

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_verbose_shows_the_traceback_of_a_failed_cell(self, world, jobs):
        world.switch("nudge")
        options = world.options("none", "nudge", "stub", "--jobs", jobs, controls=False, seeds=1)
        world.children.append(Child(world.folder, "-v", *options))
        ended = world.children[-1].wait()
        assert ended.code == 1
        assert "begun: stub none seed 0" in ended.err
        assert "Traceback (most recent call last):" in ended.err
        assert 'raise RuntimeError("nothing to hold on to")' in ended.err
        assert re.search(r"ok: stub none nudge small seed 0 \(\d of 3\), \d+\.\d s", ended.err)

    def test_quiet_still_gives_what_was_asked_for(self, world):
        assert harness_cli("-q", "list").out == harness_cli("list").out
        assert "cells: " in harness_cli("-q", *world.options("none", "nudge", "stub", "--dry-run")).out

    def test_quiet_still_says_what_is_wrong(self, world):
        ended = harness_cli("-q", *world.options("gdd"))
        assert ended.code == 2
        assert ended.err.startswith("Error: There is no method 'gdd'.")

    def test_both_at_once_are_refused(self):
        ended = harness_cli("-q", "-v", "list")
        assert (ended.code, ended.out) == (2, "")
        assert "choose one of --quiet and --verbose" in ended.err


class TestExitCodes:
    """0, 1, 2 and 130, as `harness --help` and docs/cli.md say."""

    def run(self, world, **options):
        return world.run("none", "nudge", controls=False, seeds=1, **options).code

    def test_all_is_done(self, world):
        assert self.run(world) == 0

    def test_a_cell_failed_and_the_next_run_mends_it(self, world):
        fault = world.switch("nudge")
        assert self.run(world) == 1
        fault.unlink()
        assert self.run(world) == 0

    def test_a_failed_cell_of_another_run_does_not_count(self, world):
        world.switch("nudge")
        assert self.run(world) == 1
        assert world.run("none", "nudge:small", controls=False, seeds=1).code == 0

    def test_a_dry_run_has_nothing_that_could_fail(self, world):
        world.switch("nudge")
        assert self.run(world) == 1
        assert world.run("none", "nudge", "stub", "--dry-run", controls=False, seeds=1).code == 0

    def test_they_are_said(self):
        told = " ".join(harness_cli("--help").out.split())
        for word in ("Exit codes: 0 all is done", "1 done, but", "2 stopped", "130 interrupted"):
            assert word in told
