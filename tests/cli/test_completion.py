"""What the shell offers after a TAB, without loading torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import completion
from harness.plugins.registry import Registry
from support.command import harness_cli
from support.fresh import python
from support.site import install, on_path

HARNESS = Path(sys.executable).parent / "harness"


def offered(words, **environment):
    """What bash is offered for the last of ``words``."""
    told = {"_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "sys.argv = ['harness']\nfrom harness.cli.main import main\nmain()"
    return python(code, **told, **environment).split()


class TestCompletion:
    def test_of_a_comma_list_loads_nothing_heavy(self):
        assert offered("harness run --methods gd,sim") == ["gd,simnpo", "gd,simu", "gd,simu-random"]

    def test_of_names_that_are_in_the_list_already(self):
        found = [name for name, _ in completion.listed("method")("gd,npo,")]
        assert "gd,npo,gd" not in found
        assert "gd,npo,ssiuu" in found

    @pytest.mark.parametrize("kind", ["method", "attack", "benchmark"])
    def test_of_every_name_and_of_the_words_that_stand_alone(self, kind):
        names = set(Registry().kinds[kind])
        words = {"all"} | ({"none"} if kind == "attack" else set())
        assert {name for name, _ in completion.listed(kind)("")} == names | words
        [first, *_] = sorted(names)
        after = {name for name, _ in completion.listed(kind)(f"{first},")}
        assert after == {f"{first},{name}" for name in names - {first}}

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            ("harness show faith", ["faithun-mini", "faithun"]),
            ("harness show quan", ["quantize"]),
            ("harness check-benchmark tofu-", ["tofu-mini"]),
            ("harness check-benchmark quan", []),
            ("harness run --attacks quan", ["quantize"]),
            ("harness run --benchmarks tofu-mini,faithun-", ["tofu-mini,faithun-mini"]),
            ("harness prepare --benchmarks tofu-", ["tofu-mini"]),
            ("harness run --dtype b", ["bfloat16"]),
            ("harness lea", ["leaderboard"]),
        ],
    )
    def test_where(self, words, found, monkeypatch):
        monkeypatch.setenv("_HARNESS_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        assert sorted(harness_cli().out.split()) == sorted(found)

    def test_says_a_line_about_each_whatever_stands_in_it(self, tmp_path):
        odd = (
            "import harness\nfrom harness.core.base import Method\n"
            "class Odd(Method):\n    '''Weighs [/the] terms: \"a\" and 'b', " + 40 * "very " + "long.'''\n"
            "    name = 'odd'\n    def loss(self, model, batch): ...\n"
            "@harness.hookimpl\ndef register_methods(register):\n    register('odd', Odd)\n"
        )
        with on_path(install(tmp_path / "site", odd, "odd_plugin")):
            [(name, about)] = completion.named("method")("odd")
            assert (name, len(about) < 70) == ("odd", True)
            shells = {
                "fish": {
                    "_TYPER_COMPLETE_ARGS": "harness show odd",
                    "_TYPER_COMPLETE_FISH_ACTION": "get-args",
                },
                "zsh": {"_TYPER_COMPLETE_ARGS": "harness show odd"},
            }
            for shell, told in shells.items():
                code = "sys.argv = ['harness']\nfrom harness.cli.main import main\nmain()"
                said = python(code, _HARNESS_COMPLETE=f"complete_{shell}", **told)
                assert "odd" in said
                assert len(said.splitlines()) == 1

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_there_is_a_script_for_each_shell(self, shell):
        script = python(
            "sys.argv = ['harness']\nfrom harness.cli.main import main\nmain()",
            _HARNESS_COMPLETE=f"source_{shell}",
        )
        assert f"complete_{shell}" in script
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=script, text=True, check=True)

    @pytest.mark.skipif(not (shutil.which("bash") and HARNESS.is_file()), reason="needs bash and the command")
    def test_bash_itself_offers_it(self):
        script = (
            f'eval "$(_HARNESS_COMPLETE=source_bash {HARNESS})"\n'
            f"COMP_WORDS=({HARNESS} run --methods gd,ss) COMP_CWORD=3\n"
            f"_harness_completion {HARNESS}\n"
            'echo "${COMPREPLY[@]}"\n'
        )
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "gd,ssiuu\n"
