"""The registry finds plugins by name, checks what it loads, and says what is wrong in full."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import pytest
from pydantic import BaseModel

from harness.core.base import Method
from harness.errors import PluginError
from harness.plugins.selection import select_methods
from support.registries import Abstract, Mine, Probe, names, registry


def test_a_class_and_a_path_load_alike():
    assert registry(("mine", Mine)).method("mine").load() is Mine
    assert registry(("mine", f"{Mine.__module__}:Mine")).method("mine").load() is Mine
    assert registry(("mine", Mine)).method("mine").path == f"{Mine.__module__}:Mine"


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
        ("method", Loose, ["harness.Config"]),
        ("method", Probe, ["derived from harness.Method"]),
        ("method", dict, ["derived from harness.Method"]),
        ("method", "no_such_module:Mine", ["cannot be imported", "ModuleNotFoundError", "no_such_module"]),
        ("method", f"{__name__}:Nothing", ["cannot be imported", "AttributeError", "Nothing"]),
        ("benchmark", Abstract, ["does not implement chance, load, measures;"]),
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
    assert names(select_methods(registry(("none", Mine)), ["none"])) == ["none"]
    assert not registry(("none", Probe), kind="attack").attacks


def test_the_registry_of_what_is_installed_imports_nothing_heavy():
    code = (
        "import sys; from harness.plugins.registry import Registry; r = Registry();"
        "[e.summary() for k in (r.methods, r.attacks, r.benchmarks) for e in k.values()];"
        "print({'torch', 'transformers', 'pyarrow', 'scipy', 'datasets'} & set(sys.modules) or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "light"
