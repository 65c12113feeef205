"""Analyses, as the engine runs them: one module shows the models in turn, and none of them is changed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness.core.base import Analysis, Attack, Method
from harness.core.config import FinetuneConfig
from harness.core.types import Finding
from harness.engine.attacking import attacked
from harness.engine.cell import UnlearnedModel
from harness.engine.integrity import Tampered
from harness.engine.surroundings import Surroundings
from harness.errors import HarnessError
from harness.model import models
from harness.model.losses import cross_entropy

NUMBER = Finding("f", "", 1.0)


class Shift(Method):
    """Adds one to every weight."""

    name = "shift"

    def unlearn(self, job):
        with torch.no_grad():
            for parameter in job.model.parameters():
                parameter.add_(1)


class Double(Attack):
    """Doubles every weight, twice, and is scored before and after each."""

    name = "double"
    reads = frozenset({"forget"})
    Config = FinetuneConfig

    def attack(self, job):
        for step in range(3):
            job.checkpoint(step)
            with torch.no_grad():
                for parameter in job.model.parameters():
                    parameter.mul_(2)


class Scripted(Analysis):
    """An analysis that does what a test says, and gives a number unless it gives others."""

    name = "scripted"

    def __init__(self, do):
        super().__init__()
        self.do = do

    def analyse(self, job):
        return self.do(job) or [NUMBER]


def same(model, weights):
    return all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def storages(weights):
    return {tensor.data_ptr() for tensor in weights.values() if tensor.numel()}


@pytest.fixture
def make(make_subject, toy_benchmark, tiny):
    """An unlearned model of a family, with its original, and the original's weights as a test keeps them."""

    def made(family="llama", scores=lambda *_: 0.25):
        subject = make_subject(toy_benchmark(scores), tiny(family))
        original = models.snapshot(subject.model)
        return UnlearnedModel.unlearn(subject, Shift(), 0, Surroundings(), keep_original=True), original

    return made


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_one_module_shows_each_model_in_turn(make, family):
    unlearned, original = make(family)
    weights = models.snapshot(unlearned.subject.model)

    def look(job):
        assert same(job.model, weights)
        with job.original() as model:
            assert model is job.model
            assert same(model, original)
            with job.unlearned():
                assert same(model, weights)
            assert same(model, original)
            with pytest.raises(ZeroDivisionError), job.unlearned():
                1 / 0  # noqa: B018
            assert same(model, original)
        assert same(job.model, weights)

    assert unlearned.analyse(Scripted(look), 0).findings == [NUMBER]
    assert same(unlearned.subject.model, weights)


def test_in_memory_is_one_set_of_weights_for_each_model_that_is_compared(make):
    unlearned, _ = make()
    own = storages(unlearned.subject.model.state_dict())

    def look(job):
        sets = {which: storages(job.weights(which)) for which in ("original", "unlearned")}
        assert storages(job.model.state_dict()) <= sets["unlearned"]
        with job.original() as model:
            assert storages(model.state_dict()) <= sets["original"]

    unlearned.analyse(Scripted(look), 0)
    back = storages(unlearned.subject.model.state_dict())
    assert not back & (storages(unlearned.weights) | storages(unlearned.job.original))
    assert len(back) == len(own)


def test_what_follows_an_analysis_cannot_reach_the_weights_it_is_restored_from(make):
    unlearned, _ = make()
    weights = models.snapshot(unlearned.subject.model)
    unlearned.analyse(Scripted(lambda job: None), 0)
    unlearned.attack(Double(FinetuneConfig()), 0)
    assert same(unlearned.subject.model, weights)
    assert unlearned.analyse(Scripted(lambda job: None), 0).findings == [NUMBER]


def test_gradients_can_be_taken_and_none_is_left(make):
    unlearned, _ = make()

    def look(job):
        [batch] = job.runs(job.encode(job.forget), size=100)
        with job.original() as model:
            cross_entropy(model, batch).backward()
            assert all(parameter.grad is not None for parameter in model.parameters())

    unlearned.analyse(Scripted(look), 0)
    assert all(parameter.grad is None for parameter in unlearned.subject.model.parameters())


def test_facts_and_random_numbers_of_the_seed(make, toy_splits):
    unlearned, _ = make()
    drawn = []

    def look(job):
        assert (job.forget, job.retain) == (toy_splits["forget"], toy_splits["retain"])
        drawn.append((job.rng.random(), job.random("distractors").random()))
        job.notes["texts"] = len(job.forget)

    for seed in (0, 0, 1):
        assert unlearned.analyse(Scripted(look), seed).notes["texts"] == len(toy_splits["forget"])
    assert drawn[0] == drawn[1]
    assert not {*drawn[0]} & {*drawn[2]}
    assert len({*drawn[0]}) == 2


def test_the_model_after_an_attack_is_its_best_checkpoint(make):
    scores, jobs = [0.2, 0.6, 0.4], []
    unlearned, original = make(scores=lambda *_: scores[len(jobs)])
    weights = models.snapshot(unlearned.subject.model)

    class Counted(Double):
        def attack(self, job):
            record = job.record

            def count(*arguments):
                record(*arguments)
                jobs.append(1)

            job.record = count
            super().attack(job)

    attack = unlearned.attack(Counted(FinetuneConfig()), 0, keep_best=True)
    assert attack.notes["best_step"] == 1

    def look(job):
        with job.attacked() as model:
            assert same(model, {name: 2 * tensor for name, tensor in weights.items()})
        with job.original() as model:
            assert same(model, original)
        with job.unlearned() as model:
            assert same(model, weights)

    assert unlearned.analyse(Scripted(look), 0, after_attack=True).notes["best_step"] == 1
    assert same(unlearned.subject.model, weights)


