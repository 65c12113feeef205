"""The logit lens reads the output of every layer as the last one's is read."""

from __future__ import annotations

import pytest
import torch

from harness.core.types import Example, Prompt
from harness.model.lens import layer_nll
from harness.model.losses import nll
from harness.model.models import blocks
from support.families import LINEAR
from support.seven import layer_states, made

BEHIND = {
    "llama": ("model.norm", "lm_head"),
    "gpt2": ("transformer.ln_f", "lm_head"),
    "gpt_neox": ("gpt_neox.final_layer_norm", "lm_head"),
    "phi": ("model.final_layernorm", "lm_head"),
    "phi3": ("model.norm", "lm_head"),
}
"""The final norm and the output matrix of each family."""


@pytest.fixture
def examples(tokens, toy_splits):
    """Questions of several lengths with answers of two tokens and of three."""
    facts = [*toy_splits["forget"][:3], *toy_splits["instruct"][:2]]
    return tokens.examples([Example(Prompt(fact.question), fact.answer) for fact in facts])


@pytest.fixture
def texts(tokens, examples):
    return tokens.collate(examples, range(len(examples)), 1, 1)


@pytest.mark.parametrize("name", BEHIND)
def test_each_layer_goes_through_the_final_norm_and_the_output_matrix(name, tokenizer, examples, texts):
    model = made(name, tokenizer, num_hidden_layers=3)
    norm, head = (model.get_submodule(path) for path in BEHIND[name])
    found = layer_nll(model, texts)
    assert found.shape == (3, len(examples))
    for i, (prompt, answer) in enumerate(examples):
        for layer, state in enumerate(layer_states(model, (prompt, answer))):
            logprobs = head(norm(state)).log_softmax(dim=-1)
            expected = -sum(logprobs[len(prompt) - 1 + k, token] for k, token in enumerate(answer))
            assert found[layer, i].item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("family", LINEAR)
def test_the_last_layer_is_the_model_and_the_others_are_not(family, tiny, texts):
    model = tiny(family, num_hidden_layers=3)
    found = layer_nll(model, texts)
    torch.testing.assert_close(found[-1], nll(model, texts).detach(), rtol=1e-4, atol=1e-4)
    assert (found[:-1] - found[-1]).abs().min() > 1e-6


def test_what_comes_behind_the_output_matrix_is_of_every_layer(tiny, texts):
    """Gemma 2 bends its logits: none of any layer is beyond the bound."""
    model = tiny("gemma2", num_hidden_layers=3, final_logit_softcapping=0.01)
    bound = 0.02 * torch.tensor([(row != -100).sum().item() for row in texts.labels])
    even = torch.log(torch.tensor(float(model.config.vocab_size))) * (texts.labels != -100).sum(dim=1)
    assert ((layer_nll(model, texts) - even).abs() <= bound).all()


def test_it_leaves_no_hook_and_no_graph(tiny, texts):
    model = tiny()
    assert not layer_nll(model, texts).requires_grad
    assert all(not block._forward_hooks for block in blocks(model))


def test_it_leaves_no_hook_where_the_model_fails(tiny, texts):
    model = tiny()
    handle = blocks(model)[1].register_forward_pre_hook(lambda module, args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        layer_nll(model, texts)
    handle.remove()
    assert all(not block._forward_hooks for block in blocks(model))
