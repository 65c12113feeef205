"""Neurons are found in any family, scored as the papers define it, and trained alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from harness.core.types import Example, Prompt
from harness.errors import ModelError
from harness.model.losses import cross_entropy
from harness.model.models import blocks, restored
from harness.model.neurons import (
    activations,
    feed_forward,
    feed_forwards,
    hidden,
    influence,
    integrated_influence,
    mask_steps,
    masks,
    one_token_each,
    sizes,
    top_share,
)
from support.attribution import attribution_of_one, influence_of_one
from support.equations import log_probability
from support.families import FEED_FORWARD, LINEAR


@pytest.fixture
def model(tiny):
    """A random model in float64."""
    return tiny().double()


@pytest.fixture
def examples(tokens, toy_splits):
    """Questions of several lengths with answers of two tokens and of three."""
    facts = [*toy_splits["forget"][:3], *toy_splits["instruct"][:2]]
    return tokens.examples([Example(Prompt(fact.question), fact.answer) for fact in facts])


@pytest.fixture
def texts(tokens, examples):
    """All of them, padded on the left."""
    return collated(tokens, examples)


def collated(tokens, examples):
    return tokens.collate(examples, range(len(examples)), len(examples), sum(len(a) for _, a in examples))


# Where they are.


def test_every_family_that_is_loaded_is_looked_at():
    assert FEED_FORWARD.keys() == LINEAR.keys()


@pytest.mark.parametrize("family", FEED_FORWARD)
@pytest.mark.parametrize("layers", [1, 3])
def test_the_feed_forward_part_of_each_layer_is_found(family, layers, tiny):
    model = tiny(family, num_hidden_layers=layers)
    into, out = FEED_FORWARD[family]
    parts = feed_forwards(model)
    assert len(parts) == layers
    for block, part in zip(blocks(model), parts, strict=True):
        names = {module: name for name, module in block.named_modules()}
        assert {names[module] for module in part.into} == into
        assert len(part.into) == len(into)
        assert names[part.out] == out
        assert part.units == (64 if family == "gpt2" else 24)
        fused = 2 if family == "phi3" else 1
        assert {sizes(module) for module in part.into} == {(16, fused * part.units)}
        assert sizes(part.out) == (part.units, 16)


@pytest.mark.parametrize("family", FEED_FORWARD)
def test_the_feed_forward_part_is_found_where_it_is_as_wide_as_the_model(family, tiny):
    wide = {"n_inner": 16} if family == "gpt2" else {"intermediate_size": 16}
    into, out = FEED_FORWARD[family]
    for block in blocks(tiny(family, **wide)):
        names = {module: name for name, module in block.named_modules()}
        part = feed_forward(block)
        assert ({names[module] for module in part.into}, names[part.out]) == (into, out)


def test_a_layer_without_linear_maps_is_refused():
    with pytest.raises(ModelError, match="LayerNorm has no linear modules"):
        feed_forward(nn.LayerNorm(4))


def test_a_layer_with_one_linear_map_is_refused():
    with pytest.raises(ModelError, match="Sequential has no feed-forward part of two linear maps"):
        feed_forward(nn.Sequential(nn.Linear(4, 8)))


def test_a_mixture_of_experts_is_refused(tokenizer):
    config = AutoConfig.for_model(
        "mixtral",
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=2,
    )
    with pytest.raises(ModelError):
        feed_forwards(AutoModelForCausalLM.from_config(config))


# Hidden states.


@pytest.mark.parametrize("family", FEED_FORWARD)
def test_hidden_states_are_those_of_the_full_model(family, tiny, texts):
    model = tiny(family, num_hidden_layers=3)
    full = model(
        input_ids=texts.input_ids,
        attention_mask=texts.attention_mask,
        position_ids=texts.position_ids,
        output_hidden_states=True,
        use_cache=False,
    ).hidden_states
    inside = texts.attention_mask.bool()
    for layer in range(2):  # of the last layer transformers gives what is behind the final norm
        torch.testing.assert_close(hidden(model, texts, layer)[inside], full[layer + 1][inside])
    in_layers = {module for block in blocks(model) for module in block.modules()}
    norms = [m for m in model.modules() if "Norm" in type(m).__name__ and m not in in_layers]
    torch.testing.assert_close(norms[-1](hidden(model, texts, 2))[inside], full[3][inside])


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_nothing_above_the_layer_runs_and_no_hook_is_left(family, layer, tiny, texts):
    model = tiny(family, num_hidden_layers=3)
    ran = []
    for i, block in enumerate(blocks(model)):
        block.register_forward_pre_hook(lambda module, args, i=i: ran.append(i))
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda module, args: ran.append("head"))
    state = hidden(model, texts, layer)
    assert ran == list(range(layer + 1))
    assert state.requires_grad
    assert state.shape == (*texts.input_ids.shape, 16)
    ran.clear()
    model(texts.input_ids)
    assert ran == [0, 1, 2, "head"]


def test_the_gradient_of_a_hidden_state_reaches_the_layers_up_to_it(tiny, texts):
    model = tiny(num_hidden_layers=3)
    hidden(model, texts, 1).sum().backward()
    reached = [any(p.grad is not None for p in block.parameters()) for block in blocks(model)]
    assert reached == [True, True, False]


# Weights put back.


def test_weights_lent_are_put_back_bit_for_bit_even_after_an_error(model, texts):
    parameters = [part.out.weight for part in feed_forwards(model)]
    before = [p.detach().clone() for p in parameters]
    places = [p.data_ptr() for p in parameters]
    other = [torch.zeros_like(p) for p in before]
    with restored(parameters, other):
        assert all(torch.equal(p, o) for p, o in zip(parameters, other, strict=True))
        inside = hidden(model, texts, 1)
    assert not torch.equal(inside, hidden(model, texts, 1))
    with pytest.raises(ZeroDivisionError), restored(parameters, other):
        raise ZeroDivisionError
    assert [p.data_ptr() for p in parameters] == places
    assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))


# What they do to an answer.


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi", "gpt_neox"])
def test_influence_is_that_of_each_text_alone(family, tiny, texts, examples):
    model = tiny(family).double()
    found = influence(model, texts)
    assert found.shape == (len(examples), 2, feed_forwards(model)[0].units)
    for i, example in enumerate(examples):
        for layer in range(2):
            expected = influence_of_one(model, *example, layer).amax(dim=0)
            scale = expected.abs().max()
            assert scale > 0
            assert (found[i, layer] - expected).abs().max() <= 1e-5 * scale


def test_influence_of_a_text_does_not_depend_on_its_neighbours(model, tokens, texts, examples):
    together = influence(model, texts)
    for i, example in enumerate(examples):
        torch.testing.assert_close(influence(model, collated(tokens, [example]))[0], together[i])


def test_influence_leaves_no_gradient_and_no_hook(model, texts):
    before = [len(module._forward_pre_hooks) for module in model.modules()]
    with torch.no_grad():
        influence(model, texts)
    assert all(p.grad is None for p in model.parameters())
    assert [len(module._forward_pre_hooks) for module in model.modules()] == before


def test_activations_are_what_enters_the_last_map(model, texts):
    part = feed_forwards(model)[0]
    with activations(model) as found:
        model(texts.input_ids)
    assert [a.shape for a in found] == [(*texts.input_ids.shape, 24)] * 2
    x = model.model.layers[0].post_attention_layernorm(hidden_before_mlp(model, texts.input_ids))
    gate, up = part.into
    torch.testing.assert_close(found[0], nn.functional.silu(gate(x)) * up(x))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_integrated_influence_is_the_sum_over_tokens_one_by_one(family, steps, tiny, tokens, examples):
    model = tiny(family).double()
    rows = one_token_each(examples)
    found = integrated_influence(model, collated(tokens, rows), steps)
    for layer in range(2):
        expected = sum(
            attribution_of_one(model, list(prompt), answer[0], layer, steps) for prompt, answer in rows
        )
        assert (found[layer] - expected).abs().max() <= 1e-5 * expected.abs().max()


def hidden_before_mlp(model, ids):
    """The residual stream of the first layer behind its attention."""
    kept = []
    norm = model.model.layers[0].post_attention_layernorm
    handle = norm.register_forward_pre_hook(lambda module, args: kept.append(args[0]))
    model(ids)
    handle.remove()
    return kept[0]


def test_integrated_influence_adds_up_to_what_the_layer_does_to_the_answer(model, tokens, examples):
    """With many steps the sum over neurons is P with the layer's activations less P without them."""
    rows = one_token_each(examples)
    found = integrated_influence(model, collated(tokens, rows), 200).sum(dim=1)
    for layer, part in enumerate(feed_forwards(model)):

        def empty(module, args):
            x = args[0].clone()
            x[:, -2] = 0  # the position that predicts the answer token, the last one
            return (x,)

        expected = 0.0
        for prompt, answer in rows:
            handle = part.out.register_forward_pre_hook(empty)
            without = log_probability(model, prompt, answer).exp()
            handle.remove()
            expected += (log_probability(model, prompt, answer).exp() - without).item()
        assert abs(expected) > 1e-3
        assert found[layer].item() == pytest.approx(expected, rel=0.05)


