"""What a method or an attack changes beside the weights fails its cell, whatever it is."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

import harness.scoring.scorer
from harness.core.base import Attack, Method
from harness.engine.cell import UnlearnedModel
from harness.engine.integrity import Tampered
from harness.engine.surroundings import Surroundings
from harness.testing.sandbox import tokenizer_of

CHANGES = {
    "the default dtype": lambda job: torch.set_default_dtype(torch.float64),
    "gradients left off": lambda job: torch.set_grad_enabled(False),
    "the directory": lambda job: os.chdir("/"),
    "the number of threads": lambda job: torch.set_num_threads(3),
    "deterministic kernels": lambda job: torch.use_deterministic_algorithms(True),
    "a thread that goes on": lambda job: threading.Thread(target=GO_ON.wait, daemon=True).start(),
    "a hook on every module": lambda job: nn.modules.module.register_module_forward_hook(lambda *_: None),
    "the scorer": lambda job: setattr(harness.scoring.scorer.Scorer, "measure", lambda *_: []),
    "the body of a function": lambda job: setattr(harness.scoring.scorer.Scorer.measure, "__code__", CODE),
    "a loss of torch": lambda job: setattr(nn.functional, "cross_entropy", lambda *_: None),
    "a step of the optimiser": lambda job: setattr(torch.optim.AdamW, "step", lambda *_: None),
    "a fact": lambda job: object.__setattr__(job.subject.splits["forget"][0], "answer", "Paris"),
    "the splits": lambda job: setattr(job.subject, "splits", job.subject.splits.only(frozenset({"forget"}))),
    "the threshold": lambda job: setattr(job.benchmark, "threshold", lambda splits: 1.0),
    "the forget metric": lambda job: setattr(job.benchmark, "forget_metric", "probability"),
    "the scores": lambda job: setattr(job.subject, "score", lambda *_: []),
    "the chat template": lambda job: setattr(job.tokens.tokenizer, "chat_template", "{{ messages }}"),
    "the words": lambda job: setattr(job.tokens, "tokenizer", tokenizer_of({"x": ()})),
    "the model": lambda job: setattr(job.subject, "model", nn.Sequential(job.subject.model)),
    "a hook": lambda job: parts(job)[0].register_forward_hook(lambda *_: None),
    "a hook on a weight": lambda job: job.model.lm_head.weight.register_hook(lambda grad: grad * 0),
    "a forward": lambda job: setattr(parts(job)[0], "forward", lambda *_: None),
    "a module": lambda job: setattr(
        job.model, "lm_head", Linear(16, job.model.lm_head.out_features, bias=False)
    ),
    "the dtype": lambda job: job.model.half(),
    "the shape": lambda job: setattr(job.model.lm_head, "weight", nn.Parameter(torch.zeros(3, 16))),
    "one more weight": lambda job: job.model.register_parameter("bias", nn.Parameter(torch.zeros(1))),
    "tied weights": lambda job: setattr(job.model.model.embed_tokens, "weight", job.model.lm_head.weight),
    "weights that do not train": lambda job: job.model.requires_grad_(False),
    "training mode": lambda job: job.model.train(),
    "the scale of attention": lambda job: setattr(job.model.model.layers[0].self_attn, "scaling", 0.0),
    "the rotation": lambda job: job.model.model.rotary_emb.inv_freq.mul_(2.0),
    "the configuration": lambda job: setattr(job.model.config, "eos_token_id", 1),
    "how it generates": lambda job: setattr(job.model.generation_config, "eos_token_id", 1),
}

GO_ON = threading.Event()
CODE = (lambda self, wanted: []).__code__


class Linear(nn.Linear):
    """A module that is named as another."""


def parts(job):
    return list(job.model.model.layers)


@pytest.fixture(autouse=True)
def put_back(monkeypatch):
    """All that the changes leave in this process."""
    here, grad, dtype, threads = os.getcwd(), torch.is_grad_enabled(), torch.get_default_dtype(), 1
    scorer = harness.scoring.scorer.Scorer
    code = scorer.measure.__code__
    for place, name in ((scorer, "measure"), (nn.functional, "cross_entropy"), (torch.optim.AdamW, "step")):
        monkeypatch.setattr(place, name, getattr(place, name))
    GO_ON.clear()
    yield
    GO_ON.set()
    monkeypatch.undo()
    scorer.measure.__code__ = code
    os.chdir(here)
    torch.set_grad_enabled(grad)
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    nn.modules.module._global_forward_hooks.clear()


@pytest.fixture
def subject(make_subject, toy_benchmark):
    """A model on facts of its own, which a change does not carry to other tests."""
    made = make_subject(toy_benchmark(lambda *_: 0.25))
    splits = {name: tuple(replace(fact) for fact in facts) for name, facts in made.splits.items()}
    made.splits = type(made.splits)(splits)
    made.tokens = type(made.tokens)(tokenizer_of(made.splits))
    return made


class Plain(Method):
    """Moves the weights a little, and does what it is told beside."""

    name = "plain"

    def __init__(self, beside=lambda job: None):
        super().__init__()
        self.beside = beside

    def unlearn(self, job):
        with torch.no_grad():
            for parameter in job.model.parameters():
                parameter.mul_(0.9)
        self.beside(job)


class Look(Attack):
    """Looks at the scores, and does what it is told beside."""

    name = "look"
    reads = frozenset({"forget"})

    def __init__(self, beside=lambda job: None):
        super().__init__()
        self.beside = beside

    def attack(self, job):
        job.checkpoint()
        self.beside(job)


def test_a_method_that_changes_weights_alone_is_fine(subject):
    unlearned = UnlearnedModel.unlearn(subject, Plain(), 0, Surroundings())
    assert unlearned.attack(Look(), 0).metrics
    assert unlearned.is_intact()


def test_a_thread_that_ends_in_a_moment_is_no_change(subject):
    """Those that load weights are left to end by themselves, which a busy machine shows."""
    method = Plain(lambda job: threading.Thread(target=time.sleep, args=(0.2,)).start())
    assert UnlearnedModel.unlearn(subject, method, 0, Surroundings()).is_intact()


@pytest.mark.parametrize("change", CHANGES)
def test_a_method_that_changes_something_else_has_no_cells(subject, change):
    before = Surroundings()
    with pytest.raises(Tampered, match="The method 'plain' left things other than it found them: "):
        UnlearnedModel.unlearn(subject, Plain(CHANGES[change]), 0, before)


@pytest.mark.parametrize("change", CHANGES)
def test_an_attack_that_changes_something_else_fails(subject, change):
    unlearned = UnlearnedModel.unlearn(subject, Plain(), 0, Surroundings())
    with pytest.raises((Tampered, AttributeError, RuntimeError, KeyError)) as raised:
        unlearned.attack(Look(CHANGES[change]), 0)  # some changes break the end of the attack itself
    assert raised.type is Tampered or not unlearned.is_intact()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_erased_knowledge(subject, number):
    def spoil(job):
        job.model.lm_head.weight.data[0, 0] = number

    with pytest.raises(Tampered, match=r"left weights that are not finite: .*weight"):
        UnlearnedModel.unlearn(subject, Plain(spoil), 0, Surroundings())


def test_the_sentence_says_what_was_and_what_to_do(subject):
    with pytest.raises(Tampered) as raised:
        UnlearnedModel.unlearn(subject, Plain(CHANGES["a hook"]), 0, Surroundings())
    assert str(raised.value) == (
        "The method 'plain' left things other than it found them: hooks: model.layers.0 was 0 and is 1. "
        "Remove hooks and wrappers, set requires_grad and eval() back, and change job.model in place."
    )


def test_what_libraries_do_when_they_are_first_used_is_no_change():
    before = Surroundings()
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert before.changes() == []
