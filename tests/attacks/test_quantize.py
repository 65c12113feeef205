"""Quantising, pruning and noise, against naive arithmetic in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.attacks.noise import Noise
from harness.attacks.prune import Prune
from harness.attacks.quantize import Quantize, rounded
from pydantic import ValidationError

from harness import models
from harness.run import run_attack
from harness.types import Splits

FAMILIES = ["llama", "gpt2", "phi3"]


def small(cls, **settings):
    return cls(cls.Config(**settings))


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


def naive_rounding(weight, bits, group):
    """Row by row, group by group, weight by weight."""
    exact = weight.double().numpy()
    result = np.empty_like(exact)
    top = 2 ** (bits - 1) - 1
    for i, row in enumerate(exact):
        for start in range(0, len(row), group or len(row)):
            part = row[start : start + (group or len(row))]
            scale = max(abs(value) for value in part) / top
            result[i, start : start + len(part)] = [round(value / scale) * scale for value in part]
    return result


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("bits", "group"), [(8, None), (4, None), (4, 8), (3, 5)])
def test_quantised_weights_are_those_of_naive_rounding(family, bits, group, attacked):
    before, after = attacked(family, small(Quantize, bits=bits, group=group))
    for path, weight in after.items():
        np.testing.assert_allclose(
            weight.double(), naive_rounding(before[path], bits, group), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_channel_takes_no_more_values_than_its_bits_allow(family, attacked):
    _, after = attacked(family, small(Quantize, bits=2))
    assert {len(row.unique()) for weight in after.values() for row in weight} <= {1, 2, 3}


def test_the_largest_weight_of_a_channel_stays_and_a_channel_of_zeros_stays_zero():
    weight = torch.tensor([[0.0, 0.0, 0.0], [0.1, -0.7, 0.3]])
    result = rounded(weight, 4)
    assert result[0].tolist() == [0, 0, 0]
    assert result[1, 1].item() == pytest.approx(-0.7)


def test_more_bits_are_closer_and_groups_are_closer_than_channels(attacked):
    def error(**settings):
        before, after = attacked("llama", small(Quantize, **settings))
        return sum(float((after[path] - before[path]).square().sum()) for path in after)

    assert error(bits=8) < error(bits=4, group=4) < error(bits=4) < error(bits=2)


def test_half_precision_weights_keep_their_type(attacked):
    _, after = attacked("llama", small(Quantize, bits=4), dtype=torch.bfloat16)
    assert {weight.dtype for weight in after.values()} == {torch.bfloat16}


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


def test_what_is_hidden_by_less_than_half_a_step_comes_back(hiding):
    """The reason the attack exists: small changes are rounded away."""

    def on_the_grid(weight):
        weight.copy_(rounded(weight, 4))

    def nudge(weight):
        top = weight.abs().amax(dim=1, keepdim=True)
        sign = torch.where(torch.arange(weight.shape[1]) % 2 == 0, 1.0, -1.0)
        weight.add_(torch.where(weight.abs() == top, torch.zeros(()), 0.4 * top / 7 * sign))

    hidden, attacked = hiding(on_the_grid, nudge, small(Quantize, bits=4))
    assert abs(hidden).max() > 0.1
    assert abs(attacked).max() < 1e-3


def test_what_is_hidden_in_small_weights_comes_back(hiding):
    """A model that uses seven tenths of its weights, unlearned by the others."""

    def sparse(weight):
        least = weight.abs().flatten().sort().values[round(0.3 * weight.numel()) - 1]
        weight[weight.abs() <= least] = 0.0

    def fill(weight):
        weight[weight == 0] = 0.9 * weight[weight != 0].abs().min()

    hidden, attacked = hiding(sparse, fill, small(Prune, fraction=0.3))
    assert abs(hidden).max() > 0.1
    assert abs(attacked).max() < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.75])
def test_the_smallest_weights_of_each_matrix_are_set_to_zero_and_the_others_stay(family, fraction, attacked):
    before, after = attacked(family, small(Prune, fraction=fraction))
    for path, weight in after.items():
        exact = before[path].double().numpy()
        gone = round(fraction * exact.size)
        threshold = sorted(abs(exact).flatten())[gone]
        assert (weight.numpy() == np.where(abs(exact) < threshold, 0.0, exact)).all()
        assert int((weight == 0).sum()) == gone


@pytest.mark.parametrize("family", FAMILIES)
def test_noise_has_the_fraction_of_each_matrix_s_own_deviation(family, attacked):
    before, after = attacked(family, small(Noise, std=0.3))
    shares = []
    for path, weight in after.items():
        noise = (weight - before[path]).double().numpy().ravel()
        spread = before[path].double().numpy().std(ddof=1)
        shares.append((noise / spread, noise.size))
        # The deviation of a sample of n normal numbers is itself off by 1/sqrt(2n).
        assert noise.std() / spread == pytest.approx(0.3, rel=5 / np.sqrt(2 * noise.size))
    pooled = np.concatenate([share for share, _ in shares])
    assert pooled.mean() == pytest.approx(0, abs=0.3 * 5 / np.sqrt(pooled.size))
    assert np.mean(abs(pooled) < 0.3) == pytest.approx(0.6827, abs=0.05)


def test_noise_is_drawn_by_seed_and_apart_for_every_matrix(attacked):
    def noise(seed):
        before, after = attacked("llama", small(Noise, std=1.0), seed)
        return {path: (after[path] - before[path]) / before[path].std() for path in after}

    first, again, other = noise(0), noise(0), noise(1)
    same = "0.self_attn.q_proj", "1.self_attn.q_proj"
    assert torch.equal(first[same[0]], again[same[0]])
    assert not torch.allclose(first[same[0]], other[same[0]], atol=0.1)
    assert not torch.allclose(first[same[0]], first[same[1]], atol=0.1)


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (Quantize, {"bits": 1}),
        (Quantize, {"bits": 16}),
        (Quantize, {"group": 0}),
        (Prune, {"fraction": 0.0}),
        (Prune, {"fraction": 1.0}),
        (Noise, {"std": 0.0}),
    ],
)
def test_settings_out_of_range_are_refused(cls, settings):
    with pytest.raises(ValidationError):
        cls.Config(**settings)


@pytest.mark.parametrize(
    "attack", [small(Quantize), small(Prune), small(Noise)], ids=lambda attack: attack.name
)
def test_only_the_changed_model_is_scored(attack, make_subject, toy_benchmark):
    """So that damage shows: the score may lie below the one before the attack."""
    subject = make_subject(toy_benchmark())
    outcome = run_attack(subject, attack, 0, models.snapshot(subject.model))
    curve = [m for m in outcome.metrics if m.metric == "probability" and m.step is not None]
    now = subject.score(Splits({"forget": subject.splits["forget"]}), ["probability"])
    assert [m.value for m in curve] == [pytest.approx(sum(s.value for s in now) / 12)]
