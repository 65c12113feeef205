"""A model of any family is loaded from disk, and what cannot be loaded is one sentence."""

from __future__ import annotations

import json

import pytest
import torch

from harness.core.types import Example, Prompt
from harness.errors import ModelError
from harness.model import loading
from harness.model.files import files_of
from harness.model.loading import load
from harness.model.losses import cross_entropy
from harness.model.models import blocks, linear_modules, snapshot, weights_fingerprint
from harness.model.steps import forget_steps
from harness.model.tokens import PromptTokenizer
from harness.model.train import train
from support.families import LINEAR


def gd(model, batch):
    return -cross_entropy(model, batch.forget) + cross_entropy(model, batch.retain)


def encoded(tokens, facts):
    return tokens.examples([Example(Prompt(fact.question), fact.answer) for fact in facts])


@pytest.mark.parametrize("family", LINEAR)
def test_a_saved_model_comes_back_with_its_weights_its_words_and_its_parts(family, saved, tiny, tokenizer):
    model, words = load(saved(family))
    assert words.get_vocab() == tokenizer.get_vocab()
    assert words.eos_token_id == tokenizer.eos_token_id
    assert weights_fingerprint(model) == weights_fingerprint(tiny(family, num_hidden_layers=3))
    assert not model.training
    assert len(blocks(model)) == 3
    for block in blocks(model):
        assert set(linear_modules(block)) == LINEAR[family]


@pytest.mark.parametrize("family", LINEAR)
def test_one_step_of_gradient_difference_changes_every_layer_and_stays_finite(family, saved, toy_splits):
    model, tokenizer = load(saved(family))
    tokens = PromptTokenizer(tokenizer)
    before = snapshot(model)
    losses = []

    def loss(model, batch):
        value = gd(model, batch)
        losses.append(value.item())
        return value

    steps = forget_steps(
        tokens, encoded(tokens, toy_splits["forget"]), encoded(tokens, toy_splits["retain"]), 4, 2, seed=0
    )
    cost = train(model, steps, loss, [torch.optim.AdamW(model.parameters(), lr=1e-3)])
    assert cost.steps == 2
    assert all(map(torch.isfinite, map(torch.tensor, losses)))
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    names = dict(model.named_parameters())
    inside = [name for name in names if any(f".{i}." in name for i in range(3)) and name.endswith("weight")]
    assert inside
    assert [name for name in inside if torch.equal(names[name], before[name])] == []


def test_a_directory_without_config_is_no_model(tmp_path):
    with pytest.raises(ModelError, match=r"is not a model directory: it has no config\.json"):
        load(tmp_path)


def test_a_model_without_tokenizer_says_how_to_save_one(tiny, tmp_path):
    tiny().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"has no tokenizer .*save_pretrained"):
        load(tmp_path)


def test_an_adapter_is_not_taken_for_the_model_that_it_names(own, saved):
    base = json.dumps({"base_model_name_or_path": str(saved("llama")), "peft_type": "LORA"})
    (own / "adapter_config.json").write_text(base)
    with pytest.raises(ModelError, match=r"holds an adapter of another model .* merge_and_unload"):
        load(own)


@pytest.fixture
def own(tiny, tokenizer, tmp_path):
    """A saved model that the test may spoil."""
    loading.save(tiny(), tokenizer, tmp_path / "model", {})
    return tmp_path / "model"


def test_weights_that_were_cut_off_are_an_error_of_the_model(own):
    [file] = own.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load(own)
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_weights_are_an_error_of_the_model(own):
    [file] = own.glob("*.safetensors")
    file.write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(own)


def test_a_directory_without_weights_is_an_error_of_the_model(own):
    [file] = own.glob("*.safetensors")
    file.unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(own)


@pytest.mark.parametrize("change", [{"num_hidden_layers": 3}, {"intermediate_size": 32}])
def test_weights_that_do_not_fit_the_configuration_are_never_made_up(own, change):
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=r"weights .* are missing or have another shape, 'model.layers"):
        load(own)


def test_a_configuration_that_is_no_json_is_an_error_of_the_model(own):
    (own / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(own)


def test_a_tokenizer_file_that_is_broken_is_an_error_of_the_model(own):
    (own / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(own)


def test_saving_leaves_no_half_directory_when_it_fails(tiny, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(
        type(tokenizer), "save_pretrained", lambda self, place: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        loading.save(tiny(), tokenizer, tmp_path / "model", {})
    assert list(tmp_path.iterdir()) == []


def test_the_files_that_decide_are_those_of_weights_configuration_and_tokenizer(own):
    (own / "README.md").write_text("no matter")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= files_of(own).keys()
    assert "README.md" not in files_of(own)
