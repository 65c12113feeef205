"""A job for analyses of two or three sets of weights, without an engine around it."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.engine import job
from harness.errors import HarnessError
from harness.model import models


@dataclass
class Comparison(job.Job):
    """The weights of an original, an unlearned and perhaps an attacked model, switched in one module."""

    axis = "attack"

    versions: dict = field(default_factory=dict)

    @property
    def forget(self):
        return self.subject.splits["forget"]

    @property
    def retain(self):
        return self.subject.splits["retain"]

    @contextmanager
    def _with(self, which):
        before = models.snapshot(self.model)
        models.restore(self.model, self.weights(which))
        try:
            yield self.model
        finally:
            models.restore(self.model, before)

    def original(self):
        return self._with("original")

    def unlearned(self):
        return self._with("unlearned")

    def attacked(self):
        return self._with("attacked")

    def weights(self, which):
        if which not in self.versions:
            raise HarnessError(f"There is no {which} model.")
        return self.versions[which]


def comparison(subject, original, unlearned, attacked=None, config=None, seed=0):
    """A job that compares models of one shape; that of ``subject`` is another yet."""
    kinds = {"original": original, "unlearned": unlearned, "attacked": attacked}
    versions = {kind: models.snapshot(model) for kind, model in kinds.items() if model is not None}
    subject = copy.copy(subject)
    subject.model = copy.deepcopy(unlearned)
    return Comparison(subject, config, seed, versions=versions)


def run(analysis, job):
    """The findings; the models are afterwards as they were."""
    before = models.weights_fingerprint(job.model)
    findings = list(analysis.analyse(job))
    assert models.weights_fingerprint(job.model) == before
    return findings


def values(findings, figure, series=None):
    """By (layer, module, x), or whichever of them tell apart, the values of a figure's series."""
    chosen = [f for f in findings if f.figure == figure and series in (None, f.series)]
    assert chosen, figure
    return {(f.layer, f.module, f.x): f.value for f in chosen}


def single(findings, figure, series=""):
    """The one value of a figure's series that belongs to no layer."""
    [value] = [
        f.value for f in findings if (f.figure, f.series, f.layer, f.module) == (figure, series, None, None)
    ]
    return value
