"""Streams that take no text, are full, gone or closed, and arguments that are too long to be quoted."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.report.console import say, table
from support.command import harness_cli

MAIN = "from harness.cli.main import main; main()"
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")


def command(*arguments, out=subprocess.PIPE, shell="", **environment):
    """How ``harness`` ends in a process of its own; ``shell`` is what is done with its streams."""
    line = [sys.executable, "-c", MAIN, *arguments]
    if shell:
        line = ["bash", "-c", f'"$@" {shell}', "-", *line]
    settings = os.environ | {"COLUMNS": "80"} | environment
    return subprocess.run(line, stdout=out, stderr=subprocess.PIPE, env=settings, text=True, timeout=60)


@pytest.mark.parametrize("arguments", [("run", "--help"), ("list",), ("show", "npo")])
def test_a_terminal_in_ascii_gets_what_it_can_show(arguments):
    ended = command(*arguments, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) > 10


def test_text_that_an_encoding_lacks_is_replaced_and_tables_are_drawn_without(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("Müller → \udcff")
    say(table("t", ("a", "b"), [("ä", "1")]))
    text = raw.getvalue().decode("ascii")
    assert text.startswith("M?ller ? \\udcff\n")
    assert "| ? | 1 |" in text


@needs_full
@pytest.mark.parametrize("arguments", [("list",), ("run", "--help")])
def test_a_full_device_is_one_sentence(arguments):
    with FULL.open("w") as full:
        ended = command(*arguments, out=full)
    assert ended.returncode == 2
    assert ended.stderr.endswith("No space left on device.\n")
    assert len(ended.stderr.splitlines()) == 1


@needs_full
def test_nothing_is_said_where_standard_error_is_full_as_well():
    assert command("list", shell="> /dev/full 2> /dev/full").returncode == 2


def test_a_reader_that_goes_away_is_no_error_to_speak_of():
    assert command("list", shell="| head -1 > /dev/null").stderr == ""


def test_closed_streams_harm_nobody():
    ended = command("list", shell=">&- <&-")
    assert (ended.returncode, ended.stderr) == (0, "")


LONG = "x" * 5_000


@pytest.mark.parametrize(
    "arguments",
    [
        (LONG,),
        ("show", LONG),
        ("run", f"--{LONG}"),
        ("run", "--dry-run", "--methods", LONG),
        ("run", "--dry-run", "--attacks", f"noise:{LONG}"),
        ("run", "--dry-run", "--set", LONG),
        ("run", "--dry-run", "--set", f"npo.{LONG}=1"),
        ("run", "--dry-run", "--set", f"npo.beta={LONG}"),
        ("run", "--dry-run", "--set", f"npo.beta={'9' * 5_000}"),
        ("run", "--dry-run", "--set", f"npo.beta={'a ' * 5_000}"),
        ("run", "--dry-run", "--set", f"npo.beta={'[' * 50_000}"),
        ("run", "--dry-run", "--model", LONG),
        ("run", "--dry-run", "--model", "a\0b"),
        ("run", "--dry-run", "--results", LONG),
        ("run", "--dry-run", "--cache", LONG),
        ("run", "--dry-run", "--data", LONG),
        ("run", "--dry-run", "--plugin", LONG),
        ("run", "--dry-run", "--config", LONG),
        ("run", "--dry-run", "--utility-tasks", LONG),
        ("run", "--dry-run", "--dtype", LONG),
        ("run", "--dry-run", "--seeds", "9" * 5_000),
        ("run", "--dry-run", "--lora", f"r={'9' * 5_000}"),
        ("leaderboard", "check", "--committed", LONG),
        ("leaderboard", "merge", LONG, "--out", LONG),
        ("new", "method", LONG),
        ("check", LONG),
        ("check", f"{LONG}.py"),
    ],
)
def test_what_is_too_long_is_quoted_in_short_and_nothing_is_a_traceback(arguments):
    ended = harness_cli(*arguments)
    assert ended.code == 2
    assert ended.err
    assert len(ended.err) < 5_000


def test_so_many_problems_are_told_in_part():
    ended = harness_cli("run", "--dry-run", "--methods", ",".join(f"m{i}" for i in range(3_000)))
    assert ended.code == 2
    assert len(ended.sentence.splitlines()) == 21
    assert ended.sentence.endswith("There may be more: these are the first.")