def test_integrated_influence_takes_one_answer_token_at_a_time(model, texts):
    with pytest.raises(ValueError, match="one answer token"):
        integrated_influence(model, texts, 3)


def test_each_answer_token_becomes_an_example(examples):
    rows = one_token_each([((1, 2), (3, 4, 0)), ((5,), (0,))])
    assert rows == [((1, 2), (3,)), ((1, 2, 3), (4,)), ((1, 2, 3, 4), (0,)), ((5,), (0,))]


# Training some of them.


def chosen_units(model, *units):
    """A mask of neurons from pairs (layer, unit)."""
    mask = torch.zeros(len(blocks(model)), feed_forwards(model)[0].units, dtype=torch.bool)
    for layer, unit in units:
        mask[layer, unit] = True
    return mask


@pytest.mark.parametrize("family", FEED_FORWARD)
def test_the_weights_into_a_neuron_change_that_neuron_alone(family, tiny, texts):
    model = tiny(family).double()
    found = masks(model, chosen_units(model, (0, 5)))
    outs = {part.out.weight for part in feed_forwards(model)}
    with activations(model) as before:
        model(texts.input_ids)
    with torch.no_grad():
        for parameter, mask in found.items():
            if parameter not in outs:
                parameter.add_(mask * 0.5)
    with activations(model) as after:
        model(texts.input_ids)
    changed = (before[0] != after[0]).flatten(0, 1).any(dim=0)
    assert changed.nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize("family", FEED_FORWARD)
