"""The fingerprint of source code changes with each file that a plugin uses, and with no other."""

from __future__ import annotations

import importlib
import sys

import pytest

from harness import keys
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


def test_the_engine_counts_file_by_file_and_a_missing_one_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "ENGINE", tmp_path)
    fingerprint = keys.engine_fingerprint.__wrapped__
    for name in keys.ENGINE_FILES:
        (tmp_path / name).write_text(name)
    seen = {fingerprint()}
    for name in keys.ENGINE_FILES:
        (tmp_path / name).write_text("changed")
        seen.add(fingerprint())
    (tmp_path / "cli.py").write_text("shows things")
    seen.add(fingerprint())
    assert len(seen) == len(keys.ENGINE_FILES) + 1
    (tmp_path / "run.py").unlink()
    with pytest.raises(FileNotFoundError):
        fingerprint()


PLUGIN = {
    "__init__.py": "",
    "mine.py": "import json\nfrom harness.base import Attack\nfrom . import helper\nfrom .base import Base\n"
    "class Mine(Base):\n    def f(self):\n        from stranger.late.deep import late\n",
    "base.py": "from harness.base import Method\nclass Base(Method):\n    name = 'b'\n",
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
    yield folder, lambda: keys.source_fingerprint.__wrapped__(cls)
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
    before = keys.source_fingerprint.__wrapped__(heir)
    (folder / "second.py").write_text("# changed\n")
    assert keys.source_fingerprint.__wrapped__(heir) != before
    del sys.modules["heir"]


def test_a_single_file_plugin_changes_with_the_file_beside_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lone.py").write_text("import lone_helper\nimport pyarrow\nclass Lone:\n    pass\n")
    (tmp_path / "lone_helper.py").write_text("")
    cls = importlib.import_module("lone").Lone
    before = keys.source_fingerprint.__wrapped__(cls)
    (tmp_path / "lone_helper.py").write_text("# changed\n")
    assert keys.source_fingerprint.__wrapped__(cls) != before
    del sys.modules["lone"], sys.modules["lone_helper"]


def test_a_class_without_source_is_refused():
    cls = type("Typed", (), {"__module__": "nowhere"})
    with pytest.raises(PluginError, match="Define the class in a file"):
        keys.source_fingerprint(cls)


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
    assert len(keys.source_fingerprint.__wrapped__(cls)) == 64
    del sys.modules["mild"], sys.modules["mild.mine"]


def test_every_engine_file_either_decides_numbers_or_is_known_not_to():
    shown = "__init__ errors hookspecs plugins registry settings keys store provenance stats plan execute"
    shown += (
        " formulas cells invariants ranking markdown leaderboard curves page verdict progress cli command hub"
        " prepare"
    )
    shown += " about api complete console plots results"
    shown += " plugin_files new published cli_leaderboard work"
    shown += " utility"  # it decides the numbers of its own cells only, and is in their keys
    shown += " agreement draw gate merge"
    others = set(shown.split())
    unclassified = {p.stem for p in keys.ENGINE.glob("*.py")} - others - {n[:-3] for n in keys.ENGINE_FILES}
    assert not unclassified, "add it to keys.ENGINE_FILES if it decides numbers, and to this test if not"
