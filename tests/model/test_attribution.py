"""Attribution of answers to output units: the equation, by a graph of P and by scaling one unit at a time."""

from __future__ import annotations

import copy
import gc
import math
import weakref

import pytest
import torch

from harness.core.types import Example, Prompt
from harness.errors import ModelError
from harness.model import attribution
from harness.model.attribution import attribute
from harness.model.losses import nll
from harness.model.neurons import feed_forwards
from support.seven import GOLDEN, attribution_of_unit, attributions, made


@pytest.fixture
def examples(tokens, toy_splits):
    """Questions of several lengths with answers of two tokens and of three."""
    facts = [*toy_splits["forget"][:3], *toy_splits["instruct"][:2]]
    return tokens.examples([Example(Prompt(fact.question), fact.answer) for fact in facts])


@pytest.fixture
def batches(tokens):
    """``batches(examples, size)``: them in batches of that many, padded on the left."""
    return lambda data, size=32: tokens.runs(data, size, torch.device("cpu"))


@pytest.mark.parametrize("name", GOLDEN)
def test_it_is_what_the_equation_says_of_each_text_alone(name, tokenizer, examples, batches):
    model = made(name, tokenizer)
    found = attribute(model, batches(examples))
    of_texts = attributions(model, examples)
    for output, part in found.parts():
        each = of_texts[output.layer, output.module]
        highest = torch.stack([a.amax(dim=0) for a in each]).mean(dim=0)
        positive = torch.stack([a.amax(dim=0).clamp(min=0) for a in each]).mean(dim=0)
        lowest = torch.stack([a.amin(dim=0) for a in each]).mean(dim=0)
        scale = max(highest.abs().max(), lowest.abs().max())
        assert scale > 0
        for expected, value in (
            (highest, found.highest),
            (positive, found.positive),
            (lowest, found.lowest),
        ):
            assert (value[part] - expected).abs().max() <= 1e-5 * scale


@pytest.mark.parametrize("name", GOLDEN)
def test_it_is_by_how_much_the_probability_changes_when_a_unit_is_scaled(name, tokenizer, examples, batches):
    model = made(name, tokenizer)
    example = examples[3]
    length = len(example[0]) + len(example[1])
    found = attribute(model, batches([example]))
    for output, part in found.parts():
        unit = int(found.highest[part].argmax())
        changes = [attribution_of_unit(model, example, output, unit, token) for token in range(length)]
        assert changes[-1] == 0  # nothing comes behind the last token
        scale = max(map(abs, changes))
        assert scale > 0
        assert found.highest[part][unit].item() == pytest.approx(max(changes[:-1]), abs=1e-5 * scale)
        assert found.lowest[part][unit].item() == pytest.approx(min(changes[:-1]), abs=1e-5 * scale)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_it_does_not_depend_on_the_batch(name, size, tokenizer, examples, batches):
    model = made(name, tokenizer)
    whole, cut = attribute(model, batches(examples)), attribute(model, batches(examples, size))
    for one, other in (
        (whole.highest, cut.highest),
        (whole.positive, cut.positive),
        (whole.lowest, cut.lowest),
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * one.abs().max().item())


def test_in_float32_it_is_near_that_in_float64(tiny, examples, batches):
    exact, rough = attribute(tiny().double(), batches(examples)), attribute(tiny(), batches(examples))
    assert rough.highest.dtype == torch.float64
    for one, other in ((exact.highest, rough.highest), (exact.lowest, rough.lowest)):
        assert (one - other).abs().max() <= 1e-4 * one.abs().max()


