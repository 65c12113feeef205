"""Each conformance rule finds the method that breaks it, and a method that breaks none is fine."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from pydantic import BaseModel, Field

from harness.core.base import Method
from harness.core.config import Config, MethodConfig
from harness.model import models
from harness.model.losses import cross_entropy, nll
from harness.testing import ConformanceError, check_attack, check_benchmark, check_method, examine


class Fine(Method):
    """Gradient ascent."""

    name = "fine"

    def loss(self, model, batch):
        return -cross_entropy(model, batch.forget)


class Halved(Method):
    """Halves every weight, without a step."""

    name = "halved"
    Config = Config

    @torch.no_grad()
    def unlearn(self, job):
        for parameter in job.model.parameters():
            parameter.mul_(0.5)


def steps(job, count):
    """So many steps by hand."""
    optimizer = torch.optim.SGD(job.model.parameters(), lr=1e-3)
    texts = next(iter(job.tokens.runs(job.subject.encode(job.forget), 12, torch.device("cpu"))))
    for _ in range(count):
        optimizer.zero_grad()
        (-cross_entropy(job.model, texts)).backward()
        optimizer.step()
    optimizer.zero_grad()


class ByHand(Method):
    """Trains by hand for one budget and never looks, as a task vector does."""

    name = "by-hand"

    def unlearn(self, job):
        steps(job, 8)


class Silent(Fine):
    name = "silent"


class Unnamed(Fine):
    """A name with a space."""

    name = "un named"


class Idle(Method):
    """Does nothing about anything."""

    name = "idle"


class Undescribed(Fine):
    """A setting nobody explains."""

    name = "undescribed"

    class Config(MethodConfig):
        beta: float = 0.5


class Required(Fine):
    """A setting without a default."""

    name = "required"

    class Config(MethodConfig):
        beta: float = Field(description="has none")


class Opaque(Fine):
    """A setting that JSON cannot say."""

    name = "opaque"

    class Config(MethodConfig, arbitrary_types_allowed=True):
        tensor: torch.Tensor = Field(torch.zeros(1), description="a tensor")


class Raises(Fine):
    """Raises."""

    name = "raises"

    def loss(self, model, batch):
        raise KeyError("nothing there")


class Random(Halved):
    """Draws from the global generator, and puts its state back."""

    name = "random"

    @torch.no_grad()
    def unlearn(self, job):
        with torch.random.fork_rng():
            for parameter in job.model.parameters():
                parameter.add_(torch.randn(parameter.shape).to(parameter))


class Reseeds(Halved):
    """Seeds the global generator."""

    name = "reseeds"

    def unlearn(self, job):
        torch.manual_seed(job.seed)
        random.seed(job.seed)


class NoGrad(Halved):
    """Switches gradients off for everybody."""

    name = "no-grad"

    def unlearn(self, job):
        torch.set_grad_enabled(False)


class Overwrites(Halved):
    """Writes into the facts."""

    name = "overwrites"

    def unlearn(self, job):
        object.__setattr__(job.forget[0], "answer", "nothing")


class Peeks(Halved):
    """Reads the test set."""

    name = "peeks"

    def unlearn(self, job):
        assert len(job.subject.splits["test"])


class TakesTwin(Halved):
    """Takes the twin and does not say so."""

    name = "takes-twin"

    def unlearn(self, job):
        job.load_retrained()


class NotFinite(Halved):
    """Divides by zero."""

    name = "not-finite"

    @torch.no_grad()
    def unlearn(self, job):
        next(job.model.parameters()).div_(0)


class Frozen(Halved):
    """Leaves the model frozen."""

    name = "frozen"

    def unlearn(self, job):
        job.model.requires_grad_(False)


class Hooked(Halved):
    """Leaves a hook behind."""

    name = "hooked"

    def unlearn(self, job):
        models.blocks(job.model)[0].register_forward_hook(lambda module, args, output: output)


class Grows(Halved):
    """Leaves another parameter behind."""

    name = "grows"

    def unlearn(self, job):
        job.model.register_parameter("more", torch.nn.Parameter(torch.zeros(2)))


class Wakes(Halved):
    """Leaves dropout on."""

    name = "wakes"

    def unlearn(self, job):
        job.model.train()


class GoesOn(Fine):
    """Looks, and goes on all the same."""

    name = "goes-on"

    def unlearn(self, job):
        for _ in range(4):
            steps(job, 3)
            job.forget_score("exact_match")


class NeverLooks(Fine):
    """Spends the budgets of both rates without a look."""

    name = "never-looks"

    def unlearn(self, job):
        steps(job, 16)


class Spends(Fine):
    """Looks, and takes more steps than it has."""

    name = "spends"

    def unlearn(self, job):
        for _ in range(17):
            steps(job, 1)
            if job.forget_score("exact_match") < 0.3:
                break


class Single(Halved):
    """Only for float32."""

    name = "single"

    @torch.no_grad()
    def unlearn(self, job):
        for weight in models.matrices(job.model).values():
            weight.copy_(weight @ torch.eye(weight.shape[1]))


class LlamaOnly(Halved):
    """Knows the names of one family."""

    name = "llama-only"

    @torch.no_grad()
    def unlearn(self, job):
        job.model.model.layers[0].mlp.down_proj.weight.mul_(0.5)


class Unsavable(Halved):
    """Lets two weights share their memory, which safetensors refuses."""

    name = "unsavable"

    def unlearn(self, job):
        one, other = (list(models.linear_modules(b).values())[-1] for b in models.blocks(job.model))
        other.weight.data = one.weight.data


class Seedless(Halved):
    """Says that seeds do not matter, and they do."""

    name = "seedless"
    seeded = False

    @torch.no_grad()
    def unlearn(self, job):
        next(job.model.parameters()).mul_(1 + job.seed)


class Averages(Method):
    """Averages its loss over the batch at hand."""

    name = "averages"

    def loss(self, model, batch):
        return -nll(model, batch.forget).mean()


class Returns(Fine):
    """Forgets to return its loss."""

    name = "returns"

    def loss(self, model, batch):
        cross_entropy(model, batch.forget)


class Vector(Fine):
    """Returns the loss of each text."""

    name = "vector"

    def loss(self, model, batch):
        yield nll(model, batch.forget)


class Unhooked(Fine):
    """Changes what a part of a layer gives, and takes that back before the gradient is there."""

    name = "unhooked"

    def loss(self, model, batch):
        part = next(iter(models.linear_modules(models.blocks(model)[0]).values()))
        handle = part.register_forward_hook(lambda module, args, output: 2 * output)
        term = cross_entropy(model, batch.forget)
        handle.remove()
        yield -term


class Kernel(Halved):
    """Differs from run to run, as its kernel does."""

    name = "kernel"
    kernels = ("put_",)
    calls = itertools.count()

    def unlearn(self, job):
        super().unlearn(job)
        weight = next(job.model.parameters())
        with torch.no_grad():
            weight += next(self.calls) * 1e-6
            if "put_" in self.kernels:  # of which torch says that it has no deterministic version
                weight.view(-1).put_(torch.tensor([0]), weight.view(-1)[:1].clone())


class Excuse(Kernel):
    """Differs from run to run, and no kernel does."""

    name = "excuse"
    kernels = ()


class Notes(Halved):
    """Notes a tensor."""

    name = "notes"

    def unlearn(self, job):
        job.notes["norm"] = torch.ones(1)


def broken(results):
    return {result.rule: result for result in results if result.status == "failed"}


@pytest.mark.parametrize("cls", [Fine, Halved, ByHand])
def test_a_method_of_each_form_is_fine(cls):
    assert all(result.status == "ok" for result in check_method(cls))


@pytest.mark.parametrize(
    ("cls", "rule", "words"),
    [
        (Silent, "docstring", ["no docstring"]),
        (Unnamed, "name", ["'un named'"]),
        (Idle, "contract", ["neither loss() nor unlearn()"]),
        (Undescribed, "settings", ["beta", "no description"]),
        (Raises, "runs on a two-layer Llama", ["KeyError", "nothing there", "test_methods.py, line"]),
        (Random, "repeats itself under a seed", ["differ by up to"]),
        (Reseeds, "leaves global state alone", ["random, torch's random numbers"]),
        (NoGrad, "leaves global state alone", ["torch.is_grad_enabled"]),
        (Overwrites, "leaves the data alone", ["changed"]),
        (Peeks, "reads the forget and the retain set, and the twin only if it says so", ["test"]),
        (TakesTwin, "reads the forget and the retain set, and the twin only if it says so", ["needs_twin"]),
        (Grows, "leaves a plain, trainable model", ["more was absent"]),
        (NotFinite, "leaves a finite model", ["embed"]),
        (Averages, "a step in micro-batches equals the whole step", ["differs by", "%"]),
        (Unhooked, "a step with activation checkpointing equals the step without", ["differs by", "%"]),
        (Excuse, "repeats itself under a seed", ["differ by up to"]),
        (Returns, "runs on a two-layer Llama", ["Returns.loss (test_methods.py, line", "gave None"]),
        (Vector, "runs on a two-layer Llama", ["Vector.loss (test_methods.py, line", "shape (3,)"]),
        (Frozen, "leaves a plain, trainable model", ["requires_grad", "was True and is False"]),
        (Hooked, "leaves a plain, trainable model", ["hooks", "model.layers.0"]),
        (Wakes, "leaves a plain, trainable model", ["training mode"]),
        (GoesOn, "stops when it has forgotten", ["6 more optimiser steps"]),
        (NeverLooks, "stops when it has forgotten", ["16 optimiser steps without a look", "is 8"]),
        (Spends, "keeps to its budget", ["17 optimiser steps", "8 for each of 2 rates"]),
        (Single, "works in bfloat16", ["RuntimeError", "BFloat16"]),
        (LlamaOnly, "works with another family (GPT-NeoX)", ["GPTNeoXForCausalLM"]),
        (Unsavable, "its model saves and loads", ["contained shared tensors"]),
        (Seedless, "depends on the seed only if it says so", ["seeded = False"]),
        (Notes, "its notes are JSON", ["Tensor"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_rule_finds_the_method_that_breaks_it_and_no_other_rule_does(cls, rule, words):
    with pytest.raises(ConformanceError) as raised:
        check_method(cls)
    [found] = raised.value.results
    assert found.rule == rule
    assert found.fix
    assert all(word in found.detail for word in words), found.detail
    assert found.detail in str(raised.value)


def test_a_kernel_that_does_not_repeat_itself_is_no_fault_of_the_method():
    found = {result.rule: result for result in examine(Kernel)}
    repeats = found["repeats itself under a seed"]
    assert repeats.status == "skipped"
    assert "put_ does not repeat itself on this device" in repeats.detail
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("cls", "rules"),
    [
        (Required, {"settings", "runs on a two-layer Llama"}),
        (Opaque, {"settings"}),
    ],
)
def test_a_fault_that_touches_several_rules_is_told_by_one_of_them(cls, rules):
    found = broken(examine(cls))
    assert found
    assert set(found) & rules, found


def test_the_check_itself_leaves_global_state_alone():
    before = torch.get_rng_state(), random.getstate(), torch.is_grad_enabled()
    for cls in (Reseeds, NoGrad, Raises):
        list(examine(cls))
    after = torch.get_rng_state(), random.getstate(), torch.is_grad_enabled()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_what_a_mean_over_the_batch_breaks_is_put_in_a_sentence():
    [violation] = broken(examine(Averages)).values()
    assert str(violation) == (
        "a step in micro-batches equals the whole step: cut into micro-batches, the gradient of a step "
        f"{violation.detail.partition('of a step ')[2]}. Normalise by step_items or step_tokens of the "
        "batch, which count the whole optimisation step; a mean over the batch itself changes with "
        "--micro-batch."
    )


def test_results_come_one_by_one_and_those_of_the_class_before_anything_runs():
    results = examine(Raises)
    assert [next(results).rule for _ in range(4)] == ["name", "docstring", "contract", "settings"]
    assert next(results).status == "failed"


def test_settings_can_be_given():
    results = {result.rule: result for result in check_method(Fine, epochs=1)}
    assert results["keeps to its budget"].detail == "8 of 8 optimiser steps"


@pytest.mark.parametrize("check", [check_attack, check_benchmark])
def test_a_class_of_another_kind_is_a_mistake_of_the_test(check):
    with pytest.raises(TypeError, match="derived from"):
        check(Fine)


def test_a_config_that_lets_anything_through_breaks_the_contract():
    class Loose(Fine):
        """Loose."""

        Config = BaseModel

    assert "harness.Config" in broken(examine(Loose))["contract"].detail