def test_the_weights_out_of_a_neuron_carry_that_neuron_alone(family, tiny):
    model = tiny(family).double()
    part = feed_forwards(model)[1]
    found = masks(model, chosen_units(model, (1, 7)), into=False)
    assert list(found) == [p.out.weight for p in feed_forwards(model)]
    x = torch.randn(3, part.units, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = part.out(x)
    with torch.no_grad():
        part.out.weight.add_(found[part.out.weight] * 0.5)
    assert (part.out(x) != before).all()
    x[:, 7] = 0
    with torch.no_grad():
        changed = part.out(x)
        part.out.weight.sub_(found[part.out.weight] * 0.5)
    torch.testing.assert_close(changed, part.out(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("family", FEED_FORWARD)
def test_masks_choose_as_many_weights_as_the_neurons_have(family, tiny):
    model = tiny(family)
    found = masks(model, chosen_units(model, (0, 1), (0, 2), (1, 3)))
    count = sum(int(mask.expand(parameter.shape).sum()) for parameter, mask in found.items())
    part = feed_forwards(model)[0]
    into = sum(sizes(module)[1] // part.units for module in part.into)
    biases = sum(module.bias is not None for module in part.into)
    assert count == 3 * (16 * (into + 1) + biases)


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi"])
def test_an_optimiser_with_masks_leaves_the_rest_bit_for_bit(family, tiny, texts):
    model = tiny(family)
    before = copy.deepcopy(dict(model.named_parameters()))
    found = masks(model, chosen_units(model, (0, 1), (1, 3)))
    model.requires_grad_(False)
    for parameter in found:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(found, lr=1e-2, weight_decay=0.3)
    mask_steps(optimizer, found)
    for _ in range(4):
        cross_entropy(model, texts).backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, parameter in model.named_parameters():
        mask = found.get(parameter, torch.tensor(False)).expand(parameter.shape)
        same = parameter == before[name]
        assert same[~mask].all()
        assert not same[mask].any()


@pytest.mark.parametrize(
    ("share", "count"), [(1e-9, 1), (0.1, 2), (0.25, 6), (0.5, 12), (0.99, 24), (1.0, 24)]
)
def test_the_top_share_has_the_highest_scores(share, count):
    scores = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    mask = top_share(scores, share)
    assert mask.shape == scores.shape
    assert mask.dtype == torch.bool
    assert int(mask.sum()) == count
    assert count == 24 or scores[mask].min() > scores[~mask].max()


def test_the_top_share_of_equal_scores_still_counts():
    assert int(top_share(torch.zeros(3, 10), 0.2).sum()) == 6
