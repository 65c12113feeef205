"""Every built-in plugin keeps the rules of the conformance suite, and each rule finds who breaks it."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import BaseModel, Field
from runs import harness_cli

import harness.base
from harness import metrics, models
from harness.base import Attack, Config, FinetuneConfig, Method, MethodConfig
from harness.errors import HarnessError
from harness.formulas import formula
from harness.losses import cross_entropy
from harness.registry import Registry
from harness.testing import (
    ConformanceError,
    check_attack,
    check_benchmark,
    check_method,
    examine,
)
from harness.testing.facts import SPLITS, Toy
from harness.types import Example, Prompt, Reported, Splits, Training

pytest_plugins = ["runs"]

BUILT_IN = {
    (kind, name): entry
    for kind, entries in Registry().kinds.items()
    for name, entry in entries.items()
    if entry.distribution == "unlearning-harness"
}


@pytest.mark.parametrize(("kind", "name"), BUILT_IN, ids=" ".join)
def test_a_built_in_plugin_keeps_every_rule(kind, name):
    cls = BUILT_IN[kind, name].load()
    results = examine(cls)
    assert [str(result) for result in results if result.status == "failed"] == []
    skipped = [result for result in results if result.status == "skipped"]
    assert bool(skipped) == (kind == "benchmark" and cls.needs_data), skipped


# --- methods


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
        job.become_retrained()


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
        (Raises, "runs on a two-layer Llama", ["KeyError", "nothing there", "conformance.py, line"]),
        (Random, "repeats itself under a seed", ["differ by up to"]),
        (Reseeds, "leaves global state alone", ["random, torch's random numbers"]),
        (NoGrad, "leaves global state alone", ["torch.is_grad_enabled"]),
        (Overwrites, "leaves the data alone", ["changed"]),
        (Peeks, "reads the forget and the retain set, and the twin only if it says so", ["test"]),
        (TakesTwin, "reads the forget and the retain set, and the twin only if it says so", ["needs_twin"]),
        (Grows, "leaves a plain, trainable model", ["more was absent"]),
        (NotFinite, "leaves a finite model", ["embed"]),
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
    assert found.mend
    assert all(word in found.seen for word in words), found.seen
    assert found.seen in str(raised.value)


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
        examine(cls)
    after = torch.get_rng_state(), random.getstate(), torch.is_grad_enabled()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_settings_can_be_given():
    assert all(result.status == "ok" for result in check_method(Fine, weight_decay=0.5))


@pytest.mark.parametrize("check", [check_attack, check_benchmark])
def test_a_class_of_another_kind_is_a_mistake_of_the_test(check):
    with pytest.raises(TypeError, match="derived from"):
        check(Fine)


# --- attacks


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
        models.load(job.subject.retrain)
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
    found = broken(examine(cls))
    assert rule in found, found
    assert all(word in found[rule].seen for word in words), found[rule].seen
    assert len(found) == 1, found


# --- benchmarks


@formula("whether the answer is right", 0, 1, "lower", "0")
def right(said):
    return float(bool(said))


class Facts(Toy):
    """Twelve facts, all declared."""

    name = "facts"
    reports = (
        Reported("exact_match", ("forget", "retain", "instruct"), right),
        Reported("probability", ("forget", "retain", "instruct"), metrics.probability),
    )

    def __init__(self, config=None):
        super().__init__()
        self.config = self.Config() if config is None else config

    def training(self, splits):
        retain, forget = (
            tuple(Example(Prompt(f.question), f.answer, f.id) for f in SPLITS[name])
            for name in ("retain", "forget")
        )
        return Training(retain + forget, retain)


def forget(change):
    """The splits with another forget set."""
    return Splits({**SPLITS, "forget": tuple(change(SPLITS["forget"]))})


class Empty(Facts):
    """Nothing to forget."""

    def load(self):
        return forget(lambda facts: ())


class Hubbed(Facts):
    """Asks the hub and does not say so."""

    def load(self):
        return self.hub.dataset("some/where", ["*.json"])


class NoIds(Facts):
    """A fact without an id."""

    def load(self):
        return forget(lambda facts: [replace(facts[0], id=""), *facts[1:]])


class SameIds(Facts):
    """Two facts with one id."""

    def load(self):
        return forget(lambda facts: [replace(facts[0], id="forget-01"), *facts[1:]])


class SharedIds(Facts):
    """A fact to forget and one to keep with one id."""

    def load(self):
        return forget(lambda facts: [replace(facts[0], id="retain-01"), *facts[1:]])


class Dice(Facts):
    """Other facts each time."""

    def load(self):
        mine = random.Random(random.getstate()[1][5])
        return forget(lambda facts: mine.sample(facts, 12))


class Seeds(Facts):
    """Seeds the global generator."""

    def load(self):
        random.seed(0)
        return super().load()


class Twice(Facts):
    """Measures everything twice."""

    def measures(self, splits):
        yield from super().measures(splits)
        yield from super().measures(splits)


class NoCurve(Facts):
    """Follows a metric that nothing measures."""

    curve_metrics = ("exact_match", "probability")

    def measures(self, splits):
        return (m for m in super().measures(splits) if m.metric != "probability")


class WholeOnly(Facts):
    """Always measures all facts."""

    def measures(self, splits):
        return super().measures(SPLITS)


class Unreported(Facts):
    """Measures more than it declares."""

    reports = Facts.reports[:1]


class Percent(Facts):
    """Gives percentages for shares."""

    def measures(self, splits):
        for measure in super().measures(splits):
            yield replace(measure, value=lambda *answers: 50.0)


class Aggregate(Facts):
    """An aggregate that is not declared."""

    def aggregates(self, samples):
        return {"utility": 0.5}


class NoLevel(Facts):
    """A chance level that is no number."""

    def chance(self, splits):
        return float("nan")


class HighLevel(Facts):
    """A threshold in percent."""

    def threshold(self, splits):
        return 30.0


class Leaks(Facts):
    """Shows its twin the forget set."""

    def training(self, splits):
        training = super().training(splits)
        return replace(training, retrain=training.original)


class Untaught(Facts):
    """Never teaches what is to be forgotten."""

    def training(self, splits):
        training = super().training(splits)
        return replace(training, original=training.retrain)


class Bare(Facts):
    """Declares nothing."""

    reports = ()


class Picky(Facts):
    """Its value only takes what one model says."""

    def ask(self, split, fact):
        for measure in super().ask(split, fact):
            if measure.metric == "probability":
                seen = {}

                def value(scores, seen=seen):
                    if seen.setdefault("first", scores.logprobs.tobytes()) != scores.logprobs.tobytes():
                        raise ValueError("another model")
                    return 0.5

                measure = replace(measure, value=value)
            yield measure


def test_a_benchmark_that_declares_no_metric_is_told_so_and_passes():
    [skipped] = [result for result in check_benchmark(Bare) if result.status == "skipped"]
    assert skipped.rule == "declares its metrics"
    assert "`reports` is empty" in skipped.seen


DATA = Path(os.environ.get("HARNESS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.mark.skipif(not (DATA / "tofu").is_dir(), reason=f"no TOFU files in {DATA}/tofu")
def test_a_benchmark_from_files_is_checked_with_its_files():
    results = check_benchmark(BUILT_IN["benchmark", "tofu"].load(), DATA / "tofu")
    assert {result.status for result in results} == {"ok"}


def test_a_benchmark_whose_files_are_not_there_says_which(tmp_path):
    with pytest.raises(ConformanceError, match="expected"):
        check_benchmark(BUILT_IN["benchmark", "faithun"].load(), tmp_path)


# --- the command

COMMAND = """
from harness.base import Attack


