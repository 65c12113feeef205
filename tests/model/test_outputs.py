"""The output units of the seven maps are found in any family, whatever map they are kept in."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from harness.errors import ModelError
from harness.model.models import blocks, size, snapshot
from harness.model.neurons import sizes
from harness.model.outputs import ATTENTION, MODULES, linear_outputs
from support.families import LINEAR
from support.seven import NAMED, made


@pytest.fixture
def ids(tokenizer):
    """Six tokens of a text."""
    return torch.tensor([tokenizer("Where does Ada live ? Oslo").input_ids[:6]])


def of_layer(model, layer=0):
    return {output.module: output for output in linear_outputs(model) if output.layer == layer}


@pytest.mark.parametrize("family", LINEAR)
def test_every_linear_map_of_a_family_is_among_them_unit_by_unit_once(family, tiny):
    model = tiny(family, num_hidden_layers=3)
    outputs = linear_outputs(model)
    assert sorted({output.layer for output in outputs}) == [0, 1, 2]
    for layer, block in enumerate(blocks(model)):
        names = {module: name for name, module in block.named_modules()}
        units = {}
        for output in outputs:
            if output.layer == layer:
                units.setdefault(names[output.linear], []).extend(output.units.tolist())
                assert output.path.endswith(names[output.linear])
                assert model.get_submodule(output.path) is output.linear
        assert units.keys() == LINEAR[family]
        for name, chosen in units.items():
            assert sorted(chosen) == list(range(sizes(block.get_submodule(name))[1]))


@pytest.mark.parametrize("family", LINEAR)
def test_they_are_listed_layer_by_layer_in_the_order_of_the_seven(family, tiny):
    listed = [(output.layer, MODULES.index(output.module)) for output in linear_outputs(tiny(family))]
    assert listed == sorted(listed)
    gates = {output.layer for output in linear_outputs(tiny(family)) if output.module == "gate"}
    assert gates == (set() if family in ("phi", "gpt_neox", "gpt2") else {0, 1})


@pytest.mark.parametrize("name", NAMED)
def test_q_k_and_v_are_told_apart_by_what_attention_does_with_them(name, tokenizer, ids):
    """A query matters to its own token alone, a key to those behind it, and without values nothing passes."""
    model = made(name, tokenizer)
    parts = of_layer(model)
    entering = []
    handle = parts["o"].linear.register_forward_pre_hook(lambda module, args: entering.append(args[0][0]))

    def run(module=None, token=None):
        """What enters o of the first layer (T, d), with a module's units at a token, or all, set to zero."""

        def silence(linear, args, out):
            out = out.clone()
            where = slice(None) if token is None else token
            out[0, where, parts[module].units] = 0
            return out

        hook = parts[module].linear.register_forward_hook(silence) if module else None
        entering.clear()
        with torch.no_grad():
            model(ids)
        if hook:
            hook.remove()
        [found] = entering
        return found

    def changed(module, token):
        rows = (run(module, token) - run()).abs().amax(dim=1) > 1e-9
        return rows.nonzero().flatten().tolist()

    assert changed("q", 3) == [3]
    assert changed("k", 3) == [3, 4, 5]
    assert changed("v", 3) == [3, 4, 5]
    assert run("v").abs().max() < 1e-12  # nothing to pass on
    assert run("k").abs().max() > 1e-3
    handle.remove()
    heads = {module: len(parts[module]) for module in ATTENTION}
    keys = {"llama": 8, "phi3": 8, "falcon, groups": 8}.get(name, 4 if "one key head" in name else 16)
    assert heads == {"q": 16, "k": keys, "v": keys, "o": 16}


@pytest.mark.parametrize("family", ["llama", "phi3", "qwen2"])
def test_gate_goes_through_the_nonlinearity_and_up_does_not(family, tiny, ids):
    model = tiny(family).double()
    parts = of_layer(model)
    entering = []
    parts["down"].linear.register_forward_pre_hook(lambda module, args: entering.append(args[0][0]))

    def run(module, by):
        def scale(linear, args, out):
            out = out.clone()
            out[..., parts[module].units] *= by
            return out

        hook = parts[module].linear.register_forward_hook(scale)
        entering.clear()
        with torch.no_grad():
            model(ids)
        hook.remove()
        return entering[0]

    torch.testing.assert_close(run("up", 2.0), 2 * run("up", 1.0))
    assert (run("gate", 2.0) - 2 * run("gate", 1.0)).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMED)
def test_the_matrix_of_a_map_makes_its_units_and_all_matrices_together_are_the_layers(name, tokenizer):
    model = made(name, tokenizer)
    weights = snapshot(model)
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    count = 0
    for output in linear_outputs(model):
        matrix = output.matrix(weights)
        count += matrix.numel()
        if matrix.shape[1] == 16:
            bias = output.linear.bias
            expected = output.linear(x)[:, output.units] - (0 if bias is None else bias[output.units])
            torch.testing.assert_close(x @ matrix.T, expected)
    vectors = sum(p.numel() for block in blocks(model) for p in block.parameters() if p.ndim == 1)
    assert count == sum(size(block) for block in blocks(model)) - vectors


# What cannot be analysed.


def model_of(family, tokenizer, **settings):
    shape = {"vocab_size": len(tokenizer), "num_hidden_layers": 1, "num_attention_heads": 4}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **(shape | settings)))


def test_a_family_that_keeps_q_k_and_v_in_an_unknown_order_is_refused(tokenizer):
    model = model_of("codegen", tokenizer, n_embd=16, rotary_dim=2, n_inner=24)
    with pytest.raises(ModelError, match=r"How codegen keeps q, k and v in one linear map \('qkv_proj'\)"):
        linear_outputs(model)


def test_a_layer_that_lacks_a_map_is_refused_with_its_name(tiny):
    model = tiny()
    attention = blocks(model)[1].self_attn
    del attention.k_proj, attention.v_proj
    with pytest.raises(ModelError, match=r"llama \(LlamaDecoderLayer\) has no k and v .*\(q_proj, o_proj\)"):
        linear_outputs(model)


def test_two_maps_of_which_none_is_a_gate_are_refused(tiny):
    model = tiny()
    mlp = blocks(model)[0].mlp
    mlp.w1, mlp.w3, mlp.w2 = mlp.gate_proj, mlp.up_proj, mlp.down_proj
    del mlp.gate_proj, mlp.up_proj, mlp.down_proj
    with pytest.raises(ModelError, match=r"of llama \(w1, w3\) is the gate"):
        linear_outputs(model)


def test_a_mixture_of_experts_is_refused(tokenizer):
    model = model_of(
        "mixtral", tokenizer, hidden_size=16, intermediate_size=24, num_key_value_heads=1, num_local_experts=2
    )
    with pytest.raises(ModelError, match="no feed-forward part of two linear maps"):
        linear_outputs(model)


def test_a_model_without_layers_is_refused():
    with pytest.raises(ModelError, match="No list of decoder layers"):
        linear_outputs(nn.Linear(2, 2))
