"""A kept model is, bit by bit, the one that was unlearned, with all that was said of it."""

from __future__ import annotations

import math
import threading

import pytest
import torch

from harness.core.types import Cost, Metric
from harness.engine import keeping
from harness.engine.keeping import KeptModel, Standing
from harness.engine.source import Source
from harness.engine.targets import Recipe
from harness.engine.unlearning import UnlearningJob
from harness.errors import ModelError
from harness.model import loading, models
from harness.model.lora import adapters
from harness.store import claims

ACCOUNT = KeptModel(
    benchmark="toy",
    method="gd",
    settings={"epochs": 3, "learning_rates": [1e-5, 0.1]},
    seed=1,
    model="tiny",
    dtype="float32",
    engine="e",
    siblings="s",
    seconds=1 / 3,
    standing=Standing(True, 0.1 + 0.2, 1),
    notes={"forgotten": True, "learning_rate": 1e-5, "threshold": None, "words": ["a", "\u00e9"]},
    metrics=(Metric("forget", "p", math.pi, step=3, learning_rate=0.1), Metric("forget", "lp", -math.inf)),
    cost=Cost(0.1, 7, 130, 12.5),
)


@pytest.fixture
def begin(tiny, make_subject, toy_benchmark):
    """A job that has just begun, with the original."""
    return lambda **fields: UnlearningJob(make_subject(toy_benchmark(), tiny()), None, 0, **fields)


@pytest.fixture
def place(tmp_path):
    return keeping.kept_path(tmp_path, "0123")


def kept(begin, place, adapter=False, moved=False):
    """The fingerprint of a model that is kept there: trained as a whole, or by adapters, and moved then."""
    job = begin(keeps_adapter=adapter)

    def keep_adapter(trained):
        job.adapter = trained

    if adapter:
        with adapters(job.model, 2, 4, 0, keep_adapter) as parameters, torch.no_grad():
            for parameter in parameters:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    if moved or not adapter:
        with torch.no_grad():
            next(job.model.parameters()).add_(0.25)
    keeping.keep(job, place, ACCOUNT)
    return models.weights_fingerprint(job.model)


@pytest.mark.parametrize(
    ("adapter", "moved", "files"),
    [
        (False, False, {"model.safetensors", "config.json"}),
        (True, False, {"adapter_model.safetensors", "adapter_config.json"}),
        # What is more than the adapter is kept whole.
        (True, True, {"model.safetensors", "config.json"}),
    ],
)
def test_what_is_kept_is_what_comes_back(begin, place, adapter, moved, files):
    if adapter:
        pytest.importorskip("peft")
    weights = kept(begin, place, adapter, moved)
    there = {path.name for path in place.iterdir()}
    assert files <= there
    assert ("model.safetensors" in there) != ("adapter_model.safetensors" in there)
    job = begin()
    original = models.weights_fingerprint(job.model)
    assert keeping.restore(job, place) == ACCOUNT
    assert models.weights_fingerprint(job.model) == weights != original
    assert models.fingerprint(job.original) == original
    assert (job.notes, job.metrics, job.cost) == (ACCOUNT.notes, [*ACCOUNT.metrics], ACCOUNT.cost)
    assert dict(keeping.kept(place.parent.parent)) == {place: ACCOUNT}


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("damage", ["weights", "account", "name", "all"])
def test_of_what_is_damaged_nothing_is_taken(begin, place, adapter, damage):
    if adapter:
        pytest.importorskip("peft")
    kept(begin, place, adapter)
    [file] = place.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    if damage == "weights":
        file.write_bytes(content)
    elif damage == "account":
        path = place / keeping.ACCOUNT
        path.write_text(path.read_text().replace("1e-05", "2e-05"))
    elif damage == "name":
        place = place.rename(place.with_name("4567"))
    else:
        for path in place.iterdir():
            path.write_text("")
    job = begin()
    before = models.weights_fingerprint(job.model)
    with pytest.raises(ModelError):
        keeping.restore(job, place)
    assert models.weights_fingerprint(job.model) == before
    assert (job.notes, job.metrics, job.cost) == ({}, [], Cost())


def test_the_best_has_forgotten_and_kept_the_most_and_is_the_first():
    order = [
        Standing(True, 0.9, 0),
        Standing(True, 0.9, 1),
        Standing(True, 0.8, 0),
        Standing(True, None, 0),
        Standing(False, 1.0, 0),
    ]
    shuffled = [order[i] for i in (4, 2, 0, 3, 1)]
    assert sorted(shuffled, key=lambda standing: standing.order, reverse=True) == order


def test_what_it_will_take_is_what_it_takes(tiny, tokenizer, begin, place, tmp_path):
    pytest.importorskip("peft")
    loading.save(tiny(), tokenizer, tmp_path / "model", {})
    source = Source(str(tmp_path / "model")).planned()
    for adapter, rank in ((False, None), (True, 2)):
        kept(begin, place, adapter)
        [file] = place.glob("*.safetensors")
        expected = keeping.expected_bytes(Recipe(source, None, "original"), "float32", rank)
        assert 0 <= file.stat().st_size - expected < 8000  # the names of the weights
        keeping.discard(place)
        assert not place.exists()
    assert keeping.expected_bytes(Recipe(source, None, "original"), "bfloat16") * 2 == (
        keeping.expected_bytes(Recipe(source, None, "original"), "float32")
    )


def test_only_one_at_a_time_chooses_the_best(tmp_path):
    inside, most = [], []

    def choose():
        with claims.held(tmp_path / "claims" / "best", again=0.001):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=choose) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8
    assert not (tmp_path / "claims").exists()
