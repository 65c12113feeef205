"""A model unlearned elsewhere is taken bit by bit, if it was made from the original; if not, a sentence."""

from __future__ import annotations

import huggingface_hub
import pytest
import torch
from harness.methods.checkpoint import Checkpoint

from harness.engine.unlearning import unlearn
from harness.errors import ConfigError, HarnessError, ModelError
from harness.model import loading, models
from harness.model.embedded import word_tokenizer
from harness.model.lora import adapters
from harness.plugins.registry import Registry
from harness.plugins.selection import select, select_methods
from harness.plugins.settings import check


@pytest.fixture
def take(tiny, make_subject, toy_benchmark, tmp_path):
    """``take(path=None)``: the original with the model in a directory taken, and the job's notes."""

    def taken(path=None, original=None):
        model = original or tiny()
        method = Checkpoint(Checkpoint.Config(path=path or tmp_path / "theirs"))
        return model, unlearn(make_subject(toy_benchmark(), model), method, seed=0).notes

    return taken


@pytest.fixture
def save(tmp_path, tokenizer):
    """``save(model, tokenizer)``: it in a directory."""

    def saved(model, own=tokenizer):
        loading.save(model, own, tmp_path / "theirs", {})
        return tmp_path / "theirs"

    return saved


@pytest.fixture
def trained(tiny):
    """A model with trained adapters merged in, and these adapters."""
    pytest.importorskip("peft")
    model, kept = tiny(), []
    with adapters(model, 2, 4, 0, kept.append) as parameters, torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) / 10)
    return model, kept[0]


def test_weights_are_taken_bit_by_bit(tiny, save, take):
    theirs = tiny(seed=1)
    save(theirs)
    model, notes = take()
    assert models.weights_fingerprint(model) == models.weights_fingerprint(theirs)
    assert notes["checkpoint"] == "weights"
    assert isinstance(notes["forgotten"], bool)


def test_adapters_are_merged_into_the_original(tiny, trained, take, tmp_path):
    theirs, adapter = trained
    adapter.save(tmp_path / "theirs")
    model, notes = take()
    assert models.weights_fingerprint(model) == models.weights_fingerprint(theirs) == adapter.merged
    assert models.weights_fingerprint(model) != models.weights_fingerprint(tiny())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert notes["checkpoint"] == "adapter"


def test_an_adapter_that_peft_saved_is_merged_alike(tiny, take, tmp_path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    wrapped = peft.get_peft_model(tiny(), config)
    wrapped.save_pretrained(tmp_path / "theirs")
    theirs = wrapped.merge_and_unload()
    model, _ = take()
    assert models.weights_fingerprint(model) == models.weights_fingerprint(theirs)


def test_it_needs_no_tokenizer_and_may_have_more_tokens(tiny, save, take, make_tokenizer):
    (more := make_tokenizer()).add_tokens(["another"])
    path = save(theirs := tiny(seed=1), more)
    assert models.weights_fingerprint(take()[0]) == models.weights_fingerprint(theirs)
    for file in path.glob("*token*"):
        file.unlink()
    assert models.weights_fingerprint(take()[0]) == models.weights_fingerprint(theirs)


def other_words(tokenizer):
    """As many words, with other numbers."""
    words = [word for word in tokenizer.get_vocab() if word.isalpha() and len(word) > 1]
    return word_tokenizer(tuple(word[::-1] for word in words))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"num_hidden_layers": 1}, "its num_hidden_layers is 1, and the original's 2"),
        ({"family": "gpt_neox"}, "it is of the family gpt_neox, the original is llama"),
        ({"rope_theta": 500.0}, "its rope_parameters is "),
        ({"num_attention_heads": 1, "head_dim": 16}, "its num_attention_heads is 1, and the original's 2"),
    ],
)
def test_another_architecture_is_a_sentence(tiny, save, take, change, why):
    path = save(tiny(**change))
    with pytest.raises(ModelError) as refused:
        take()
    assert str(refused.value).startswith(f"The model in {path} was not made from the original: {why}")
    assert str(refused.value).count("\n") == 0


def test_another_vocabulary_is_a_sentence(tiny, save, take, tokenizer):
    save(tiny(), other_words(tokenizer))
    with pytest.raises(ModelError, match=r"not made from the original: in its tokenizer '.*' "):
        take()


def test_a_vocabulary_of_another_size_is_a_sentence(tiny, save, take):
    smaller = word_tokenizer(("few",))
    save(tiny(vocab_size=len(smaller)), smaller)
    with pytest.raises(ModelError, match="not made from the original: its vocab_size is"):
        take()


def test_nan_is_a_sentence(tiny, save, take):
    model = tiny()
    with torch.no_grad():
        model.get_input_embeddings().weight[3] = float("nan")
    path = save(model)
    with pytest.raises(ModelError) as refused:
        take()
    assert str(refused.value).startswith(f"The model in {path} cannot be used: ")
    assert str(refused.value).endswith("of its weights hold NaN or infinity.")


