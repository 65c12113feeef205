"""The fingerprint of source code changes with each file that a plugin uses, and with no other."""

from __future__ import annotations

import importlib
import shutil
import sys

import pytest

from harness.core import fingerprint as fingerprint_module
from harness.core import keys
from harness.core.fingerprint import HARNESS, ROOMS, engine_fingerprint
from harness.errors import PluginError


def test_files_count_by_name_and_content_and_not_by_place(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("x.bin", "y.bin"):
            (tmp_path / folder / name).write_bytes(name.encode())
    first = keys.files_fingerprint([tmp_path / "a/x.bin", tmp_path / "a/y.bin"])
    assert first == keys.files_fingerprint([tmp_path / "b/y.bin", tmp_path / "b/x.bin"])
    (tmp_path / "b/x.bin").write_bytes(b"other")
    assert first != keys.files_fingerprint([tmp_path / "b/x.bin", tmp_path / "b/y.bin"])
    (tmp_path / "a/x.bin").rename(tmp_path / "a/z.bin")
    assert first != keys.files_fingerprint([tmp_path / "a/z.bin", tmp_path / "a/y.bin"])


@pytest.fixture(scope="module")
def harness_copy(tmp_path_factory):
    """The harness's own sources, in a folder that tests may change."""
    copy = tmp_path_factory.mktemp("copy") / "harness"
    shutil.copytree(HARNESS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


FILES = sorted(path.relative_to(HARNESS).as_posix() for path in HARNESS.rglob("*.py"))


@pytest.mark.parametrize("name", FILES)
def test_a_change_in_any_file_of_the_engines_rooms_counts_and_no_other(harness_copy, name):
    fresh = engine_fingerprint.__wrapped__
    file = harness_copy / name
    before, content = fresh(harness_copy), file.read_text()
    file.write_text(f"{content}# changed\n")
    try:
        assert (fresh(harness_copy) != before) == (name.partition("/")[0] in ROOMS)
    finally:
        file.write_text(content)


def test_a_file_that_comes_goes_or_moves_counts(harness_copy):
    fresh = engine_fingerprint.__wrapped__
    seen = {fresh(harness_copy)}
    new = harness_copy / "engine" / "another.py"
    new.write_text("")
    seen.add(fresh(harness_copy))
    moved = new.rename(harness_copy / "scoring" / "another.py")
    seen.add(fresh(harness_copy))
    assert len(seen) == 3
    moved.unlink()
    assert fresh(harness_copy) in seen


def test_the_fingerprint_does_not_depend_on_the_place(harness_copy):
    assert engine_fingerprint.__wrapped__(harness_copy) == engine_fingerprint()


PLUGIN = {
    "__init__.py": "",
    "mine.py": "import json\nfrom harness import Attack\nfrom . import helper\nfrom .base import Base\n"
    "class Mine(Base):\n    def f(self):\n        from stranger.late.deep import late\n",
    "base.py": "from harness import Method\nclass Base(Method):\n    name = 'b'\n",
    "helper.py": "import stranger.second\n",
    "second.py": "",
    "late/__init__.py": "",
    "late/deep.py": "late = 1\n",
    "unrelated.py": "",
}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A stranger's package on the path: its folder, and a function that takes the fingerprint afresh."""
    folder = tmp_path / "stranger"
    for name, text in PLUGIN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    cls = importlib.import_module("stranger.mine").Mine
    yield folder, lambda: fingerprint_module.source_fingerprint.__wrapped__(cls)
    for name in [m for m in sys.modules if m.partition(".")[0] == "stranger"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["mine.py", "base.py", "helper.py", "second.py", "late/deep.py"])
def test_a_plugin_changes_with_each_module_it_uses(plugin, name):
    folder, fingerprint = plugin
    before = fingerprint()
    (folder / name).write_text(PLUGIN[name] + "# changed\n")
    assert fingerprint() != before


@pytest.mark.parametrize("name", ["unrelated.py", "__init__.py"])
def test_a_plugin_does_not_change_with_what_it_does_not_use(plugin, name):
    folder, fingerprint = plugin
    before = fingerprint()
    (folder / name).write_text("# changed\n")
    assert fingerprint() == before


def test_a_base_class_from_another_package_counts(plugin, tmp_path, monkeypatch):
    folder, _ = plugin
    (tmp_path / "heir.py").write_text("from stranger.mine import Mine\nclass Heir(Mine):\n    pass\n")
    heir = importlib.import_module("heir").Heir
    before = fingerprint_module.source_fingerprint.__wrapped__(heir)
    (folder / "second.py").write_text("# changed\n")
    assert fingerprint_module.source_fingerprint.__wrapped__(heir) != before
    del sys.modules["heir"]


def test_a_single_file_plugin_changes_with_the_file_beside_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lone.py").write_text("import lone_helper\nimport pyarrow\nclass Lone:\n    pass\n")
    (tmp_path / "lone_helper.py").write_text("")
    cls = importlib.import_module("lone").Lone
    before = fingerprint_module.source_fingerprint.__wrapped__(cls)
    (tmp_path / "lone_helper.py").write_text("# changed\n")
    assert fingerprint_module.source_fingerprint.__wrapped__(cls) != before
    del sys.modules["lone"], sys.modules["lone_helper"]


def test_a_class_without_source_is_refused():
    cls = type("Typed", (), {"__module__": "nowhere"})
    with pytest.raises(PluginError, match="Define the class in a file"):
        fingerprint_module.source_fingerprint(cls)


def test_reading_the_source_executes_nothing_that_was_not_loaded(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("heavy", "mild"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "heavy" / "__init__.py").write_text("raise SystemError('executed')")
    (tmp_path / "mild" / "late.py").write_text("raise SystemError('executed')")
    (tmp_path / "mild" / "mine.py").write_text(
        "class Mine:\n    def f(self):\n        from heavy.inner import x\n        from .late import y\n"
    )
    cls = importlib.import_module("mild.mine").Mine
    assert len(fingerprint_module.source_fingerprint.__wrapped__(cls)) == 64
    del sys.modules["mild"], sys.modules["mild.mine"]
