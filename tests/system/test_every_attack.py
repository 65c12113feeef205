"""What holds for every attack and each of its variants, on every family of models and kind of tokenizer."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.core.types import Question, Splits
from harness.engine.attacking import run_attack
from harness.engine.protocol import EMBEDDED, Protocol, with_budget
from harness.model import models
from harness.model.tokens import PromptTokenizer
from harness.plugins.registry import Registry
from harness.plugins.settings import resolve_variants

SMALL = {
    "steps": 2,
    "checkpoints": (1,),
    "epochs": 1,
    "learning_rates": (1e-2,),
    "items": 5,
    "samples": 3,
    "n": 2,
    "lora_r": 2,
    "length": 2,
    "candidates": 2,
}
"""Settings that make an attack short, where it has them."""

ATTACKS = {name: entry.load() for name, entry in Registry().attacks.items() if "harness" in entry.owner}
VARIANTS = [(name, label) for name, cls in ATTACKS.items() for label in cls.variants]
TRAINING = {
    *("private-data", "private-data-optimiser", "relearn-paraphrases", "instruction", "relearn-retain"),
    *("overshoot", "rtt", "lora"),
}
ENCODING = TRAINING | {"ablate-direction", "gcg", "soft-prompt"}
"""Attacks that see facts as training texts; the last three leave the weights as they are."""
FAMILIES = {
    "llama": {},
    "gpt2": {},
    "phi3": {},
    "tied": {"tie_word_embeddings": True},
    "chat": {},
}


@pytest.fixture(scope="module")
def splits(toy_splits):
    """The toy facts, with two other wordings of each forget fact but the last."""
    asked = [
        replace(
            fact,
            paraphrases=tuple(
                Question(f"{way} {fact.subject} ?", fact.answer) for way in ("What is it", "Where")
            ),
        )
        for fact in toy_splits["forget"][:-1]
    ]
    return Splits({**toy_splits, "forget": (*asked, toy_splits["forget"][-1])})


def make(name, label):
    """A variant of an attack, made short."""
    cls = ATTACKS[name]
    short = {key: value for key, value in SMALL.items() if key in cls.Config.model_fields}
    if name in TRAINING - {"relearn-retain", "lora"}:
        short.pop("lora_r")  # their definitions train all weights
    return cls(with_budget(cls, cls.Config(**{**cls.variants[label], **short}), EMBEDDED))


def attacked(subject, attack, seed, weights):
    """What it finds; whoever needs the original finds another model there."""
    original = {name: tensor + 0.01 for name, tensor in weights.items()} if attack.needs_original else None
    return run_attack(subject, attack, seed, weights, original)


@pytest.fixture
def subject(make_subject, toy_benchmark, tiny, tokens, make_tokenizer, splits):
    """``subject(family)``: a model of it, under the toy benchmark."""

    def subject(family="llama", given=splits):
        settings = {"initializer_range": 0.05} if family == "gpt2" else {}
        model = tiny({"tied": "llama", "chat": "llama"}.get(family, family), **FAMILIES[family], **settings)
        more = {}
        if family == "chat":
            tokenizer = make_tokenizer()
            tokenizer.chat_template = "{% for m in messages %}Question: {{ m.content }} {% endfor %}Answer:"
            more = {"tokens": PromptTokenizer(tokenizer)}
        return make_subject(toy_benchmark(), model, splits=given, **more)

    return subject


def values(outcome):
    return [(s.fact_id, s.metric, s.value) for s in outcome.samples], outcome.notes


def random_state():
    return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("name", "label"), VARIANTS)
def test_an_attack_repeats_itself_and_leaves_a_plain_model_and_the_global_random_state(
    name, label, family, subject
):
    given = subject(family)
    weights = models.snapshot(given.model)
    untouched, state = models.weights_fingerprint(given.model), random_state()
    first = attacked(given, make(name, label), 0, weights)
    models.restore(given.model, weights)
    assert models.weights_fingerprint(given.model) == untouched
    assert list(given.model.state_dict()) == list(weights)
    assert all(parameter.requires_grad for parameter in given.model.parameters())
    assert random_state() == state
    random.random(), torch.rand(1), np.random.rand()  # what others draw does not matter
    again = attacked(given, make(name, label), 0, weights)
    assert values(first) == values(again)
    assert first.samples
    assert all(np.isfinite(sample.value) for sample in first.samples)


def test_the_order_of_attacks_does_not_matter(subject):
    """From the same snapshot, every attack finds what it finds alone."""
    found = []
    for order in (VARIANTS, VARIANTS[::-1]):
        given = subject()
        weights = models.snapshot(given.model)
        outcomes = {}
        for name, label in order:
            outcomes[name, label] = values(attacked(given, make(name, label), 1, weights))
            models.restore(given.model, weights)
        found.append(outcomes)
    assert found[0] == found[1]


class Guarded(Splits):
    """Splits of which only the forget facts may be read, by the engine, which scores them."""

    handed: frozenset[str] | None = None

    def __getitem__(self, name):
        assert name == "forget", f"the split '{name}' was read"
        return super().__getitem__(name)

    def only(self, names):
        self.handed = names
        return Splits({name: super(Guarded, self).__getitem__(name) for name in names})


@pytest.mark.parametrize(("name", "label"), VARIANTS)
def test_an_attack_is_handed_what_it_declares_and_trains_on_nothing_else(name, label, subject, splits):
    given = subject(given=Guarded(splits))
    trained = []
    encode = given.encode
    given.encode = lambda facts, answer=None: trained.extend(facts) or encode(facts, answer)
    attack = make(name, label)
    outcome = attacked(given, attack, 0, models.snapshot(given.model))
    assert given.splits.handed == attack.reads <= ATTACKS[name].reads
    assert {fact.id.split("-")[0] for fact in trained} == (attack.reads if name in ENCODING else set())
    assert not {fact.id for fact in trained} & {sample.fact_id for sample in outcome.samples}
    assert outcome.notes["n_scored"] == len({sample.fact_id for sample in outcome.samples}) >= 2
    assert (outcome.cost.steps > 0) == (name in TRAINING)


@pytest.mark.parametrize(
    ("name", "label", "reads"),
    [
        ("private-data", "p=0.1", {"forget"}),
        ("private-data-optimiser", "sgd", {"forget"}),
        ("relearn-paraphrases", "", {"forget"}),
        ("overshoot", "", {"retain"}),
        ("nf4", "", set()),
        ("ablate-direction", "", {"forget"}),
        ("gcg", "", {"forget"}),
        ("soft-prompt", "", {"forget"}),
        ("instruction", "", {"instruct"}),
        ("relearn-retain", "", {"retain"}),
        ("rtt", "", {"forget"}),
        ("lora", "", {"forget"}),
        ("quantize", "bits=4", set()),
        ("prune", "fraction=0.1", set()),
        ("noise", "std=0.05", set()),
        ("prompt", "prefix", set()),
        ("prompt", "in-context", {"retain"}),
        ("prompt", "paraphrase", set()),
        ("sample", "", set()),
    ],
)
def test_what_an_attack_reads(name, label, reads):
    assert make(name, label).reads == reads


@pytest.mark.parametrize("name", sorted(TRAINING))
def test_open_rates_are_the_published_ones_scaled_for_the_weights_that_train(name):
    cls = ATTACKS[name]
    published = Protocol((), 1, 1, None, attack_lr_scale=1.0)
    for _, config in resolve_variants(cls, {}):
        if config.learning_rates:
            continue  # a variant whose rates are those of any size
        assert with_budget(cls, config, published).learning_rates == pytest.approx(cls.rates)
        scale = 20 if config.lora_r else 100
        expected = [rate * scale for rate in cls.rates]
        assert with_budget(cls, config, EMBEDDED).learning_rates == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - ENCODING))
def test_an_attack_that_does_not_train_has_no_settings_of_training(name):
    assert not {"learning_rates", "steps", "epochs", "batch_size"} & set(ATTACKS[name].Config.model_fields)
