"""Ablation of the direction of unlearning: the means, the projection, and what it brings back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.attacks.ablate_direction import AblateDirection, ablated, mean_states

from harness.core.types import Splits
from harness.engine.attacking import AttackJob, run_attack
from harness.errors import HarnessError
from harness.model import models
from harness.model.losses import answer_logits
from support.attacks import small
from support.facts import ids

FAMILIES = ["llama", "gpt2", "phi3", "gpt_neox"]


@pytest.fixture
def states(make_subject, toy_benchmark):
    """``states(model)``: a job with that model, texts, and each layer's states of each text."""

    def states(model):
        job = AttackJob(make_subject(toy_benchmark(), model), None, 0, Splits({}), {})
        texts = job.encode(job.scored[:3])
        found = []
        for prompt, answer in texts:
            layers = [[] for _ in models.blocks(model)]
            hooks = [
                block.register_forward_hook(
                    lambda module, args, out, kept=kept: kept.append(out[0] if type(out) is tuple else out)
                )
                for block, kept in zip(models.blocks(model), layers, strict=True)
            ]
            with torch.no_grad():
                model(input_ids=torch.tensor([[*prompt, *answer]]))
            [hook.remove() for hook in hooks]
            found.append(np.stack([kept[0][0].double().numpy() for kept in layers]))
        return job, texts, found

    return states


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mean_is_over_all_tokens_of_all_texts_and_none_of_the_padding(family, states, tiny):
    job, texts, found = states(tiny(family).double())
    assert len({state.shape[1] for state in found}) > 1  # texts of several lengths
    expected = np.concatenate(found, axis=1).mean(axis=1)
    np.testing.assert_allclose(mean_states(job, texts), expected, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_states_behind_each_layer_have_no_part_along_its_direction(family, states, tiny):
    model = tiny(family).double()
    directions = torch.randn(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, _, plain = states(model)
    with ablated(model, directions):
        _, _, found = states(model)
    units = (directions / directions.norm(dim=1, keepdim=True)).numpy()
    for before, after in zip(plain, found, strict=True):
        assert abs(np.einsum("ltd,ld->lt", after, units)).max() < 1e-12
        naive = before[0] - np.outer(before[0] @ units[0], units[0])
        np.testing.assert_allclose(after[0], naive, atol=1e-12)  # the first layer sees the same input
    _, _, again = states(model)
    assert all((one == other).all() for one, other in zip(plain, again, strict=True))


def test_a_direction_of_length_0_changes_nothing(tiny, batch):
    model = tiny().double()
    with torch.no_grad():
        before, _ = answer_logits(model, batch.forget)
        with ablated(model, torch.zeros(2, 16)):
            after, _ = answer_logits(model, batch.forget)
    assert torch.equal(before, after)


def test_the_facts_held_are_not_scored_and_the_weights_stay(make_subject, toy_benchmark, toy_splits, tiny):
    subject = make_subject(toy_benchmark(), tiny(seed=1))
    encode, held = subject.encode, []
    subject.encode = lambda facts, answer=None: held.extend(facts) or encode(facts, answer)
    weights = models.snapshot(subject.model)
    original = models.snapshot(tiny(seed=0))
    outcome = run_attack(subject, small(AblateDirection, samples=4), 0, weights, original)
    scored = {sample.fact_id for sample in outcome.samples}
    assert (len(held), len(scored), outcome.notes["n_injected"]) == (4, 8, 4)
    assert ids(held) | scored == ids(toy_splits["forget"])
    assert models.fingerprint(weights) == models.weights_fingerprint(subject.model)


def test_on_the_original_itself_it_finds_what_is_known(make_subject, toy_benchmark, tiny):
    subject = make_subject(toy_benchmark(), tiny())
    weights = models.snapshot(subject.model)
    outcome = run_attack(subject, small(AblateDirection, samples=4), 0, weights, weights)
    kept = {sample.fact_id for sample in outcome.samples}
    facts = [fact for fact in subject.splits["forget"] if fact.id in kept]
    known = subject.score(Splits({"forget": tuple(facts)}), ("exact_match", "probability"))
    assert len(known) == 2 * 8
    assert {(s.fact_id, s.metric, s.value) for s in outcome.samples} == {
        (s.fact_id, s.metric, s.value) for s in known
    }


def test_without_the_original_it_says_so(make_subject, toy_benchmark):
    subject = make_subject(toy_benchmark())
    with pytest.raises(HarnessError, match="'ablate-direction' needs the original model"):
        run_attack(subject, small(AblateDirection), 0, models.snapshot(subject.model))


def test_what_is_hidden_by_one_shift_of_the_states_comes_back(make_subject, toy_benchmark, tiny):
    """A bias behind the last layer's map, along a direction that the model itself does not use."""
    model = tiny("gpt2", initializer_range=0.1)
    last = models.blocks(model)[-1].mlp.c_proj
    shift = torch.zeros(16)
    shift[5] = 30.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # nothing writes to or reads from unit 5
            if name.endswith(("wte.weight", "wpe.weight")) or "c_proj" in name:
                parameter[..., 5] = 0
    subject = make_subject(toy_benchmark(), model)
    original = models.snapshot(model)

    def logs(samples):
        return np.log([s.value for s in samples if s.metric == "probability"])

    attack = small(AblateDirection, samples=4)
    known = logs(run_attack(subject, attack, 0, original, original).samples)
    with torch.no_grad():
        last.bias += shift
    hidden = models.snapshot(model)
    scored = run_attack(subject, attack, 0, hidden, hidden)
    assert abs(logs(scored.samples) - known).max() > 0.1  # nothing is ablated: it stays hidden
    assert abs(logs(run_attack(subject, attack, 0, hidden, original).samples) - known).max() < 1e-4
