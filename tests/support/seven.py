"""Models whose seven linear maps are kept in every way that is known, and attribution one unit at a time."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness.model.models import blocks
from harness.model.outputs import linear_outputs
from support.equations import log_probability

NAMED = {
    "llama": {"num_attention_heads": 4, "num_key_value_heads": 2},  # grouped heads, all maps of their own
    "phi": {"num_attention_heads": 4},  # no gate
    "gpt2": {"num_attention_heads": 4},  # Conv1D, q, k and v behind each other
    "gpt_neox": {"num_attention_heads": 4},  # q, k and v of one head after the other
    "phi3": {"num_attention_heads": 4, "num_key_value_heads": 2},  # both maps fused, grouped heads
    "bloom": {"n_head": 4},
    "mpt": {"n_heads": 4, "d_model": 16},
    "persimmon": {"num_attention_heads": 4},
    "falcon": {"num_attention_heads": 4, "multi_query": False},
    "falcon, one key head": {"num_attention_heads": 4, "multi_query": True},
    "falcon, groups": {"num_attention_heads": 4, "new_decoder_architecture": True, "num_kv_heads": 2},
    "gpt_bigcode": {"n_head": 4, "multi_query": False},
    "gpt_bigcode, one key head": {"n_head": 4, "multi_query": True},
}
"""Settings of a model of each way to keep q, k and v, by family and what is particular."""

GOLDEN = ("llama", "gpt2", "gpt_neox", "phi", "phi3")
"""Grouped heads, Conv1D, a fused map, no gate, and fused maps of grouped heads with a gate."""


def made(name, tokenizer, **more):
    """A random model of two layers, in float64."""
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    family = name.partition(",")[0]
    if family in ("gpt2", "bloom", "mpt", "gpt_bigcode"):
        del shape["intermediate_size"]
    if family == "mpt":
        del shape["hidden_size"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **(shape | NAMED[name] | more))
        return exact(AutoModelForCausalLM.from_config(config).double().eval())


def exact(model):
    """The same with norms in float64: those of transformers go through float32, and differences show it."""
    for module in list(model.modules()):
        for name, norm in module.named_children():
            if type(norm).__name__.endswith("RMSNorm"):
                plain = torch.nn.RMSNorm(len(norm.weight), norm.variance_epsilon, dtype=torch.float64)
                plain.weight = norm.weight
                setattr(module, name, plain)
    return model


def probability(model, example, output=None, unit=None, token=None, by=1.0):
    """P(y|x) of a text alone, with one unit at one token multiplied by ``by``."""

    def scale(module, args, out):
        out = out.clone()
        out[0, token, output.units[unit]] *= by
        return out

    handle = output.linear.register_forward_hook(scale) if output else None
    with torch.no_grad():
        value = log_probability(model, *example).exp()
    if handle:
        handle.remove()
    return value.item()


def attribution_of_unit(model, example, output, unit, token, step=1e-4):
    """h dP/dh of one unit at one token: by how much P changes when h becomes (1 + eps) h, over eps."""
    more, less = (probability(model, example, output, unit, token, 1 + e) for e in (step, -step))
    return (more - less) / (2 * step)


def attribution_of_text(model, example):
    """h dP/dh (T - 1, units) of every token before the last of one text, of each map: from one graph of P."""
    kept, changes = {}, {}

    def shift(module, args, out):
        changes[module] = torch.zeros_like(out, requires_grad=True)
        kept[module] = out.detach()
        return out + changes[module]

    outputs = linear_outputs(model)
    handles = [linear.register_forward_hook(shift) for linear in {output.linear for output in outputs}]
    value = log_probability(model, *example).exp()
    for handle in handles:
        handle.remove()
    gradients = dict(zip(changes, torch.autograd.grad(value, [*changes.values()]), strict=True))
    whole = {linear: (kept[linear] * gradients[linear])[0, :-1].detach() for linear in kept}
    return {(output.layer, output.module): whole[output.linear][:, output.units] for output in outputs}


def attributions(model, examples):
    """By map, what :func:`attribution_of_text` says of each text."""
    each = [attribution_of_text(model, example) for example in examples]
    return {key: [of_text[key] for of_text in each] for key in each[0]}


def layer_states(model, example):
    """The output (T, d) of each layer for one text."""
    states = []
    handles = [
        block.register_forward_hook(
            lambda module, args, out: states.append((out[0] if isinstance(out, tuple) else out)[0])
        )
        for block in blocks(model)
    ]
    with torch.no_grad():
        model(torch.tensor([[*example[0], *example[1]]]))
    for handle in handles:
        handle.remove()
    return states
