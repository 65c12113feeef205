"""LoRA adapters: what trains, what is left behind, and who refuses them."""

from __future__ import annotations

import pytest
import torch

from harness.model import losses, models
from harness.model.lora import adapters, merged
from harness.plugins.registry import Registry


def train_a_little(model: torch.nn.Module, r: int, seed: int = 0) -> None:
    ids = torch.arange(1, 9)[None]
    with adapters(model, r, 2 * r, seed) as parameters:
        optimizer = torch.optim.SGD(parameters, lr=0.5)
        for _ in range(3):
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "phi", "gemma2", "qwen3"])
def test_adapters_change_every_linear_map_by_their_rank_and_nothing_else(tiny, family):
    model = tiny(family)
    before = models.snapshot(model)
    train_a_little(model, r=2)
    after = model.state_dict()
    assert after.keys() == before.keys()
    linear = {
        f"{path}.weight"
        for block in models.blocks(model)
        for module in models.linear_modules(block).values()
        for path, found in model.named_modules()
        if found is module
    }
    for name, weight in after.items():
        difference = (weight - before[name]).double()
        if name in linear:
            assert 1 <= torch.linalg.matrix_rank(difference, rtol=1e-4) <= 2, name
        else:
            assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "phi", "gemma2", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_with_the_adapters_merged_are_those_that_are_there_once_they_are(tiny, family, dtype):
    model = tiny(family).to(dtype)
    ids = torch.arange(1, 9)[None]
    plain = models.snapshot(model)
    assert all(torch.equal(tensor, plain[name]) for name, tensor in merged(model).items())
    with adapters(model, 2, 4, seed=0) as parameters:
        model(input_ids=ids, labels=ids).loss.backward()
        torch.optim.SGD(parameters, lr=0.5).step()
        there = merged(model)
    after = model.state_dict()
    assert there.keys() == after.keys()
    assert all(torch.equal(there[name], after[name]) for name in after)
    assert not all(torch.equal(there[name], plain[name]) for name in after)


def test_adapters_depend_on_their_seed_and_not_on_global_random_state(tiny):
    results = []
    for seed, noise in ((1, 5), (1, 6), (2, 5)):
        model = tiny("llama")
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        train_a_little(model, r=2, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        results.append(models.weights_fingerprint(model))
    assert results[0] == results[1] != results[2]


def test_methods_that_say_which_weights_train_refuse_lora():
    methods = {name: entry.load() for name, entry in Registry().methods.items()}
    assert {name for name, cls in methods.items() if not cls.lora} >= {"ssiuu", "rmu", "klue", "simu"}
    assert {name for name, cls in methods.items() if cls.lora} >= {"gd", "ga", "npo", "dpo", "simnpo", "bst"}


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_logits_of_the_original_are_the_same_beside_adapters(tiny, tokens, family):
    model = tiny(family)
    weights = models.snapshot(model)
    texts = tokens.collate([((1, 2, 3), (4, 5)), ((6, 7), (8,))], [0, 1], 2, 3)
    before = losses.reference_logits(model, weights, texts)
    with adapters(model, 2, 4, seed=0) as parameters:
        losses.nll(model, texts).sum().backward()
        torch.optim.SGD(parameters, lr=0.5).step()
        assert not torch.equal(losses.answer_logits(model, texts)[0], before)
        assert torch.equal(losses.reference_logits(model, weights, texts), before)
