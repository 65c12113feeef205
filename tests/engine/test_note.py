"""A trained target is what its note says, or it is not used: one sentence names the directory."""

from __future__ import annotations

import json
import shutil
from functools import partial

import pytest

from harness.core.types import Cost
from harness.engine import note
from harness.engine.unlearning import UnlearningJob
from harness.errors import HarnessError, ModelError
from harness.model import loading, models


@pytest.fixture
def make(tiny, tokenizer, tmp_path):
    """``make(seed)``: the directory of a target that was trained from this seed, with its note."""

    def made(seed=0):
        place, model = tmp_path / f"target-{seed}", tiny(seed=seed)
        noted = partial(note.note, key=place.name, role="retrain", model=model, cost=Cost())
        loading.save(model, tokenizer, place, {note.DONE: noted})
        return place

    return made


def cut(name):
    def damage(place, other):
        (place / name).write_bytes((place / name).read_bytes()[:-20])

    return damage


def swap(name):
    def damage(place, other):
        shutil.copy(other / name, place / name)

    return damage


def write(name, text):
    def damage(place, other):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)

    return damage


def everything(place, other):
    """Another target under this one's name."""
    shutil.rmtree(place)
    shutil.copytree(other, place)


def settings(place, other):
    """Another model of the same shapes, from the same weights."""
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))


DAMAGES = {
    "no note": (lambda place, other: (place / note.DONE).unlink(), "harness.json is missing or damaged"),
    "an empty note": (write(note.DONE, ""), "harness.json is missing or damaged"),
    "a note that was cut": (cut(note.DONE), "harness.json is missing or damaged"),
    "a note that is no text": (write(note.DONE, "\x00\x01"), "harness.json is missing or damaged"),
    "a note that nests too deep": (write(note.DONE, "[" * 100_000), "harness.json is missing or damaged"),
    "a note that is a list": (write(note.DONE, "[]"), "harness.json is missing or damaged"),
    "a note without weights": (
        write(note.DONE, '{"key": "k", "files": {}}'),
        "harness.json is missing or damaged",
    ),
    "a note of numbers": (
        write(note.DONE, '{"key": "k", "weights": 1, "files": 2}'),
        "harness.json is damaged",
    ),
    "another's note": (swap(note.DONE), "it is another model"),
    "another target, whole": (everything, "it is another model"),
    "a config that was cut": (cut("config.json"), "config.json is another"),
    "other settings": (settings, "config.json is another"),
    "weights that were cut": (cut("model.safetensors"), "model.safetensors is another"),
    "another's weights": (swap("model.safetensors"), "model.safetensors is another"),
    "another tokenizer": (write("tokenizer.json", "{}"), "tokenizer.json is another"),
    "a chat template": (write("chat_template.jinja", "{{ messages }}"), "chat_template.jinja is another"),
    "one more template": (
        write("additional_chat_templates/x.jinja", "x"),
        "additional_chat_templates/x.jinja is another",
    ),
}


def sentence(place, why):
    return f"The model in {place} is not what was made there: {why}. Delete that directory and run again."


def test_what_was_trained_passes_and_gives_its_weights(make):
    place = make()
    model, _ = loading.load(place)
    assert note.check(place) == note.check(place, model) == models.weights_fingerprint(model)


def test_a_file_that_decides_nothing_may_lie_there(make):
    place = make()
    (place / "README.md").write_text("mine")
    assert note.check(place)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_target_is_one_sentence(make, damage):
    place, (do, why) = make(), DAMAGES[damage]
    do(place, make(1))
    with pytest.raises(ModelError) as caught:
        note.check(place)
    assert str(caught.value) == sentence(place, why)


def test_the_weights_in_memory_are_what_counts(make):
    """Whatever was read meanwhile: files that are right again prove nothing about a model that is loaded."""
    place, (model, _) = make(), loading.load(make(1))
    with pytest.raises(ModelError) as caught:
        note.check(place, model)
    assert str(caught.value) == sentence(place, "its weights are others")


@pytest.mark.parametrize("damage", ["another's note", "other settings", "another's weights", "no note"])
def test_a_twin_is_held_against_its_note_when_a_method_takes_it(make, make_subject, toy_benchmark, damage):
    place = make()
    DAMAGES[damage][0](place, make(1))
    job = UnlearningJob(make_subject(toy_benchmark(), retrain=place), config=None, seed=0)
    before = models.weights_fingerprint(job.model)
    with pytest.raises(HarnessError, match="is not what was made there"):
        job.load_retrained()
    assert models.weights_fingerprint(job.model) == before


def test_a_twin_that_is_whole_is_taken(make, make_subject, toy_benchmark):
    place = make(1)
    job = UnlearningJob(make_subject(toy_benchmark(), retrain=place), config=None, seed=0)
    job.load_retrained()
    assert models.weights_fingerprint(job.model) == note.check(place)
