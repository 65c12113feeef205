"""The registry finds plugins by name, checks what it loads, and says what is wrong in full."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import pytest
from pydantic import BaseModel, Field

from harness.base import Attack, Benchmark, Config, Method
from harness.errors import HarnessError, PluginError
from harness.plugins import Plugins, Registration
from harness.registry import AttackChoice, Registry


class Mine(Method):
    """Forgets by magic.

    The rest is the manual.
    """

    name = "mine"

    def unlearn(self, job): ...


class Probe(Attack):
    """Asks again."""

    name = "probe"
    variants: ClassVar = {"p=0.1": {"p": 0.1}, "p=0.5": {"p": 0.5}}

    class Config(Config):
        p: float = Field(0.2, gt=0)

    def attack(self, job): ...


def registry(*registered, kind="method"):
    """A registry of (name, target) or (kind, name, target, distribution)."""
    full = [r if len(r) == 4 else (kind, *r, "dist-a") for r in registered]
    return Registry(Plugins([Registration(*r, "1.0") for r in full]))


def names(entries):
    return [entry.name for entry in entries]


def test_a_class_and_a_path_load_alike():
    assert registry(("mine", Mine)).method("mine").load() is Mine
    assert registry(("mine", f"{__name__}:Mine")).method("mine").load() is Mine
    assert registry(("mine", Mine)).method("mine").path == f"{__name__}:Mine"


def test_a_summary_is_read_without_importing_the_module(tmp_path, monkeypatch):
    (tmp_path / "unimportable.py").write_text(
        'raise SystemError\nclass Mine:\n    """One line.\n\n    More."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert registry(("mine", "unimportable:Mine")).method("mine").summary() == "One line."
    assert registry(("mine", Mine)).method("mine").summary() == "Forgets by magic."


@pytest.mark.parametrize(
    "path", ["no_such_module:Mine", "no_such.module:Mine", f"{__name__}:Nothing", "_ast:x"]
)
def test_a_summary_that_cannot_be_read_does_not_stop_a_listing(path):
    assert registry(("mine", path)).method("mine").summary().startswith("(")


class Silent(Mine):
    name = "mine"


class Misnamed(Mine):
    """A name that differs."""

    name = "other"


class Nameless(Method):
    """No name, and nothing to do."""


class Loose(Mine):
    """A config that lets anything through."""

    Config = BaseModel


class Abstract(Benchmark):
    """Implements nothing."""

    name = "mine"


class BadVariants(Probe):
    """Variants that cannot be."""

    name = "mine"
    variants: ClassVar = {"a,b": {"q": 1}}


@pytest.mark.parametrize(
    ("kind", "target", "words"),
    [
        ("method", Silent, ["no docstring", "manual"]),
        ("method", Misnamed, ["'other'", "must equal the registered name"]),
        ("method", Nameless, ["None", "neither loss() nor unlearn()"]),
        ("method", Loose, ["harness.base.Config"]),
        ("method", Probe, ["derived from harness.base.Method"]),
        ("method", dict, ["derived from harness.base.Method"]),
        ("method", "no_such_module:Mine", ["cannot be imported", "ModuleNotFoundError", "no_such_module"]),
        ("method", f"{__name__}:Nothing", ["cannot be imported", "AttributeError", "Nothing"]),
        ("benchmark", Abstract, ["does not implement chance, load, measures, threshold"]),
        ("attack", BadVariants, ["'a,b'", "comma", "q"]),
    ],
)
def test_a_broken_contract_is_an_error_that_names_owner_problem_and_rule(kind, target, words):
    [entry] = registry(("mine", target), kind=kind).named("mine")
    with pytest.raises(PluginError) as raised:
        entry.load()
    assert all(word in str(raised.value) for word in ["'mine'", "dist-a 1.0", *words]), raised.value


def test_a_name_taken_twice_stays_with_the_first_and_both_owners_are_named():
    found = registry(("method", "mine", Mine, "dist-a"), ("method", "mine", Misnamed, "dist-b"))
    assert found.method("mine").load() is Mine
    [broken] = found.broken
    assert (broken.name, broken.distribution) == ("mine", "dist-b")
    assert "dist-a 1.0" in broken.error
    assert "dist-b 1.0" in broken.error


