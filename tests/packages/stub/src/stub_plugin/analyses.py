"""Analyses of weights and losses, the first of which does what a fault says."""

import torch

import harness
from harness.model.losses import cross_entropy
from stub_plugin.faults import fault


def distance(ours, theirs):
    """Length of the difference of two models' weights."""
    return sum(float((ours[name] - theirs[name]).double().square().sum()) for name in ours) ** 0.5


class Gap(harness.Analysis):
    """How far the unlearned model is from the original, in weights and in the loss on each set of facts."""

    name = "gap"

    class Config(harness.AnalysisConfig):
        power: int = harness.Field(1, ge=1, description="exponent of the distance")

    def analyse(self, job):
        """The distance, and the losses of both models."""
        wrong = fault("gap")
        kind = wrong.read_text() if wrong else ""
        if kind == "raise":
            raise RuntimeError("nothing to look at")
        if kind == "nothing":
            return
        if kind == "change":
            for tensor in job.weights("unlearned").values():
                tensor.add_(1)
        length = distance(job.weights("unlearned"), job.weights("original"))
        yield harness.Finding("distance", "", float("nan") if kind == "nan" else length**self.config.power)
        for which, shown in (("original", job.original), ("unlearned", job.unlearned)):
            for layer, facts in enumerate((job.forget, job.retain)):
                [batch] = job.runs(job.encode(facts), size=100)
                with shown() as model, torch.no_grad():
                    loss = float(cross_entropy(model, batch))
                yield harness.Finding("loss", which, loss, x=float(layer), layer=layer, module="q")


class Lift(harness.Analysis):
    """How far an attack moved the model, against how far unlearning did."""

    name = "lift"
    attacked = True

    def analyse(self, job):
        """Both distances."""
        unlearned = job.weights("unlearned")
        yield harness.Finding("distance", "unlearning", distance(unlearned, job.weights("original")))
        yield harness.Finding("distance", "attack", distance(job.weights("attacked"), unlearned))
