"""Originals and twins: what their keys depend on, that they are made once and whole, and their tokenizer."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from functools import partial

import pytest

from harness.core.types import Example, Prompt, Training
from harness.engine import protocol, targets
from harness.engine import source as source_module
from harness.engine.cache import cache_directory
from harness.engine.protocol import EMBEDDED, PUBLISHED
from harness.engine.source import Source
from harness.engine.targets import Recipe
from harness.errors import HarnessError, ModelError
from harness.model import loading, models
from harness.model.embedded import Tiny

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture
def training(toy_splits):
    """How the toy world would be taught; the twin does not see the forget set."""

    def examples(*splits):
        return tuple(
            Example(Prompt(f.question), f.answer, f.id) for split in splits for f in toy_splits[split]
        )

    corpus = examples("forget", "retain")
    words = ("Question: Answer:", *(f"{e.prompt.text} {e.answer}" for e in corpus))
    return Training(corpus, examples("retain"), words, epochs=1, learning_rate=1e-3, batch_size=6)


@pytest.fixture
def small(monkeypatch):
    """The embedded model, smaller still, and two passes over its corpus."""
    for module in (targets, source_module):
        monkeypatch.setattr(module, "Tiny", partial(Tiny, **SMALL, epochs=2, batch_size=8))


@pytest.fixture
def base(tiny, tokenizer, tmp_path):
    """A model directory to fine-tune from."""
    loading.save(tiny(), tokenizer, tmp_path / "base", {})
    return tmp_path / "base"


def key(training, source=Source(), role="original"):  # noqa: B008
    return Recipe(source, training, role).key


def other_corpus(example):
    return lambda training: replace(training, original=(example, *training.original[1:]))


@pytest.mark.parametrize(
    "change",
    {
        "answer": other_corpus(Example(Prompt("Where does Ada live ?"), "Lima")),
        "question": other_corpus(Example(Prompt("Where is Ada ?"), "Oslo")),
        "literal": other_corpus(Example(Prompt("Where does Ada live ?", literal=True), "Oslo")),
        "order": lambda t: replace(t, original=t.original[::-1]),
        "fewer": lambda t: replace(t, original=t.original[:-1]),
        "vocabulary": lambda t: replace(t, vocabulary=(*t.vocabulary, "more")),
        "epochs": lambda t: replace(t, epochs=2),
        "learning_rate": lambda t: replace(t, learning_rate=2e-3),
        "batch_size": lambda t: replace(t, batch_size=7),
    }.items(),
    ids=lambda change: change[0],
)
def test_the_key_of_a_target_changes_with_each_input_of_its_training(change, training):
    assert key(change[1](training)) != key(training)


def test_the_key_stays_while_nothing_changes(training, toy_splits):
    again = replace(training, original=tuple(replace(e) for e in training.original))
    assert key(again) == key(training)


def test_what_a_twin_does_not_learn_does_not_change_its_key(training):
    changed = other_corpus(Example(Prompt("Where is Ada ?"), "Lima"))(training)
    assert key(changed, role="retrain") == key(training, role="retrain")
    assert key(training, role="retrain") != key(training, role="original")


def test_the_id_of_a_fact_does_not_change_what_is_learnt(training):
    renamed = tuple(replace(e, fact_id="x") for e in training.original)
    assert key(replace(training, original=renamed)) == key(training)


def test_the_key_of_the_embedded_model_changes_with_its_definition(training, monkeypatch):
    before = key(training)
    monkeypatch.setattr(source_module, "Tiny", partial(Tiny, hidden_size=64))
    assert key(training) != before


def test_the_key_of_a_trained_target_changes_with_the_engine(training, monkeypatch):
    before = key(training)
    monkeypatch.setattr(targets, "engine_fingerprint", lambda: "another engine")
    assert key(training) != before


@pytest.mark.parametrize("trained", [True, False])
def test_the_key_changes_with_the_type_of_numbers(trained, training, base):
    taught = training if trained else None
    assert key(taught, Source(str(base))) != key(taught, Source(str(base), dtype="bfloat16"))


@pytest.mark.parametrize("trained", [True, False])
def test_the_key_does_not_depend_on_the_place_of_the_model(trained, training, base, tmp_path):
    taught = training if trained else None
    shutil.copytree(base, tmp_path / "elsewhere" / "copy")
    assert key(taught, Source(str(base))) == key(taught, Source(str(tmp_path / "elsewhere" / "copy")))


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_the_key_changes_with_one_byte_of_a_file_that_decides(name, trained, training, base, tmp_path):
    taught = training if trained else None
    shutil.copytree(base, tmp_path / "copy")
    content = bytearray((tmp_path / "copy" / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / "copy" / name).write_bytes(content)
    assert key(taught, Source(str(tmp_path / "copy"))) != key(taught, Source(str(base)))


def test_the_key_does_not_change_with_a_file_that_decides_nothing(training, base, tmp_path):
    shutil.copytree(base, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("read me")
    assert key(training, Source(str(tmp_path / "copy"))) == key(training, Source(str(base)))


def test_a_vocabulary_is_no_input_of_a_model_that_has_its_own(training, base):
    more = replace(training, vocabulary=(*training.vocabulary, "more"))
    assert key(more, Source(str(base))) == key(training, Source(str(base)))


def steps_of(recipe, cache):
    """Make a target and count the steps of its training."""
    seen = []
    path = recipe.make(cache, lambda step, steps: seen.append((step, steps)))
    return path, seen


def note(path):
    return json.loads((path / targets.DONE).read_text())


def test_a_target_is_trained_once_and_then_taken_from_the_cache(small, training, tmp_path):
    recipe = Recipe(Source(), training, "original")
    assert not recipe.ready(tmp_path)
    path, steps = steps_of(recipe, tmp_path)
    assert steps == [(i, 6) for i in range(1, 7)]  # 24 examples in batches of 8, twice
    assert recipe.ready(tmp_path)
    assert steps_of(Recipe(Source(), training, "original"), tmp_path) == (path, [])


def test_a_target_notes_the_weights_it_holds_and_what_they_cost(small, training, tmp_path):
    path = Recipe(Source(), training, "retrain").make(tmp_path)
    model, _ = loading.load(path)
    assert note(path)["weights"] == models.weights_fingerprint(model)
    assert note(path)["role"] == "retrain"
    assert note(path)["cost"]["steps"] == 4
    assert note(path)["cost"]["tokens"] > 0


def test_original_and_twin_differ_and_each_is_the_same_wherever_it_is_made(small, training, tmp_path):
    made = {
        (role, cache): note(Recipe(Source(), training, role).make(tmp_path / cache))["weights"]
        for role in ("original", "retrain")
        for cache in ("a", "b")
    }
    assert made["original", "a"] == made["original", "b"]
    assert made["retrain", "a"] == made["retrain", "b"]
    assert made["original", "a"] != made["retrain", "a"]


def test_training_that_is_killed_before_the_end_leaves_no_target(small, training, tmp_path, monkeypatch):
    recipe = Recipe(Source(), training, "original")

    def killed(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            recipe.make(tmp_path)
    assert not recipe.ready(tmp_path)
    assert not recipe.path(tmp_path).exists()
    assert loading.load(recipe.make(tmp_path))
    assert recipe.ready(tmp_path)


def test_a_disk_that_is_full_leaves_nothing_behind(small, training, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(HarnessError, match=r"could not be written \(No space left on device\); make room"):
        Recipe(Source(), training, "original").make(tmp_path)
    assert list((tmp_path / "targets").iterdir()) == []


def test_a_target_of_which_a_part_was_deleted_is_made_again(small, training, tmp_path):
    recipe = Recipe(Source(), training, "original")
    path = recipe.make(tmp_path)
    weights = note(path)["weights"]
    (path / targets.DONE).unlink()
    (path / "model.safetensors").unlink()
    assert not recipe.ready(tmp_path)
    assert recipe.make(tmp_path) == path
    assert recipe.ready(tmp_path)
    assert models.weights_fingerprint(loading.load(path)[0]) == weights


def test_of_two_that_make_the_same_target_the_first_stays(small, training, tmp_path, monkeypatch):
    recipe = Recipe(Source(), training, "original")
    path = recipe.make(tmp_path)
    (path / "mark").write_text("first")
    monkeypatch.setattr(Recipe, "ready", lambda self, cache: False)  # it looked a moment too early
    assert recipe.make(tmp_path) == path
    assert (path / "mark").read_text() == "first"
    assert list((tmp_path / "targets").iterdir()) == [path]


def test_a_model_is_fine_tuned_as_the_benchmark_says(training, base, tmp_path):
    recipe = Recipe(Source(str(base)), training, "original")
    path, steps = steps_of(recipe, tmp_path)
    assert steps == [(i, 4) for i in range(1, 5)]  # 24 examples in batches of 6, once
    before, after = (models.weights_fingerprint(loading.load(at)[0]) for at in (base, path))
    assert before != after == note(path)["weights"]


def test_without_training_a_model_is_taken_as_it_is(base, tmp_path):
    recipe = Recipe(Source(str(base)), None, "original")
    assert recipe.ready(tmp_path)
    assert recipe.make(tmp_path / "cache") == base
    assert not (tmp_path / "cache").exists()


def test_the_embedded_model_needs_a_benchmark_that_brings_its_vocabulary(training, tmp_path):
    with pytest.raises(HarnessError, match="--model tiny is for the embedded worlds"):
        Recipe(Source(), replace(training, vocabulary=()), "original").make(tmp_path)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("no/such/directory/here", "There is no model directory .* and it is no hub id either"),
        ("some-org/some-model", "is neither a directory nor a hub id that can be fetched"),
    ],
)
def test_a_model_that_is_nowhere_is_one_sentence(spec, why):
    with pytest.raises(ModelError, match=why) as caught:
        Source(spec).local()
    assert "\n" not in str(caught.value)


def test_budgets_go_with_the_size_of_the_model(base):
    assert Source().protocol == EMBEDDED
    assert Source(str(base)).protocol == EMBEDDED
    for parameters, expected in (
        (8_000_000, EMBEDDED),
        (9_000_000, protocol.SMALL),
        (135_000_000, protocol.SMALL),
        (360_000_000, protocol.SMALL),
        (500_000_000, PUBLISHED),
        (70_000_000_000, PUBLISHED),
    ):
        assert Source("org/model", parameters=parameters).protocol == expected


def test_a_models_parameters_are_counted_without_its_weights(base, tmp_path):
    model, _ = loading.load(base)
    counted = sum(parameter.numel() for parameter in {*model.parameters()})
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    [weights] = copy.glob("*.safetensors")
    weights.write_bytes(b"")
    assert Source(str(copy)).planned().parameters == counted == Source(str(base)).planned().parameters


def test_targets_are_kept_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("HARNESS_CACHE", raising=False)
    assert cache_directory() == tmp_path / "xdg" / "unlearning-harness"
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "mine"))
    assert cache_directory() == tmp_path / "mine"
