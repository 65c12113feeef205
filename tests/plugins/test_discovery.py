"""Plugins come in through entry points, and one that is broken does not take the others along."""

from __future__ import annotations

import sys
import textwrap

import pytest

import harness.plugins
from harness.plugins.discovery import load_plugins

GOOD = """
import harness

@harness.hookimpl
def register_methods(register):
    register("mine", "somewhere:Mine")
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with one module and one entry point where importlib.metadata finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(module: str, source: str, version: str = "1.0", entry_point: str | None = None) -> None:
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"dist_{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{module}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[unlearning_harness]\n{entry_point or module} = {module}\n")
        # The next test writes another module of the same name.
        monkeypatch.delitem(sys.modules, module, raising=False)

    yield install
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def registered(plugins, distribution):
    return [(r.kind, r.name, r.target) for r in plugins.entries if r.distribution == distribution]


def error_of(plugins, distribution):
    [broken] = [broken for broken in plugins.broken if broken.distribution == distribution]
    assert "\n" not in broken.error
    return broken.error


def test_a_registration_knows_which_distribution_and_version_it_came_from(install):
    install("good_plugin", GOOD, version="2.3")
    [found] = [r for r in load_plugins().entries if r.distribution == "dist-good_plugin"]
    assert (found.kind, found.name, found.target, found.version) == (
        "method",
        "mine",
        "somewhere:Mine",
        "2.3",
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import a_module_that_is_not_there", ["ModuleNotFoundError", "a_module_that_is_not_there"]),
        ("raise SystemExit(3)", ["SystemExit", "3"]),
        (
            GOOD.replace("(register):", "(registre):"),
            ["PluginValidationError", "register_methods", "registre"],
        ),
        (GOOD.replace("register_methods", "register_method"), ["PluginValidationError", "register_method'"]),
        (GOOD.replace("@harness.hookimpl", ""), ["PluginValidationError", "no hook", "@harness.hookimpl"]),
        (GOOD + "    raise ValueError('a\\nb')", ["ValueError: a b"]),
        (GOOD + "    register('only a name')", ["TypeError", "target"]),
    ],
    ids=["import", "exit", "signature", "misspelt-hook", "no-hook", "raises", "bad-call"],
)
def test_a_broken_plugin_is_named_with_its_error_and_the_rest_works(install, source, words):
    install("bad_plugin", source, version="0.9")
    install("good_plugin", GOOD)
    plugins = load_plugins()
    error = error_of(plugins, "dist-bad_plugin")
    assert all(word in error for word in words), error
    assert registered(plugins, "dist-bad_plugin") == []
    assert registered(plugins, "dist-good_plugin") == [("method", "mine", "somewhere:Mine")]


def test_a_plugin_that_breaks_in_its_second_hook_registers_nothing(install):
    second = "\n@harness.hookimpl\ndef register_attacks(register):\n    raise RuntimeError('no')\n"
    install("half_plugin", GOOD + second)
    plugins = load_plugins()
    assert error_of(plugins, "dist-half_plugin") == "RuntimeError: no"
    assert registered(plugins, "dist-half_plugin") == []


def test_plugins_are_asked_in_an_order_that_does_not_depend_on_their_installation(install):
    for module in ("zz_plugin", "aa_plugin"):
        install(module, GOOD)
    owners = [r.distribution for r in load_plugins().entries]
    own = [owner for owner in owners if owner == harness.plugins.discovery.DISTRIBUTION]
    assert owners[: len(own)] == own
    assert owners[len(own) :].index("dist-aa_plugin") < owners[len(own) :].index("dist-zz_plugin")


def test_two_plugins_may_use_the_same_entry_point_name(install):
    install("one_plugin", GOOD, entry_point="plugin")
    install("two_plugin", GOOD, entry_point="plugin")
    plugins = load_plugins()
    assert registered(plugins, "dist-one_plugin")
    assert registered(plugins, "dist-two_plugin")


def test_without_plugins_there_is_nothing():
    assert load_plugins([]).entries == []