def test_of_checkpoints_that_are_equally_good_the_first_is_kept(make):
    unlearned, _ = make()
    weights = models.snapshot(unlearned.subject.model)
    _, best = attacked(unlearned.subject, Double(FinetuneConfig()), 0, unlearned.weights)
    assert all(torch.equal(best[name], weights[name]) for name in weights)


def test_what_an_attack_reports_does_not_depend_on_whether_its_best_is_kept(make):
    unlearned, _ = make()
    plain, kept = (unlearned.attack(Double(FinetuneConfig()), 0, keep_best=keep) for keep in (False, True))
    assert (plain.metrics, plain.samples, plain.notes) == (kept.metrics, kept.samples, kept.notes)


@pytest.mark.parametrize("which", ["weights", "model"])
def test_without_an_attack_there_is_no_attacked_model(make, which):
    unlearned, _ = make()

    def look(job):
        if which == "weights":
            job.weights("attacked")
        else:
            job.attacked().__enter__()

    with pytest.raises(HarnessError, match=r"There is no attacked model here: .* `attacked = True`"):
        unlearned.analyse(Scripted(look), 0)
    unlearned.attack(Double(FinetuneConfig()), 0)
    with pytest.raises(HarnessError, match="no checkpoint of it is the best"):
        unlearned.analyse(Scripted(look), 0, after_attack=True)


@pytest.mark.parametrize("which", ["original", "unlearned", "attacked"])
@pytest.mark.parametrize("fails", [False, True])
def test_an_analysis_that_changes_weights_is_refused(make, which, fails):
    unlearned, _ = make()
    unlearned.attack(Double(FinetuneConfig()), 0, keep_best=True)

    def look(job):
        with getattr(job, which)() as model, torch.no_grad():
            next(model.parameters()).add_(1)
        if fails:
            raise RuntimeError("and more")

    with pytest.raises(Tampered, match=f"The analysis 'scripted' changed the weights of the {which} model"):
        unlearned.analyse(Scripted(look), 0, after_attack=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda model: model.train(), "training mode"),
        (lambda model: model.requires_grad_(False), "requires_grad"),
        (lambda model: model.register_forward_hook(lambda *_: None), "hooks"),
    ],
)
def test_an_analysis_that_leaves_the_model_otherwise_is_refused(make, change, says):
    unlearned, _ = make()

    def look(job):
        change(job.model)

    with pytest.raises(Tampered, match=says):
        unlearned.analyse(Scripted(look), 0)


def test_numbers_become_plain_ones(make):
    unlearned, _ = make()
    given = [Finding("f", "s", torch.tensor(0.5), x=torch.tensor(2), layer=torch.tensor(1), module="q")]
    [found] = unlearned.analyse(Scripted(lambda job: given), 0).findings
    assert found == Finding("f", "s", 0.5, 2.0, 1, "q")
    assert [type(part) for part in (found.value, found.x, found.layer)] == [float, float, int]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([Finding("f", "s", float("inf"), x=3.0)], "gave inf for f s at 3: leave out what"),
        ([Finding("f", "", 1.0, x=float("nan"), layer=2, module="q")], "gave 1 for f 2 q at nan"),
        ([SimpleNamespace(figure="f")], "must give harness.Finding, and gave SimpleNamespace"),
        (iter(()), "found nothing: it must give at least one number"),
    ],
)
def test_what_is_no_number_is_refused(make, given, says):
    unlearned, _ = make()
    with pytest.raises(HarnessError, match=f"The analysis 'scripted' {says}"):
        unlearned.analyse(Scripted(lambda job: given), 0)


def test_nothing_as_large_as_the_model_is_kept_for_runs_without_analyses(make_subject, toy_benchmark):
    subject = make_subject(toy_benchmark(lambda *_: 0.25))
    unlearned = UnlearnedModel.unlearn(subject, Shift(), 0, Surroundings())
    assert unlearned.job.original == {}
    unlearned.attack(Double(FinetuneConfig()), 0)
    assert unlearned.after_attack is None


def test_the_best_checkpoint_of_adapters_is_kept_as_plain_weights(make):
    """The scores rise along the way, so the last checkpoint is the best: what the merged adapters leave."""
    unlearned, _ = make(scores=lambda *_: len(seen) / 10)
    seen, last = [], {}

    class Adapted(Attack):
        """Trains adapters on the instructions."""

        name = "adapted"
        reads = frozenset({"instruct"})
        Config = FinetuneConfig

        def attack(self, job):
            record = job.record

            def count(*arguments):
                seen.append(1)
                record(*arguments)

            job.record = count
            job.finetune(job.data["instruct"])
            last.update(models.snapshot(job.model))

    settings = {"learning_rates": (1e-2,), "steps": 4, "checkpoints": (2, 4), "batch_size": 4, "lora_r": 2}
    attack = unlearned.attack(Adapted(FinetuneConfig(**settings)), 0, keep_best=True)
    assert attack.notes["best_step"] == 4

    def look(job):
        assert job.weights("attacked").keys() == job.weights("unlearned").keys()
        assert all(torch.equal(job.weights("attacked")[name], last[name]) for name in last)
        assert not all(torch.equal(last[name], job.weights("unlearned")[name]) for name in last)

    unlearned.analyse(Scripted(look), 0, after_attack=True)
