"""Influence: D+ and D- as the equations say, and what pictures are made of them."""

from __future__ import annotations

import copy
import statistics

import pytest
import torch
from harness.analyses.influence import Influence, ranks, top

from harness.errors import ModelError
from harness.model.losses import nll
from harness.model.models import blocks
from harness.model.neurons import feed_forwards
from support.analysis_jobs import run, single, values
from support.equations import moved
from support.seven import GOLDEN, attributions, made


def by_hand(model, job):
    """Of each map, mean over facts of max, positive max and min over tokens, one fact at a time."""
    for key, each in attributions(model, job.encode(job.forget)).items():
        stacked = [
            torch.stack([reduce(a) for a in each]) for reduce in (lambda a: a.amax(0), lambda a: a.amin(0))
        ]
        high, low = stacked
        yield key, (high.mean(0), high.clamp(min=0).mean(0), low.mean(0))


def differences(job, original, unlearned):
    """D+ and D- of each map, by the equations."""
    before, after = dict(by_hand(original, job)), dict(by_hand(unlearned, job))
    plus = {key: (before[key][0] - after[key][1]).clamp(min=0) for key in before}
    minus = {key: (before[key][2] - after[key][2]).clamp(min=0) for key in before}
    return plus, minus, before, after


@pytest.mark.parametrize("name", GOLDEN)
def test_the_figures_are_those_of_the_equations(name, tokenizer, compare):
    original = made(name, tokenizer)
    unlearned = moved(original)
    job = compare(original, unlearned)
    findings = run(Influence(), job)
    plus, minus, before, after = differences(job, original, unlearned)
    for series, of_maps in (("D+", plus), ("D-", minus)):
        every = sorted((value for d in of_maps.values() for value in d.tolist()), reverse=True)
        curve = values(findings, "cumulated", series)
        assert (None, None, 1.0) in curve
        assert (None, None, float(len(every))) in curve
        for (_, _, m), value in curve.items():
            assert value == pytest.approx(sum(every[: int(m)]), rel=1e-5)
        assert values(findings, "top100", series)[None, None, 100.0] == pytest.approx(
            sum(every[:100]), rel=1e-5
        )
        mapped = values(findings, "map", series)
        assert len(mapped) == len(of_maps)
        for (layer, module), d in of_maps.items():
            highest = sorted(d.tolist(), reverse=True)[:100]
            expected = statistics.mean(highest)
            assert mapped[layer, module, None] == pytest.approx(expected, rel=1e-5, abs=1e-5 * every[0])
    totals = [sum(float(d.sum()) for d in of_maps.values()) for of_maps in (plus, minus)]
    assert single(findings, "share", "all") == pytest.approx(totals[1] / sum(totals), rel=1e-5)
    hundred = [values(findings, "top100", series)[None, None, 100.0] for series in ("D+", "D-")]
    assert single(findings, "share", "top 100") == pytest.approx(hundred[1] / sum(hundred))
    near = 0.01 * max(float(high.max()) for high, _, _ in before.values())
    spurious = {key: ((before[key][2] >= -near) & (after[key][2] < -near)).double() for key in before}
    share = torch.cat(list(spurious.values())).mean().item()
    assert 0 < share < 1
    assert single(findings, "spurious", "all") == share
    for (layer, module), flags in spurious.items():
        assert values(findings, "spurious", "")[layer, module, None] == flags.mean().item()


def test_a_model_that_was_not_changed_has_none(model, compare):
    findings = run(Influence(), compare(model, model))
    for figure in ("cumulated", "top100", "map", "spurious"):
        assert set(values(findings, figure).values()) == {0.0}
    assert not [f for f in findings if f.figure == "share"]  # a share of nothing


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("kept", [0.0, 0.1])
def test_a_unit_whose_column_of_down_was_scaled_shows_first(kept, layer, tiny, tokens, toy_splits, compare):
    """What a unit writes into the stream for the answers goes: its up map's and its gate's output lose it."""
    original = tiny(initializer_range=0.05).double()
    weight = feed_forwards(original)[layer].out.weight
    [texts] = tokens.runs(compare(original, original).encode(toy_splits["forget"]), 32, weight.device)
    (direction,) = torch.autograd.grad(-nll(original, texts).sum(), [weight])
    unit = int(direction.norm(dim=0).argmax())
    with torch.no_grad():
        weight[:, unit] += 3 * direction[:, unit] / direction[:, unit].norm()
    unlearned = copy.deepcopy(original)
    with torch.no_grad():
        feed_forwards(unlearned)[layer].out.weight[:, unit] *= kept
    findings = run(Influence(), compare(original, unlearned))
    plus, _, _, _ = differences(compare(original, unlearned), original, unlearned)
    ranked = sorted(
        ((value, key, i) for key, d in plus.items() for i, value in enumerate(d.tolist())), reverse=True
    )
    assert {(key, i) for _, key, i in ranked[:2]} == {((layer, "up"), unit), ((layer, "gate"), unit)}
    first = values(findings, "cumulated", "D+")[None, None, 1.0]
    assert first == pytest.approx(ranked[0][0], rel=1e-5)


def test_what_is_turned_against_the_answer_is_hidden_and_not_erased(model, compare):
    """With the sign of an output unit turned, its negative influence grows by what its positive one was."""
    unlearned = copy.deepcopy(model)
    with torch.no_grad():
        for part in feed_forwards(unlearned):
            part.out.weight.mul_(-1)
    findings = run(Influence(), compare(model, unlearned))
    minus = values(findings, "cumulated", "D-")
    assert minus[None, None, 1.0] > 0
    assert single(findings, "spurious", "all") > 0


@pytest.mark.parametrize("micro", [1, 3, None])
def test_it_does_not_depend_on_micro_batches(micro, three, compare):
    job, other = compare(*three[:2]), compare(*three[:2])
    other.subject.micro_batch = micro
    for one, two in zip(run(Influence(), job), run(Influence(), other), strict=True):
        assert (one.figure, one.series, one.x, one.layer, one.module) == (
            *(two.figure, two.series, two.x, two.layer, two.module),
        )
        assert one.value == pytest.approx(two.value, rel=1e-5, abs=1e-12)


def test_fewer_facts_are_drawn_by_the_seed(three, compare):
    few = Influence(Influence.Config(facts=3))
    one, again = (run(few, compare(*three[:2], seed=1)) for _ in range(2))
    assert one == again
    assert one != run(few, compare(*three[:2], seed=2))
    every = run(Influence(Influence.Config(facts=99)), compare(*three[:2]))
    assert every == run(Influence(), compare(*three[:2]))


def test_a_family_without_the_maps_is_refused_by_name(model, compare):
    broken = copy.deepcopy(model)
    for block in blocks(broken):
        block.self_attn.other = block.self_attn.k_proj
        del block.self_attn.k_proj
    with pytest.raises(ModelError, match=r"llama \(LlamaDecoderLayer\) has no k among"):
        list(Influence().analyse(compare(broken, broken)))


@pytest.mark.parametrize(("units", "points"), [(1, 60), (5, 60), (224, 60), (800_000, 60), (100, 2)])
def test_ranks_rise_from_one_to_all_units(units, points):
    found = ranks(units, points)
    assert found[0] == 1
    assert found[-1] == units
    assert found == sorted(set(found))
    assert len(found) <= points


def test_the_top_of_few_is_all():
    assert top(torch.tensor([1.0, 3.0, 2.0])).tolist() == [3.0, 2.0, 1.0]
    assert top(torch.arange(500.0)).tolist() == list(range(499, 399, -1))
