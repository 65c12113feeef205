"""What the command line prints, where, and with which exit code."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import pytest
from pydantic import Field

import harness.cli.main
import harness.plugins.registry
from harness.core.base import Attack, Method
from harness.core.benchmark import Benchmark
from harness.core.config import Config, MethodConfig
from harness.core.formulas import formula
from harness.core.types import Reported
from harness.plugins.discovery import BrokenPlugin, Plugins
from harness.plugins.entry import Entry
from harness.plugins.kinds import Kind

HEAVY = ("torch", "transformers", "accelerate", "datasets", "pyarrow", "scipy")


class Mine(Method):
    """Forgets by [bold]magic[/bold], which is a sentence of some length so that it needs a second line.

    The equation:  L = -log pi(y|x)  (eq. 3), and a line that is much too long for eighty columns altogether.
    """

    name = "mine"
    paper = "Doe 2031"

    class Config(MethodConfig):
        a_setting_with_a_long_name: float = Field(0.5, gt=0, le=1, description="weight of the term")

    def unlearn(self, job): ...


class Probe(Attack):
    """Asks again."""

    name = "probe"
    reads = frozenset({"test", "retain"})
    variants: ClassVar = {"p=0.1": {"p": 0.1}, "p=0.5": {"p": 0.5}}

    class Config(Config):
        p: float = 0.1

    def attack(self, job): ...


@formula("right answers / all answers", 0, 1, "higher", "1")
def share_of_answers(text): ...


def nameless(text): ...


class Facts(Benchmark):
    """Ten facts."""

    name = "mine"
    forget_metric = "accuracy"
    curve_metrics = ("accuracy", "rouge")
    retain_metric = ("retain", "accuracy")
    reports = (
        Reported("accuracy", ("retain", "test"), share_of_answers),
        Reported("accuracy", ("forget",), share_of_answers, better="lower", ideal="chance"),
        Reported("utility", ("all",), share_of_answers),
    )

    def load(self): ...

    def measures(self, splits): ...

    def threshold(self, splits):
        """One in three, by guessing."""

    def chance(self, splits): ...


@pytest.fixture
def run(monkeypatch, capsys):
    """Run ``harness`` with stub plugins in a pipe of 80 columns: exit code, stdout, stderr."""
    classes = [("method", "mine", Mine), ("attack", "probe", Probe), ("benchmark", "mine", Facts)]
    plugins = Plugins(
        [Entry(Kind(kind), name, cls, "stub-dist", "4.2") for kind, name, cls in classes],
        [BrokenPlugin("bad", "bad-dist", "0.9", "ImportError: no [x] here")],
    )
    monkeypatch.setattr(harness.plugins.registry, "load_plugins", lambda: plugins)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as stopped:
            harness.cli.main.main()
        return (stopped.value.code or 0, *capsys.readouterr())

    return run


def test_list_shows_every_plugin_with_its_summary_and_owner(run):
    code, out, _ = run("list")
    assert code == 0
    for word in (
        "methods",
        "mine",
        "attacks",
        "probe",
        "Asks again.",
        "benchmarks",
        "Ten facts.",
        "stub-dist",
    ):
        assert word in out
    assert "[bold]magic[/bold]" in out
    assert "second line." in " ".join(out.split())


def test_list_reports_what_was_left_out_on_stderr(run):
    _, out, err = run("list")
    assert "bad (bad-dist 0.9): ImportError: no [x] here" in err
    assert "bad-dist" not in out


@pytest.mark.parametrize("arguments", [("list",), ("show", "mine"), ("show", "probe"), ("--help",)])
def test_nothing_is_cut_off_in_a_pipe(run, arguments):
    _, out, _ = run(*arguments)
    assert "…" not in out


def test_show_prints_the_formula_of_every_metric(run):
    _, out, _ = run("show", "mine")
    text = " ".join(out.partition("metrics")[2].split())
    for told in ("accuracy right", "accuracy right", "utility right"):
        text = text.partition(told)[2]
        assert text
    text = " ".join(out.split())
    assert "right answers / all answers on retain, test; in [0, 1]; better: higher; ideal: 1" in text
    assert "on forget; in [0, 1]; better: lower; ideal: chance" in text
    assert "aggregate; in [0, 1]; better: higher; ideal: 1" in text


def test_a_formula_that_is_not_described_is_named(run, monkeypatch):
    monkeypatch.setattr(Facts, "reports", (Reported("accuracy", ("test",), nameless),))
    code, _, err = run("show", "mine")
    assert code == 2
    assert "nameless is not described: put @formula above it." in err


def test_a_pipe_gets_no_colours(run):
    assert "\x1b" not in "".join(run("list")[1:])


def test_show_gives_the_manual_and_the_settings(run):
    code, out, _ = run("show", "probe")
    assert code == 0
    for word in ("attack probe", "stub-dist 4.2", "reads: retain, test", "variants: p=0.1, p=0.5", "probe.p"):
        assert word in out


def test_show_keeps_the_lines_of_a_docstring(run):
    _, out, _ = run("show", "mine")
    assert "The equation:  L = -log pi(y|x)  (eq. 3), and a line that is much too long for eighty" in out


def test_show_gives_both_when_two_kinds_share_a_name(run):
    _, out, _ = run("show", "mine")
    for word in ("method mine", "paper: Doe 2031", "mine.a_setting_with_a_long_name", "number > 0"):
        assert word in out
    for word in ("benchmark mine", "forget metric: accuracy", "threshold: One in three, by guessing."):
        assert word in out


def test_what_the_user_can_mend_is_one_line_on_stderr_and_exit_code_2(run):
    code, out, err = run("show", "prob")
    assert (code, out) == (2, "")
    assert err == "Error: There is no plugin 'prob'. Did you mean 'probe'? There are: mine, probe.\n"


def test_a_wrong_option_is_exit_code_2_as_well(run):
    assert run("list", "--nonsense")[0] == 2


def test_version(run):
    assert run("--version")[:2] == (0, f"harness {harness.cli.main.metadata.version('unlearning-harness')}\n")


def test_an_interrupt_exits_with_130(run, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(harness.plugins.registry, "load_plugins", interrupt)
    assert run("list")[0] == 130


def test_a_bug_keeps_its_traceback(run, monkeypatch):
    monkeypatch.setattr(harness.plugins.registry, "load_plugins", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("list")


@pytest.mark.parametrize("argument", ["--help", "list"])
def test_help_and_list_import_nothing_heavy(argument):
    code = (
        "import sys, atexit, harness.cli.main\n"
        f"atexit.register(lambda: print('HEAVY', sorted(set({HEAVY}) & set(sys.modules))))\n"
        f"sys.argv = ['harness', {argument!r}]\n"
        "harness.cli.main.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
