"""Each conformance rule finds the analysis that breaks it, and an analysis that breaks none is fine."""

from __future__ import annotations

import random
import re
from typing import ClassVar

import pytest
import torch

from harness import Analysis, AnalysisConfig, Field, Finding
from harness.model import models
from harness.model.losses import cross_entropy
from harness.testing import ConformanceError, check_analysis, examine
from support.command import harness_cli


class Loss(Analysis):
    """The loss of both models on the facts."""

    name = "loss"

    class Config(AnalysisConfig):
        size: int = Field(4, ge=1, description="texts at a time")

    def analyse(self, job):
        data = job.encode(job.forget)
        for which, shown in (("original", job.original), ("unlearned", job.unlearned)):
            with shown() as model, torch.no_grad():
                losses = [float(cross_entropy(model, batch)) for batch in job.runs(data, self.config.size)]
            yield Finding("loss", which, sum(losses) / len(losses), x=0, layer=1, module="q")


class After(Analysis):
    """The distance that an attack went."""

    name = "after"
    attacked = True

    def analyse(self, job):
        before, after = job.weights("unlearned"), job.weights("attacked")
        yield Finding("distance", "", sum(float((after[n] - before[n]).abs().sum()) for n in after))


class Nothing(Loss):
    """Finds nothing."""

    name = "nothing"

    def analyse(self, job):
        return []


class Endless(Loss):
    """Divides by zero."""

    name = "endless"

    def analyse(self, job):
        yield Finding("f", "", float("inf"))


class Draws(Loss):
    """Draws from the global generator, and puts its state back."""

    name = "draws"

    def analyse(self, job):
        with torch.random.fork_rng():
            yield Finding("f", "", float(torch.rand(())))


class Shuffles(Loss):
    """Draws from the global generator and uses nothing of it."""

    name = "shuffles"

    def analyse(self, job):
        random.random()
        yield Finding("f", "", 1.0)


class Edits(Loss):
    """Writes into the facts."""

    name = "edits"

    def analyse(self, job):
        object.__setattr__(job.forget[0], "subject", "nobody")
        yield Finding("f", "", 1.0)


class Changes(Loss):
    """Changes the weights of the original."""

    name = "changes"

    def analyse(self, job):
        with job.original() as model, torch.no_grad():
            next(iter(models.matrices(model).values())).add_(1)
        yield Finding("f", "", 1.0)


class Trains(Loss):
    """Leaves the model in the mode of training."""

    name = "trains"

    def analyse(self, job):
        job.model.train()
        yield Finding("f", "", 1.0)


class Deep(Loss):
    """Speaks of a layer that is not there."""

    name = "deep"

    def analyse(self, job):
        yield Finding("f", "", 1.0, layer=2)


class Nameless(Loss):
    """Names no figure."""

    name = "nameless"

    def analyse(self, job):
        yield Finding("", "s", 1.0)


class Asks(Loss):
    """Says that it looks at the model after an attack, and does not."""

    name = "asks"
    attacked = True


class Coarse(Loss):
    """Works in single precision alone."""

    name = "coarse"

    def analyse(self, job):
        weight = next(iter(models.matrices(job.model).values()))
        yield Finding("f", "", float((weight @ torch.ones(weight.shape[1])).sum()))


class OneFamily(Loss):
    """Knows the modules of one family by name."""

    name = "one-family"

    def analyse(self, job):
        yield Finding("f", "", float(job.model.model.layers[0].mlp.up_proj.weight.detach().norm()))


class Notes(Loss):
    """Notes what JSON has no word for."""

    name = "notes"

    def analyse(self, job):
        job.notes["norms"] = {1, 2}
        yield Finding("f", "", 1.0)


class NotFound(Loss):
    """Gives plain numbers."""

    name = "not-found"
    attacked: ClassVar[bool] = False

    def analyse(self, job):
        yield 1.0


@pytest.mark.parametrize("cls", [Loss, After])
def test_an_analysis_in_order_breaks_no_rule(cls):
    assert [str(result) for result in check_analysis(cls) if result.status != "ok"] == []


@pytest.mark.parametrize(
    ("cls", "rule", "says"),
    [
        (Nothing, "runs on a two-layer Llama", "found nothing"),
        (Endless, "runs on a two-layer Llama", "gave inf for f"),
        (NotFound, "runs on a two-layer Llama", "must give harness.Finding, and gave float"),
        (Draws, "repeats itself under a seed", "the same seed gave other numbers"),
        (Shuffles, "leaves global state alone", "it changed random"),
        (Edits, "leaves the data alone", "the facts have changed"),
        (Changes, "leaves the weights as they were", "changed the weights of the original model"),
        (Trains, "leaves a plain model for the next analysis", "training mode"),
        (Deep, "says where its numbers belong", "a number of f is of layer 2, and the model has 2"),
        (Nameless, "says where its numbers belong", "a number names no figure"),
        (Asks, "looks at the model after an attack if it says so", "does not look at that model"),
        (Coarse, "works in bfloat16", "raised RuntimeError"),
        (OneFamily, "works with another family (GPT-NeoX)", "raised AttributeError"),
        (Notes, "its notes are JSON", "a set has no canonical form"),
    ],
)
def test_each_rule_finds_what_breaks_it(cls, rule, says):
    [broken] = [result for result in examine(cls) if result.status == "failed"]
    assert broken.rule == rule
    assert says in broken.detail
    assert broken.fix
    with pytest.raises(ConformanceError, match=re.escape(rule)):
        check_analysis(cls)


def test_settings_are_handed_on():
    with pytest.raises(ConformanceError, match="size"):
        check_analysis(Loss, size=0)


def test_what_is_no_analysis_is_refused():
    with pytest.raises(TypeError, match=r"is no class derived from harness\.Analysis"):
        check_analysis(int)


SOURCE = '''
from harness import Analysis, Finding


class Facts(Analysis):
    """How many facts there are."""

    name = "facts"

    def analyse(self, job):
        """One number."""
        yield Finding("facts", "forget", len(job.forget))
'''


def test_the_command_checks_an_analysis_of_a_file_and_of_a_package(world, tmp_path):
    path = tmp_path / "facts.py"
    path.write_text(SOURCE)
    ended = harness_cli("check", path)
    assert ended.code == 0, ended.out
    assert "analysis facts" in ended.out
    assert "1 numbers of facts" in ended.out
    assert harness_cli("check", "lift").code == 0
    (tmp_path / "facts.py").write_text(SOURCE.replace("len(job.forget)", "float('nan')"))
    ended = harness_cli("check", path)
    assert ended.code == 1
    assert "gave nan for facts forget" in " ".join(ended.out.split())


def test_list_show_and_completion_know_analyses(world):
    listed = harness_cli("list")
    assert "analyses" in listed.out
    assert "lift" in listed.out
    shown = harness_cli("show", "lift")
    assert shown.code == 0
    assert "How far an attack moved the model" in shown.out
    assert "compares: original, unlearned, attacked" in shown.out
    assert "compares: original, unlearned\n" in harness_cli("show", "gap").out
    assert "gap.power" in harness_cli("show", "gap").out
