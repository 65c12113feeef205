"""Weights and steps: norms, ranks, shares and cosines, against singular values and whole vectors."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from harness.analyses.steps import Steps
from harness.analyses.weights import WeightChange

from harness.errors import HarnessError
from harness.model.models import blocks
from harness.model.neurons import feed_forwards
from support.analysis_jobs import run, single, values
from support.equations import moved
from support.families import SEPARATE

PATHS = {path.rpartition(".")[2].removesuffix("_proj"): path for path in SEPARATE}
"""Where Llama keeps each of the seven."""


def matrices(model):
    """The seven matrices of each layer of a Llama, in float64."""
    return {
        (layer, module): block.get_submodule(path).weight.detach().double()
        for layer, block in enumerate(blocks(model))
        for module, path in PATHS.items()
    }


def whole(model):
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])


def test_change_rank_and_shares_are_those_of_the_matrices(three, compare):
    original, unlearned, _ = three
    findings = run(WeightChange(), compare(original, unlearned))
    old, new = matrices(original), matrices(unlearned)
    squares = {}
    for key in old:
        change = new[key] - old[key]
        singular = torch.linalg.svdvals(change)
        squares[key] = (change**2).sum().item()
        expected = {
            "change": math.sqrt(squares[key]),
            "relative": math.sqrt(squares[key]) / old[key].norm().item(),
            "stable-rank": (singular**2).sum().item() / singular[0].item() ** 2,
        }
        for figure, value in expected.items():
            assert values(findings, figure)[(*key, None)] == pytest.approx(value, rel=1e-9)
    total = sum(squares.values())
    attention = sum(square for (_, module), square in squares.items() if module in "qkvo")
    assert single(findings, "attention") == pytest.approx(attention / total)
    everything = ((whole(unlearned) - whole(original)) ** 2).sum().item()
    assert single(findings, "matrices") == pytest.approx(total / everything)
    assert single(findings, "matrices") < 1


def test_a_change_in_one_direction_has_rank_one(model, compare):
    unlearned = copy.deepcopy(model)
    down = feed_forwards(unlearned)[1].out.weight
    with torch.no_grad():
        down += torch.outer(torch.arange(1.0, 17), torch.arange(24.0)).double()
    findings = run(WeightChange(), compare(model, unlearned))
    assert values(findings, "stable-rank") == {(1, "down", None): pytest.approx(1.0)}
    changes = values(findings, "change")
    assert len(changes) == 14
    assert [key for key, value in changes.items() if value] == [(1, "down", None)]
    assert single(findings, "attention") == 0
    assert single(findings, "matrices") == 1


def test_a_change_alike_in_all_directions_has_full_rank(model, compare):
    unlearned = copy.deepcopy(model)
    with torch.no_grad():
        blocks(unlearned)[0].self_attn.q_proj.weight += torch.eye(16)
    findings = run(WeightChange(), compare(model, unlearned))
    assert values(findings, "stable-rank") == {(0, "q", None): pytest.approx(16.0)}
    assert single(findings, "attention") == 1


def test_parts_of_a_fused_map_are_told_apart(tiny, compare):
    """Phi-3's gate is the first half of its map, GPT-NeoX's key of a head comes behind its query."""
    for family, (path, row), key in (
        ("phi3", ("mlp.gate_up_proj", 3), (0, "gate")),
        ("phi3", ("mlp.gate_up_proj", 24 + 3), (0, "up")),
        ("phi3", ("self_attn.qkv_proj", 16), (0, "k")),
        ("gpt_neox", ("attention.query_key_value", 8), (0, "k")),
        ("gpt_neox", ("attention.query_key_value", 24), (0, "q")),
    ):
        original = tiny(family)
        unlearned = copy.deepcopy(original)
        with torch.no_grad():
            blocks(unlearned)[0].get_submodule(path).weight[row] += 1
        changes = values(run(WeightChange(), compare(original, unlearned)), "change")
        assert {k for k, value in changes.items() if value} == {(*key, None)}
        assert changes[*key, None] == pytest.approx(4, rel=1e-6)  # sixteen ones


def test_of_an_unchanged_model_there_is_no_share_and_no_rank(model, compare):
    findings = run(WeightChange(), compare(model, model))
    assert {f.figure for f in findings} == {"change", "relative"}
    assert {f.value for f in findings} == {0.0}


def test_a_bfloat16_model_is_compared_in_float64(tiny, compare):
    original, unlearned = tiny().bfloat16(), moved(tiny()).bfloat16()
    findings = run(WeightChange(), compare(original, unlearned))
    old, new = matrices(original), matrices(unlearned)
    for key in old:
        change = (new[key] - old[key]).norm().item()
        assert values(findings, "change")[(*key, None)] == pytest.approx(change, rel=1e-9)


# Steps.


def test_the_cosine_is_that_of_the_whole_steps_and_of_each_matrix(three, compare):
    original, unlearned, _ = three
    generator = torch.Generator().manual_seed(5)
    attacked = copy.deepcopy(unlearned)
    with torch.no_grad():
        for p, back in zip(attacked.parameters(), original.parameters(), strict=True):
            p += 0.4 * (back - p) + 0.01 * torch.randn(p.shape, generator=generator)
    findings = run(Steps(), compare(original, unlearned, attacked))
    models = original, unlearned, attacked
    vectors = {(None, None): [whole(model) for model in models]}
    vectors |= {key: [matrices(model)[key].flatten() for model in models] for key in matrices(original)}
    for key, (a, b, c) in vectors.items():
        u, v = b - a, c - b
        cosine = torch.nn.functional.cosine_similarity(u, v, dim=0).item()
        assert -0.999 < cosine < -0.3
        assert values(findings, "cosine")[(*key, None)] == pytest.approx(cosine, rel=1e-9)
        assert values(findings, "undone")[(*key, None)] == pytest.approx(-(u @ v / (u @ u)).item(), rel=1e-9)
        for series, step in (("unlearning", u), ("attack", v)):
            assert values(findings, "norm", series)[(*key, None)] == pytest.approx(step.norm().item())


def test_an_attack_that_takes_all_back_points_the_other_way(three, compare):
    original, unlearned, _ = three
    findings = run(Steps(), compare(original, unlearned, original))
    for figure, expected in (("cosine", -1.0), ("undone", 1.0)):
        for value in values(findings, figure).values():
            assert value == pytest.approx(expected)


def test_an_attack_that_did_nothing_has_no_direction(three, compare):
    findings = run(Steps(), compare(three[0], three[1], three[1]))
    assert {f.figure for f in findings} == {"norm", "undone"}
    assert {f.value for f in findings if f.series != "unlearning"} == {0.0}


def test_where_nothing_was_unlearned_there_is_no_cosine(three, compare):
    findings = run(Steps(), compare(three[0], three[0], three[1]))
    assert {f.figure for f in findings} == {"norm"}
    assert set(values(findings, "norm", "unlearning").values()) == {0.0}
    assert min(values(findings, "norm", "attack").values()) > 0


def test_steps_need_an_attacked_model(three, compare):
    assert Steps.attacked
    with pytest.raises(HarnessError, match="no attacked model"):
        list(Steps().analyse(compare(*three[:2])))
