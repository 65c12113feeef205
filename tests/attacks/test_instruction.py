"""What the instruction attack reads and draws."""

from __future__ import annotations

import pytest
from harness.attacks.instruction import Instruction

from harness.core.types import Splits
from support.facts import ids


def instruction(**settings):
    return Instruction(Instruction.Config(**settings))


def test_instruction_reads_the_instructions_and_nothing_else(draw):
    job, trained = draw(instruction())
    assert set(job.data) == {"instruct"}
    for split in ("forget", "retain"):
        with pytest.raises(KeyError):
            job.data[split]
    assert {fact.id.split("-")[0] for fact in trained} == {"instruct"}


def test_instruction_is_scored_on_the_whole_forget_set(draw, toy_splits):
    job, _ = draw(instruction())
    assert job.scored == toy_splits["forget"]


@pytest.mark.parametrize(("items", "drawn"), [(1, 1), (5, 5), (12, 12), (1000, 12)])
def test_instruction_draws_as_many_items_as_asked_or_all_there_are(items, drawn, draw):
    job, trained = draw(instruction(items=items))
    assert len(ids(trained)) == len(trained) == drawn
    assert job.notes["n_injected"] == drawn


def test_instruction_draws_by_seed(draw):
    def drawn(seed):
        return [fact.id for fact in draw(instruction(items=5), seed=seed)[1]]

    assert drawn(0) == drawn(0) != drawn(1)


def test_instruction_without_instructions_is_a_missing_split(draw, toy_splits):
    with pytest.raises(KeyError, match="instruct"):
        draw(instruction(), splits=Splits({name: toy_splits[name] for name in ("forget", "retain")}))