class Look(Attack):
    \"\"\"Scores the model as it is.\"\"\"

    name = "noise"

    def attack(self, job):
        job.checkpoint()
"""


def test_the_command_checks_a_file_whoever_has_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "mine.py").write_text(COMMAND)
    ended = harness_cli("check", tmp_path / "mine.py")
    assert ended.code == 0, ended.out + ended.err
    assert "mine.py" in ended.out
    assert "FAILED" not in ended.out


def test_the_command_shows_the_rule_what_was_seen_and_how_to_mend_it(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "mine.py").write_text(COMMAND.replace("job.checkpoint()", "pass"))
    ended = harness_cli("check", tmp_path / "mine.py")
    assert ended.code == 1
    [line] = [line for line in ended.out.splitlines() if "FAILED" in line]
    assert "runs on a two-layer Llama" in line
    assert "ended without a checkpoint" in line
    assert "→ See the error; record the forget score with job.checkpoint()" in ended.out
    assert "4 of 5 rules hold." in ended.out


@pytest.mark.parametrize(
    ("what", "words"), [("nois", "Did you mean 'noise'?"), ("gone.py", "no such Python file")]
)
def test_what_cannot_be_checked_is_one_sentence(what, words):
    ended = harness_cli("check", what)
    assert ended.code == 2
    assert words in ended.err


def test_a_benchmark_is_fine():
    assert all(result.status == "ok" for result in check_benchmark(Facts))


@pytest.mark.parametrize(
    ("cls", "rule", "words"),
    [
        (Empty, "loads its facts", ["'forget' has 0 facts"]),
        (Hubbed, "loads its facts", ["needs_data is False", "some/where"]),
        (NoIds, "each fact has an id, a question and an answer", ["id ''"]),
        (SameIds, "each fact has an id, a question and an answer", ["forget-01", "several"]),
        (SharedIds, "each fact has an id, a question and an answer", ["retain-01"]),
        (Dice, "loads the same facts each time", ["other facts"]),
        (Seeds, "leaves global state alone", ["random"]),
        (Twice, "measures each fact once", ["2 times"]),
        (NoCurve, "measures what it says it looks at", ["forget.probability"]),
        (WholeOnly, "measures a part of the forget set alone", ["given two"]),
        (Unreported, "declares its metrics", ["forget.probability"]),
        (Percent, "its numbers lie in their range", ["is 50", "[0, 1]"]),
        (Aggregate, "its numbers lie in their range", ["utility is not among"]),
        (NoLevel, "states a threshold and a chance level", ["chance is nan"]),
        (HighLevel, "states a threshold and a chance level", ["threshold is 30"]),
        (Picky, "scores in bfloat16 and with another family (GPT-NeoX)", ["another model"]),
        (Leaks, "its twin never sees the forget set", ["12 forget facts are in Training.retrain"]),
        (Untaught, "its twin never sees the forget set", ["12 forget facts are not in Training.original"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_rule_finds_the_benchmark_that_breaks_it(cls, rule, words):
    found = broken(examine(cls))
    assert rule in found, found
    assert all(word in found[rule].seen for word in words), found[rule].seen


def test_a_config_that_lets_anything_through_breaks_the_contract():
    class Loose(Fine):
        """Loose."""

        Config = BaseModel

    assert "harness.base.Config" in broken(examine(Loose))["contract"].seen
    assert harness.base.Config
