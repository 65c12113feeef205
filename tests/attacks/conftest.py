"""What an attack would train on, and what it changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.core.types import Splits
from harness.engine.attacking import AttackJob, run_attack
from harness.model import models


@pytest.fixture
def draw(make_subject, toy_benchmark, tiny):
    """Let an attack draw its facts and stop short of training; returns the job and what it would train on."""

    def draw(attack, seed=0, known=(), model=None, splits=None):
        benchmark = toy_benchmark(lambda split, metric, fact: float(fact.id in known))
        more = {"splits": splits} if splits else {}
        subject = make_subject(benchmark, model, **more)
        job = AttackJob(subject, attack.config, seed, subject.splits.only(attack.reads), {})
        trained = []
        job.finetune = lambda facts, *how, **more: trained.extend(facts)
        attack.attack(job)
        return job, trained

    return draw


@pytest.fixture
def attacked(make_subject, toy_benchmark, tiny):
    """``attacked(family, attack)``: the decoder layers' matrices before and after; nothing else changed."""

    def attacked(family, attack, seed=0, dtype=torch.float32):
        model = tiny(family).to(dtype)
        subject = make_subject(toy_benchmark(), model)
        weights = models.snapshot(model)
        before = {path: weight.clone() for path, weight in models.matrices(model).items()}
        outcome = run_attack(subject, attack, seed, weights)
        assert outcome.cost.steps == 0
        after = models.matrices(model)
        changed = {name for name, t in model.state_dict().items() if not torch.equal(t, weights[name])}
        linear = {
            f"{path}.weight"
            for path, module in model.named_modules()
            for block in models.blocks(model)
            if any(module is found for found in models.linear_modules(block).values())
        }
        assert changed <= linear  # embeddings, norms, biases and the head stay
        assert len(before) == len(linear)
        return before, after

    return attacked


@pytest.fixture
def hiding(tiny, make_subject, toy_benchmark):
    """``hiding(known, hide, attack)``: each answer's nats per token, less those of the model that knows it,
    when hidden and after the attack. ``known`` and ``hide`` change each matrix in place."""

    def hiding(known, hide, attack):
        subject = make_subject(toy_benchmark(), tiny())

        def logs(samples=None):
            samples = samples or subject.score(Splits({"forget": subject.splits["forget"]}))
            return np.log([sample.value for sample in samples if sample.metric == "probability"])

        for weight in models.matrices(subject.model).values():
            known(weight)
        before = logs()
        for weight in models.matrices(subject.model).values():
            hide(weight)
        hidden = logs()
        outcome = run_attack(subject, attack, 0, models.snapshot(subject.model))
        return hidden - before, logs(outcome.samples) - before

    return hiding
