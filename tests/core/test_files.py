"""What an operating system puts beside files is nobody's."""

from __future__ import annotations

from pathlib import Path

from harness.core.files import ours
from harness.core.keys import tree_fingerprint


def test_side_files_are_left_out_and_hidden_files_are_not():
    names = ("a.json", ".hidden", "._a.json", ".DS_Store", "__MACOSX/a.json", "b/._c", "b/c", "Thumbs.db")
    assert [path.as_posix() for path in ours(map(Path, names))] == ["a.json", ".hidden", "b/c"]


def test_side_files_do_not_count_in_the_fingerprint_of_a_directory(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    before = tree_fingerprint(tmp_path)
    (tmp_path / "._a.json").write_bytes(b"\0\5\x16\7")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    assert tree_fingerprint(tmp_path) == before
    (tmp_path / ".hidden").write_text("x")
    assert tree_fingerprint(tmp_path) != before