def test_a_probability_that_float32_cannot_hold_still_counts(tiny, tokens, toy_splits, batches):
    """P of some 1e-80: in float32 every influence would be 0."""
    facts = toy_splits["forget"]
    long = " ".join(fact.answer for fact in facts)
    examples = tokens.examples([Example(Prompt(fact.question), long) for fact in facts[:2]])
    model = tiny()
    [texts] = batches(examples)
    losses = nll(model, texts)
    assert losses.min() > 110
    assert torch.exp(-losses).max() == 0
    found, exact = attribute(model, batches(examples)), attribute(tiny().double(), batches(examples))
    assert found.highest.max() > 0
    assert found.highest.max() < 1e-45
    assert (found.highest - exact.highest).abs().max() < 1e-3 * exact.highest.max()


@pytest.mark.parametrize("frozen", [True, False])
def test_it_leaves_no_gradient_no_hook_and_the_weights(frozen, tiny, examples, batches):
    model = tiny().requires_grad_(not frozen)
    before = copy.deepcopy(model.state_dict())
    hooks = [len(module._forward_hooks) for module in model.modules()]
    with torch.no_grad():
        found = attribute(model, batches(examples))
    assert found.highest.max() > 0
    assert all(p.grad is None for p in model.parameters())
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_of_frozen_weights_it_is_the_same(tiny, examples, batches):
    one = attribute(tiny(), batches(examples))
    other = attribute(tiny().requires_grad_(False), batches(examples))
    assert torch.equal(one.highest, other.highest)
    assert torch.equal(one.lowest, other.lowest)


def test_memory_does_not_grow_with_the_number_of_texts(tiny, examples, batches, monkeypatch):
    """At the begin of each batch as many numbers are held after forty texts as after four."""
    model, held = tiny(), []
    extremes = attribution._extremes

    def watched(*args):
        gc.collect()
        held.append(sum(x.numel() for x in gc.get_objects() if issubclass(type(x), torch.Tensor)))
        return extremes(*args)

    monkeypatch.setattr(attribution, "_extremes", watched)
    attribute(model, batches(examples * 16, 4))
    assert len(held) == 20
    assert sorted(held[5:10]) == sorted(held[15:])  # five batches in turn, of texts as long as these


def test_nothing_of_a_batch_is_kept(tiny, examples, batches):
    kept = []

    def followed():
        for texts in batches(examples, 2):
            kept.append(weakref.ref(texts.input_ids))
            yield texts
            del texts

    found = attribute(tiny(), followed())
    gc.collect()
    assert len(kept) == 3
    assert all(reference() is None for reference in kept)
    assert len(found.highest) == sum(len(output) for output in found.outputs)


def test_the_places_of_the_maps_follow_each_other(tiny, examples, batches):
    found = attribute(tiny(), batches(examples))
    places = [range(part.start, part.stop) for _, part in found.parts()]
    assert [unit for place in places for unit in place] == list(range(len(found.highest)))
    assert [len(place) for place in places] == [len(output) for output in found.outputs]


def test_a_unit_that_is_silent_has_no_influence(model, examples, batches):
    with torch.no_grad():
        feed_forwards(model)[1].out.weight[5] = 0
    found = attribute(model, batches(examples))
    for output, part in found.parts():
        if (output.layer, output.module) == (1, "down"):
            assert found.highest[part][5] == found.lowest[part][5] == 0
            assert (found.highest[part] > 0).sum() > 5


def test_without_texts_there_is_nothing_to_attribute(tiny):
    with pytest.raises(ValueError, match="at least one text"):
        attribute(tiny(), [])


def test_numbers_that_are_not_finite_are_refused(model, examples, batches):
    with torch.no_grad():
        feed_forwards(model)[0].out.weight[0, 0] = torch.nan
    with pytest.raises(ModelError, match="Influence in LlamaForCausalLM is no finite number"):
        attribute(model, batches(examples))


def test_it_is_of_all_answer_tokens_together(model, examples, batches):
    """P is a product: the sum over units of what enters the residual stream is not that of one token."""
    [texts] = batches(examples[1:2])
    p = math.exp(-nll(model, texts).item())
    found = attribute(model, batches(examples[1:2]))
    assert found.highest.max() < 50 * p
    assert found.highest.max() > 0.01 * p
