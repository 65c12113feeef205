"""What saves memory of the device changes no gradient and no weight, or says which optimiser it is."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from harness.methods.gd import GradientDifference

from harness.core import optimizers
from harness.core.memory import MemorySavings
from harness.engine.unlearning import UnlearningJob
from harness.errors import HarnessError
from harness.model import models
from harness.model.checkpointing import checkpointed
from harness.model.losses import cross_entropy, reference_logits


@pytest.fixture
def texts(make_subject, toy_benchmark):
    job = UnlearningJob(make_subject(toy_benchmark()), None, 0)
    return next(iter(job.runs(job.encode(job.forget), 4)))


def gradients(model, texts, again):
    calls = []
    handle = models.blocks(model)[1].register_forward_hook(lambda *_: calls.append(1))
    with checkpointed(model) if again else nullcontext():
        loss = cross_entropy(model, replace(texts, step_tokens=7))
        loss.backward()
    handle.remove()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found, len(calls)


def saved(model, texts, again):
    """How many tensors the graph of a loss keeps."""
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(1), lambda tensor: tensor)
    with checkpointed(model) if again else nullcontext(), hooks:
        cross_entropy(model, replace(texts, step_tokens=7))
    return len(kept)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2"])
def test_checkpointing_gives_the_same_gradients_to_the_bit_and_leaves_nothing(family, texts, tiny):
    model = tiny(family)
    kept = []
    with (
        checkpointed(model),
        torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t),
    ):
        cross_entropy(model, replace(texts, step_tokens=7))
    whole = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: whole.append(t) or t, lambda t: t):
        cross_entropy(model, replace(texts, step_tokens=7))
    assert len(kept) < len(whole) / 2
    (plain, once), (other, again) = gradients(model, texts, False), gradients(model, texts, True)
    assert once == again == 1  # a hook on a layer itself runs once
    assert all(torch.equal(plain[name], other[name]) for name in plain)
    assert all("forward" not in vars(layer) for layer in models.blocks(model))


def test_an_offloaded_snapshot_is_the_same_on_its_own(tiny):
    model = tiny()
    kept = models.snapshot(model, offload=True)
    assert models.fingerprint(kept) == models.weights_fingerprint(model)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert models.fingerprint(kept) != models.weights_fingerprint(model)
    models.restore(model, kept)
    assert models.fingerprint(kept) == models.weights_fingerprint(model)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2"])
def test_weights_that_are_brought_module_by_module_give_what_a_second_model_gives(family, texts, tiny):
    model, other = tiny(family), tiny(family, seed=1)
    before, weights = models.weights_fingerprint(model), models.snapshot(other)
    expected = reference_logits(model, weights, texts)
    own = {name: weights[name] for name, _ in model.named_parameters()}
    with torch.no_grad(), models.brought(model, own):
        brought = model(input_ids=texts.input_ids, attention_mask=texts.attention_mask,
                        position_ids=texts.position_ids).logits  # fmt: skip
        width = texts.answer_width
        assert torch.equal(brought[:, -width - 1 : -1], expected)
    assert models.weights_fingerprint(model) == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_weights_are_back_after_a_pass_that_fails(texts, tiny):
    model, before = tiny(), models.weights_fingerprint(tiny())
    own = {name: value * 0 for name, value in model.named_parameters()}
    handle = models.blocks(model)[1].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), torch.no_grad(), models.brought(model, own):
        model(input_ids=texts.input_ids)
    handle.remove()
    assert models.weights_fingerprint(model) == before


def test_methods_step_by_the_optimiser_of_the_run_and_nobody_else_does(
    monkeypatch, make_subject, toy_benchmark
):
    class Compressed(torch.optim.AdamW):
        made = 0

        def __init__(self, *args, **more):
            type(self).made += 1
            super().__init__(*args, **more)

    library = ModuleType("bitsandbytes.optim")
    library.AdamW8bit = Compressed
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", library)
    monkeypatch.setattr(optimizers, "find_spec", lambda name: object())
    subject = make_subject(toy_benchmark(lambda *_: 1.0), savings=MemorySavings("adamw_8bit"))
    job = UnlearningJob(subject, GradientDifference.Config(), 0)
    job.train(lambda model, batch: cross_entropy(model, batch.forget), 1e-3, 1)
    assert Compressed.made == 1
    assert type(optimizers.adamw([torch.nn.Parameter(torch.ones(2))], 1e-3, 0.0)) is torch.optim.AdamW


def test_an_optimiser_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setattr(optimizers, "find_spec", lambda name: None)
    sentence = "--optimizer adamw_8bit needs bitsandbytes: pip install 'unlearning-harness[bitsandbytes]'."
    with pytest.raises(HarnessError, match="^" + sentence.replace("[", r"\[").replace("]", r"\]") + "$"):
        optimizers.check_installed("adamw_8bit")
    optimizers.check_installed("adamw")


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes, an extra, is not installed")
@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize("kind", optimizers.KINDS)
def test_the_optimisers_of_bitsandbytes_step_about_as_adamw_does(kind):
    moved = {}
    for of in (optimizers.ADAMW, kind):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 8192))
        with optimizers.of_kind(of):
            optimizer = optimizers.adamw([parameter], 1e-2, weight_decay=0.0)
        for step in range(3):
            parameter.grad = torch.linspace(-1, 2, 8192) * (step + 1)
            optimizer.step()
        moved[of] = parameter.detach() - torch.linspace(-1, 1, 8192)
    assert (moved[kind] - moved[optimizers.ADAMW]).abs().mean() < 0.05 * moved[optimizers.ADAMW].abs().mean()