def test_an_adapter_of_another_model_is_a_sentence(tiny, trained, take, tmp_path):
    _, adapter = trained
    adapter.save(tmp_path / "theirs")
    for other in (tiny(num_hidden_layers=1), tiny(intermediate_size=32), tiny("gpt_neox")):
        with pytest.raises(ModelError, match=r"The adapter in .*theirs cannot be used: "):
            take(original=other)


def test_what_changes_no_weights_is_a_sentence(tiny, take, tmp_path):
    peft = pytest.importorskip("peft")
    config = peft.PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
    peft.get_peft_model(tiny(), config).save_pretrained(tmp_path / "theirs")
    with pytest.raises(ModelError, match="changes no weights, so it cannot be merged"):
        take()


def test_weights_that_were_cut_are_a_sentence(tiny, save, take):
    path = save(tiny()) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match="cannot be loaded: "):
        take()


class TestPath:
    def checked(self, path):
        """The settings as a run checks them."""
        selection = select(Registry(), ["checkpoint"], ["none"], ["tofu-mini"])
        return check([("checkpoint.path", path)], selection, Registry())

    def test_a_directory_without_a_model_is_a_sentence(self, tmp_path):
        with pytest.raises(ModelError, match=r"holds neither a model .* nor an adapter"):
            self.checked(str(tmp_path))

    def test_a_file_is_a_sentence(self, tmp_path):
        (tmp_path / "model.gguf").write_text("GGUF")
        with pytest.raises(ModelError, match=r"model\.gguf is a file: give the directory"):
            self.checked(str(tmp_path / "model.gguf"))

    def test_what_is_nowhere_is_a_sentence(self):
        with pytest.raises(ModelError, match="neither a directory nor a hub id that can be fetched"):
            self.checked("some-org/nowhere-to-be-seen")

    def test_none_is_a_sentence_where_it_is_named(self):
        selection = select(Registry(), ["checkpoint"], ["none"], ["tofu-mini"])
        with pytest.raises(ConfigError) as refused:
            check([], selection, Registry())
        assert str(refused.value) == (
            "checkpoint needs checkpoint.path: give it with --set checkpoint.path=VALUE."
        )

    def test_all_has_it_where_its_path_is_set(self):
        names = [entry.name for entry in select_methods(Registry(), ["all"])]
        assert "checkpoint" not in names
        assert "gd" in names
        chosen = select_methods(Registry(), ["all"], {"checkpoint.path": 1})
        assert [entry.name for entry in chosen if entry.name not in names] == ["checkpoint"]
        assert "checkpoint" in [entry.name for entry in select_methods(Registry(), ["all", "checkpoint"])]

    def test_its_content_is_in_the_key_and_its_place_is_not(self, tiny, save, tmp_path):
        path = save(tiny(seed=1))
        first = Checkpoint.Config(path=path).identity()
        (moved := tmp_path / "elsewhere").mkdir()
        path.rename(moved / "theirs")
        assert Checkpoint.Config(path=moved / "theirs").identity() == first
        (moved / "theirs" / "README.md").write_text("said about it")
        assert Checkpoint.Config(path=moved / "theirs").identity() == first
        loading.save(tiny(seed=2), _Nothing(), moved / "theirs2", {})
        (moved / "theirs2" / "model.safetensors").replace(moved / "theirs" / "model.safetensors")
        assert Checkpoint.Config(path=moved / "theirs").identity() != first

    def test_a_hub_id_is_fetched_and_called_by_its_name(self, tiny, save, tmp_path, monkeypatch):
        commit = tmp_path / "models--some-org--some-model" / "snapshots" / "0123abc"
        commit.parent.mkdir(parents=True)
        save(tiny()).rename(commit)
        wanted = []

        def fetch(repo, repo_type, revision, **more):
            wanted.append((repo, repo_type, revision))
            return str(commit)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
        config = Checkpoint.Config(path="some-org/some-model@v2")
        assert wanted == [("some-org/some-model", "model", "v2")]
        assert config.path == commit
        assert '"some-org/some-model@' in config.identity()


class _Nothing:
    """A tokenizer that has no files."""

    def save_pretrained(self, path):
        """Write none."""


def test_one_that_changes_after_the_plan_is_not_taken(tiny, save):
    from harness.runner.plan import spec

    path = save(tiny())
    entry = Registry().method("checkpoint")
    planned = spec(entry, Checkpoint.Config(path=path))
    assert isinstance(planned.make(Registry()), Checkpoint)
    (path / "config.json").write_text((path / "config.json").read_text() + " ")
    with pytest.raises(HarnessError, match="was changed while the run went on"):
        planned.make(Registry())
