"""Settings that name files count by content, and settings that do not fit together are refused."""

from __future__ import annotations

import shutil

import pytest
from pydantic import ValidationError

from harness.core.config import Config, Directory, File, MethodConfig, validator
from harness.plugins.entry import Entry
from harness.plugins.kinds import Kind
from harness.runner.plan import spec


class Reads(MethodConfig):
    words: File | None = None
    folder: Directory | None = None
    n: int = 1


@pytest.fixture
def config(tmp_path):
    (tmp_path / "words.txt").write_text("one two")
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "a.txt").write_text("a")
    return Reads(words=tmp_path / "words.txt", folder=tmp_path / "folder")


def test_the_content_of_a_file_counts(config):
    before = config.identity()
    config.words.write_text("one three")
    assert config.identity() != before


@pytest.mark.parametrize("change", ["content", "name", "another"])
def test_every_file_of_a_directory_counts(config, change):
    before, file = config.identity(), config.folder / "deep" / "a.txt"
    if change == "content":
        file.write_text("b")
    elif change == "name":
        file.rename(file.with_name("b.txt"))
    else:
        (config.folder / "b.txt").write_text("")
    assert config.identity() != before


def test_the_place_of_a_file_does_not_count(config, tmp_path):
    shutil.move(tmp_path / "folder", tmp_path / "elsewhere" / "folder")
    (tmp_path / "elsewhere" / "words.txt").write_text("one two")
    moved = Reads(words=tmp_path / "elsewhere" / "words.txt", folder=tmp_path / "elsewhere" / "folder")
    assert str(tmp_path) not in moved.identity()
    shutil.copytree(tmp_path / "elsewhere" / "folder", tmp_path / "folder")
    assert moved.identity() == config.identity()


def test_settings_without_files_are_what_they_were():
    config = Reads(n=3, learning_rates=(1e-5,))
    assert config.identity() == config.model_dump_json(by_alias=True)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="does not point to a file"):
        Reads(words=tmp_path / "nothing.txt")


def test_the_content_of_a_file_is_in_the_key_of_a_plugin(config):
    from harness.methods.gd import GradientDifference

    entry = Entry(Kind.METHOD, "gd", GradientDifference, "test", "0")
    before = spec(entry, config).identity()
    config.words.write_text("other")
    after = spec(entry, config)
    assert after.identity() != before
    assert Reads.model_validate_json(after.config).words == config.words


def test_a_validator_looks_at_all_settings_together():
    class Pair(Config):
        low: int = 0
        high: int = 1

        @validator
        def ordered(self):
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    assert Pair(low=1).low == 1
    with pytest.raises(ValidationError, match="low is above high"):
        Pair(low=2)
