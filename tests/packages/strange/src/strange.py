"""Two methods, an attack and a benchmark, each written as the docstrings of harness.core.base say."""

from functools import partial

import torch
from pydantic import Field

import harness
from harness.core import config
from harness.core.base import Attack, Method
from harness.core.benchmark import Benchmark
from harness.core.config import MethodConfig
from harness.core.types import Example, Fact, Generate, Measure, Prompt, Reported, Splits, Training
from harness.model import models
from harness.model.losses import cross_entropy
from harness.scoring import metrics

NAMES = ["Uma", "Vic", "Wes", "Xia", "Yan", "Zoe"]
METALS = ["iron", "gold", "lead", "zinc", "tin", "silver"]
TREES = ["oak", "elm", "ash", "fir", "pine", "birch"]


class Ascent(Method):
    """Ascent with a little descent."""

    name = "strange_ascent"

    class Config(MethodConfig):
        share: float = Field(0.5, ge=0, description="weight of the descent")

    def loss(self, model, batch):
        return -cross_entropy(model, batch.forget) + self.config.share * cross_entropy(model, batch.retain)


class Negate(Method):
    """Learn the forget set a little better by hand, and go the other way (task arithmetic)."""

    name = "strange-negate"

    class Config(config.Config):
        steps: int = Field(4, ge=1, description="steps on the forget set")
        scale: float = Field(2.0, gt=0, description="how far to go the other way")

    def unlearn(self, job):
        before = models.snapshot(job.model)
        optimizer = torch.optim.SGD(job.model.parameters(), lr=0.05)
        device = next(job.model.parameters()).device
        texts = next(iter(job.tokens.runs(job.subject.encode(job.forget), len(job.forget), device)))
        for _ in range(self.config.steps):
            optimizer.zero_grad()
            cross_entropy(job.model, texts).backward()
            optimizer.step()
        optimizer.zero_grad()
        now = models.snapshot(job.model)
        models.restore(job.model, {n: w - self.config.scale * (now[n] - w) for n, w in before.items()})


class Scale(Attack):
    """Make the last layer louder."""

    name = "strange-scale"
    variants = {"by=1.5": {"by": 1.5}, "by=2": {"by": 2.0}}

    class Config(config.Config):
        by: float = Field(1.5, gt=0, description="factor")

    def attack(self, job):
        for path, weight in models.matrices(job.model).items():
            if path.startswith("1."):
                weight.mul_(self.config.by)
        job.checkpoint()


class Metals(Benchmark):
    """Who likes which metal."""

    name = "strange-metals"
    forget_metric = "exact_match"
    curve_metrics = ("exact_match",)
    retain_metric = ("retain", "exact_match")
    reports = (
        Reported("exact_match", ("forget", "retain"), metrics.exact_match),
        Reported("utility", ("all",), metrics.exact_match),
    )

    def load(self):
        ask = "Which {} does {} like ?"
        pairs = {"forget": ("metal", METALS), "retain": ("tree", TREES)}
        return Splits(
            {
                split: tuple(
                    Fact(f"{what}-{n}", ask.format(what, n), said)
                    for n, said in zip(NAMES, answers, strict=True)
                )
                for split, (what, answers) in pairs.items()
            }
        )

    def measures(self, splits):
        for split, facts in splits.items():
            for fact in facts:
                request = Generate(Prompt(fact.question), 2)
                right = partial(metrics.exact_match, gold=fact.answer)
                yield Measure(split, "exact_match", fact.id, (request,), right)

    def threshold(self, splits):
        return 0.2

    def chance(self, splits):
        return 1 / 6

    def aggregates(self, samples):
        return {"utility": metrics.means(samples)["retain", "exact_match"]}

    def training(self, splits):
        retain, forget = (
            tuple(Example(Prompt(f.question), f.answer, f.id) for f in splits[name])
            for name in ("retain", "forget")
        )
        return Training(retain + forget, retain, (), 60, 1e-2, 12)


@harness.hookimpl
def register_methods(register):
    register("strange_ascent", Ascent)
    register("strange-negate", "strange:Negate")


@harness.hookimpl
def register_attacks(register):
    register("strange-scale", Scale)


@harness.hookimpl
def register_benchmarks(register):
    register("strange-metals", Metals)