def test_kinds_have_names_of_their_own():
    found = registry(("method", "x", Mine, "dist-a"), ("attack", "x", Probe, "dist-a"))
    assert not found.broken
    assert [entry.kind for entry in found.named("x")] == ["method", "attack"]


@pytest.mark.parametrize("name", ["", "Mine", "-mine", "_mine", "mine ", "méthode", "all", 3])
def test_a_bad_name_is_refused_and_reported(name):
    found = registry((name, Mine))
    assert not found.methods
    assert len(found.broken) == 1


@pytest.mark.parametrize("target", ["no_colon", "a:b:c", 3, None, "module:"])
def test_a_target_that_is_neither_class_nor_path_is_refused(target):
    assert "module:Class" in registry(("mine", target)).broken[0].error


def test_none_is_a_method_but_no_attack():
    assert names(registry(("none", Mine)).select_methods("none")) == ["none"]
    assert not registry(("none", Probe), kind="attack").attacks


@pytest.fixture
def full():
    return registry(
        ("method", "ga", Mine, "d"),
        ("method", "mine", Mine, "d"),
        ("attack", "probe", Probe, "d"),
        ("attack", "other", Probe, "d"),
        ("benchmark", "facts", Abstract, "d"),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mine", ["mine"]),
        ("mine,ga", ["mine", "ga"]),
        (" ga , mine,", ["ga", "mine"]),
        ("ga,ga", ["ga"]),
        ("all", ["ga", "mine"]),
        ("mine,all", ["ga", "mine"]),
    ],
)
def test_methods_are_selected_in_the_order_asked_for_each_once(full, text, expected):
    assert names(full.select_methods(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", []),
        ("all", [("probe", None), ("other", None)]),
        ("probe", [("probe", None)]),
        ("probe:p=0.1", [("probe", "p=0.1")]),
        ("probe:p=0.1,probe:p=0.5,probe:p=0.1", [("probe", "p=0.1"), ("probe", "p=0.5")]),
        ("probe:p=0.1,probe", [("probe", None)]),
    ],
)
def test_an_attack_is_selected_with_all_its_variants_or_with_one(full, text, expected):
    choices: list[AttackChoice] = full.select_attacks(text)
    assert [(choice.entry.name, choice.variant) for choice in choices] == expected


@pytest.mark.parametrize(
    ("select", "text", "words"),
    [
        ("select_methods", "", ["No method"]),
        ("select_methods", " , ", ["No method"]),
        ("select_methods", "gaa", ["'gaa'", "Did you mean 'ga'?"]),
        ("select_methods", "all,gaa", ["'gaa'"]),
        ("select_methods", "gaa,ga,zz", ["'gaa'", "'zz'"]),
        ("select_attacks", "none,probe", ["'none'", "alone"]),
        ("select_attacks", "prob:p=0.1", ["Did you mean 'probe'?"]),
        ("select_attacks", "probe:p=0.11", ["'p=0.11'", "Did you mean 'p=0.1'?"]),
        ("select_benchmarks", "fact", ["Did you mean 'facts'?"]),
    ],
)
def test_a_selection_that_cannot_be_says_why_and_suggests_the_nearest(full, select, text, words):
    with pytest.raises(HarnessError) as raised:
        getattr(full, select)(text)
    assert all(word in str(raised.value) for word in words), raised.value


def test_everything_wrong_in_a_selection_is_said_at_once(full):
    with pytest.raises(HarnessError) as raised:
        full.select("gaa,zz", "prob", "")
    assert len(str(raised.value).splitlines()) == 4


def test_a_selection_lists_its_plugins_once(full):
    selection = full.select("all", "probe:p=0.1,probe:p=0.5", "facts")
    assert names(selection.entries()) == ["facts", "ga", "mine", "probe"]


def test_the_registry_of_what_is_installed_imports_nothing_heavy():
    code = (
        "import sys; from harness.registry import Registry; r = Registry();"
        "[e.summary() for k in (r.methods, r.attacks, r.benchmarks) for e in k.values()];"
        "print({'torch', 'transformers', 'pyarrow', 'scipy', 'datasets'} & set(sys.modules) or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "light"
