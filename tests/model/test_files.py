"""The files that decide what a model computes are in its key, and others are not."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from transformers.utils import hub as transformers_hub

from harness.core.keys import files_fingerprint
from harness.engine.source import Source
from harness.model import loading
from harness.model.files import files_of, snapshot_of

DECIDES = (
    *("qwen.tiktoken", "source.spm", "target.vocab", "sentence.bpe", "bpe.codes", "prophetnet.tokenizer"),
    *("tokenizer.model", "tokenizer.model.v3", "tiktoken.model", "spiece.model", "tekken.json", "merges.txt"),
    *("chat_template.jinja", "chat_template.json", "tokenization_own.py"),
    f"{transformers_hub.CHAT_TEMPLATE_DIR}/tools.jinja",
)
IS_READ_BY_NOBODY = ("README.md", "LICENSE", "notes/tools.jinja", "logo.png")


@pytest.fixture
def own(tiny, tokenizer, tmp_path):
    """A saved model that the test may change."""
    loading.save(tiny(), tokenizer, tmp_path / "model", {})
    return tmp_path / "model"


def key_with(directory, name, content):
    """The key of the model with another file in its directory."""
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_text(content)
    return Source(str(directory)).fingerprint()


@pytest.mark.parametrize("name", DECIDES)
def test_a_file_that_decides_changes_the_key_with_its_content(own, name):
    before = Source(str(own)).fingerprint()
    assert len({before, key_with(own, name, "a"), key_with(own, name, "b")}) == 3


@pytest.mark.parametrize("name", IS_READ_BY_NOBODY)
def test_another_file_changes_no_key(own, name):
    assert key_with(own, name, "a") == key_with(own, name, "b") == Source(str(own)).fingerprint()


def test_whether_its_code_may_run_changes_the_key(own):
    trusted = Source(str(own), trust_remote_code=True)
    assert trusted.fingerprint() != Source(str(own)).fingerprint()


@pytest.mark.parametrize("name", DECIDES)
def test_a_file_that_decides_is_fetched_from_the_hub(name, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda *_, allow_patterns=(), **__: asked.extend(allow_patterns) or str(tmp_path),
    )
    Source("some-org/some-model").local()
    from huggingface_hub.utils import filter_repo_objects

    assert list(filter_repo_objects([name], allow_patterns=asked)) == [name]


def test_a_template_in_its_directory_is_not_taken_for_one_beside_it(own, tmp_path):
    other = shutil.copytree(own, tmp_path / "other")
    name = "tools.jinja"
    assert key_with(own, name, "a") != key_with(other, f"additional_chat_templates/{name}", "a")


def test_weights_that_an_index_names_decide_wherever_they_lie(own):
    index = {"weight_map": {"w": "deep/shard.safetensors", "v": "../beside.safetensors"}}
    (own / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in ("deep/shard.safetensors", "../beside.safetensors"):
        assert key_with(own, name, "a") != key_with(own, name, "b")


@pytest.mark.parametrize(
    "index", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3, "b": "\\u0000"}}']
)
def test_an_index_that_is_none_names_nothing(own, index):
    before = files_of(own).keys()
    (own / "model.safetensors.index.json").write_text(index)
    assert files_of(own).keys() - before == {"model.safetensors.index.json"}


def test_without_any_of_that_a_directory_is_fingerprinted_by_its_flat_files(own):
    kinds = (".safetensors", ".bin", ".json", ".model", ".txt", ".jinja", ".py")
    flat = [path for path in own.iterdir() if path.suffix in kinds]
    assert snapshot_of(own).fingerprint == files_fingerprint(flat)


class TestASnapshot:
    """Workers hold what they load against it."""

    def test_nothing_has_changed_in_it_at_first(self, own):
        assert snapshot_of(own).changed(own) is None

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
    def test_it_names_the_file_that_changed(self, own, name):
        seen = snapshot_of(own)
        (own / name).write_bytes((own / name).read_bytes() + b" ")
        assert seen.changed(own) == name

    def test_a_change_that_keeps_size_and_time_is_found(self, own):
        seen, path = snapshot_of(own), own / "model.safetensors"
        stat, content = path.stat(), bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert seen.changed(own) == "model.safetensors"

    def test_it_names_what_was_added_and_what_is_gone(self, own):
        seen = snapshot_of(own)
        (own / "chat_template.jinja").write_text("{{ messages }}")
        assert seen.changed(own) == "chat_template.jinja"
        (own / "chat_template.jinja").unlink()
        (own / "tokenizer.json").unlink()
        assert seen.changed(own) == "tokenizer.json"

    def test_a_file_that_was_only_touched_is_read_again_and_no_other(self, own, monkeypatch):
        seen, read = snapshot_of(own), []
        from harness.model import files

        digest = files.file_digest
        monkeypatch.setattr(files, "file_digest", lambda path: read.append(path.name) or digest(path))
        os.utime(own / "config.json")
        assert seen.changed(own) is None
        assert read == ["config.json"]

    def test_a_model_that_is_saved_anew_has_another_key_in_the_same_process(self, own, tiny, tokenizer):
        before = Source(str(own)).fingerprint()
        tiny(seed=1).save_pretrained(own)
        assert Source(str(own)).fingerprint() != before
