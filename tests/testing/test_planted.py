"""The planted world: its facts are where it says, and influence finds them there."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from harness.model.models import blocks
from harness.model.neurons import feed_forwards
from harness.testing import planted
from harness.testing.planted import FORGOTTEN, KNOWN, SHARE, batched, known, precision_at


@pytest.fixture(scope="module")
def world():
    """The world of one seed, made once."""
    return planted.plant(0)


@contextmanager
def silent(model, units):
    """Feed-forward units (L, units) of which nothing is written into the stream."""

    def silence(chosen):
        return lambda module, args: (args[0].masked_fill(chosen, 0),)

    handles = [
        part.out.register_forward_pre_hook(silence(chosen))
        for part, chosen in zip(feed_forwards(model), units, strict=True)
    ]
    yield
    for handle in handles:
        handle.remove()


def test_the_original_knows_all_facts_and_the_unlearned_model_those_that_are_kept(world):
    kept = batched(world.tokens, world.retain)
    assert known(world.original, world.texts()) > KNOWN
    assert known(world.original, kept) > KNOWN
    assert known(world.unlearned, world.texts()) < FORGOTTEN
    assert known(world.unlearned, kept) > 0.4
    assert all(p.requires_grad for p in world.original.parameters())


def test_planted_is_a_known_share_of_the_units(world):
    shape = len(blocks(world.original)), feed_forwards(world.original)[0].units
    assert world.planted.shape == shape
    assert int(world.planted.sum()) == round(SHARE * shape[0] * shape[1])
    assert torch.equal(planted.chosen_units(world.original, 0), world.planted)
    assert not torch.equal(planted.chosen_units(world.original, 1), world.planted)


def test_without_the_planted_units_the_facts_are_gone(world):
    """And without as many others they are not."""
    generator = torch.Generator().manual_seed(0)
    chances = torch.rand(world.planted.shape, generator=generator).masked_fill(world.planted, 0)
    others = chances >= chances.flatten().topk(int(world.planted.sum())).values[-1]
    with silent(world.original, world.planted):
        without = known(world.original, world.texts())
    with silent(world.original, others):
        control = known(world.original, world.texts())
    assert without < 0.05
    assert control > 5 * without


def test_influence_finds_the_planted_units_and_neither_chance_nor_the_changed_weights_do(world):
    found = planted.precisions(world)
    assert found.keys() == {"A", "D+", "weights", "random"}
    assert found["A"] > 0.4
    assert found["D+"] > 0.4
    assert max(found["weights"], found["random"]) < 0.15


def test_the_change_of_weights_is_that_of_each_unit(world):
    change = planted.weight_change(world.original, world.unlearned)
    old, new = (feed_forwards(model)[1] for model in (world.original, world.unlearned))
    squares = sum(
        (a.weight[7] - b.weight[7]).double().square().sum() for a, b in zip(old.into, new.into, strict=True)
    )
    squares += (old.out.weight[:, 7] - new.out.weight[:, 7]).double().square().sum()
    assert change[1, 7].item() == pytest.approx(squares.sqrt().item(), rel=1e-6)
    assert change.shape == world.planted.shape


def test_precision_counts_the_highest_scores():
    where = torch.tensor([[True, False, True], [False, False, True]])
    assert precision_at(where.double(), where) == 1
    assert precision_at(-where.double(), where) == 0
    assert precision_at(torch.tensor([[9.0, 8, 7], [1, 2, 3]]), where) == pytest.approx(2 / 3)


def test_a_world_that_cannot_be_made_says_so(monkeypatch):
    monkeypatch.setattr(planted, "STEPS", 2)
    with pytest.raises(RuntimeError, match="not made in 2 steps"):
        planted.plant(0)
