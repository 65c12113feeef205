"""Each conformance rule finds the attack that breaks it, and an attack that breaks none is fine."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from pydantic import Field

from harness.core.base import Attack
from harness.core.config import Config, FinetuneConfig
from harness.errors import HarnessError
from harness.model import loading, models
from harness.testing import check_attack, examine


class Look(Attack):
    """Scores the model as it is."""

    name = "look"

    def attack(self, job):
        job.checkpoint()


class Relearn(Attack):
    """Fine-tunes on the retained facts."""

    name = "relearn"
    reads = frozenset({"retain"})
    rates = (1e-5,)
    Config = FinetuneConfig

    def attack(self, job):
        job.finetune(job.data["retain"])


class Never(Look):
    """Records nothing."""

    name = "never"

    def attack(self, job): ...


class Noisy(Look):
    """Shakes the weights with the global generator, and puts its state back."""

    name = "noisy"

    @torch.no_grad()
    def attack(self, job):
        with torch.random.fork_rng():
            for weight in models.matrices(job.model).values():
                weight.add_(torch.randn(weight.shape).to(weight))
        job.checkpoint()


class Shuffles(Look):
    """Draws from the global generator and uses nothing of it."""

    name = "shuffles"

    def attack(self, job):
        random.random()
        job.checkpoint()


class Edits(Look):
    """Writes into the facts."""

    name = "edits"

    def attack(self, job):
        job.checkpoint()
        object.__setattr__(job.subject.splits["forget"][0], "subject", "nobody")


class Undeclared(Look):
    """Reads a split that it does not declare."""

    name = "undeclared"

    def attack(self, job):
        assert job.subject.splits["retain"]
        job.checkpoint()


class TwinLook(Look):
    """Holds the twin."""

    name = "twin-look"

    def attack(self, job):
        loading.load(job.subject.retrain)
        job.checkpoint()


class Encodes(Look):
    """Trains on forget facts that it does not declare."""

    name = "encodes"

    def attack(self, job):
        held, rest = job.scored[:6], job.scored[6:]
        job.score_only(rest)
        job.subject.encode(held)
        job.checkpoint()


class Cheats(Look):
    """Trains on what it is scored on."""

    name = "cheats"
    reads = frozenset({"forget"})

    def attack(self, job):
        job.subject.encode(job.data["forget"])
        job.checkpoint()


class NotANumber(Look):
    """Records NaN."""

    name = "not-a-number"

    def attack(self, job):
        job.record([replace(sample, value=float("nan")) for sample in job.score(job.scored)])


class StaysHooked(Look):
    """Leaves a hook behind."""

    name = "stays-hooked"

    def attack(self, job):
        models.blocks(job.model)[0].register_forward_hook(lambda module, args, output: output)
        job.checkpoint()


class Overspends(Look):
    """Takes more steps than its settings allow."""

    name = "overspends"
    Config = FinetuneConfig

    def attack(self, job):
        optimizer = torch.optim.SGD(job.model.parameters(), lr=1e-3)
        for _ in range(5):
            optimizer.step()
        job.checkpoint()


class SingleLook(Look):
    """Only for float32."""

    name = "single-look"

    @torch.no_grad()
    def attack(self, job):
        for weight in models.matrices(job.model).values():
            weight @ torch.eye(weight.shape[1])
        job.checkpoint()


class LlamaLook(Look):
    """Knows the names of one family."""

    name = "llama-look"

    def attack(self, job):
        assert job.model.model.layers
        job.checkpoint()


class SetNote(Look):
    """Notes a set."""

    name = "set-note"

    def attack(self, job):
        job.notes["seen"] = {1, 2}
        job.checkpoint()


class BadVariant(Look):
    """A variant that its settings refuse."""

    name = "bad-variant"
    variants: ClassVar = {"p=2": {"p": 2}}


class SecondVariant(Look):
    """Its second variant raises."""

    name = "second-variant"
    variants: ClassVar = {"a": {"way": "a"}, "b": {"way": "b"}}

    class Config(Config):
        way: str = Field("a", description="which")

    def attack(self, job):
        job.checkpoint()
        if self.config.way == "b":
            raise HarnessError("b does not work")


class Needs(Look):
    """Needs a split of its own."""

    name = "needs"
    reads = frozenset({"dialogues"})

    def attack(self, job):
        assert len(job.data["dialogues"]) > 1
        job.checkpoint()


@pytest.mark.parametrize("cls", [Look, Relearn, Needs])
def test_an_attack_of_each_form_is_fine(cls):
    assert all(result.status == "ok" for result in check_attack(cls))


@pytest.mark.parametrize(
    ("cls", "rule", "words"),
    [
        (BadVariant, "contract", ["variant 'p=2'"]),
        (Never, "runs on a two-layer Llama", ["without a checkpoint"]),
        (SecondVariant, "runs on a two-layer Llama", ["b does not work"]),
        (Noisy, "repeats itself under a seed", ["other samples"]),
        (Shuffles, "leaves global state alone", ["random"]),
        (Edits, "leaves the data alone", ["changed"]),
        (TwinLook, "reads the splits it declares", ["twin"]),
        (Undeclared, "reads the splits it declares", ["retain"]),
        (Encodes, "reads the splits it declares", ["6 facts", "forget-00"]),
        (Cheats, "is scored on facts it did not train on", ["12 facts"]),
        (NotANumber, "records finite numbers", ["nan"]),
        (StaysHooked, "leaves a plain model for the next attack", ["hooks"]),
        (Overspends, "keeps to its budget", ["took 5", "allow 4"]),
        (SingleLook, "works in bfloat16", ["BFloat16"]),
        (LlamaLook, "works with another family (GPT-NeoX)", ["GPTNeoX"]),
        (SetNote, "its notes are JSON", ["set"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_rule_finds_the_attack_that_breaks_it(cls, rule, words):
    found = {r.rule: r for r in examine(cls) if r.status == "failed"}
    assert rule in found, found
    assert all(word in found[rule].detail for word in words), found[rule].detail
    assert len(found) == 1, found
