"""layered forgets fold after fold while the next ones are retained."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from harness.modifiers.layered import Layered

from harness.core.batch import Stage
from support.composed import Opposed, over


@pytest.mark.parametrize(("k", "steps", "lengths"), [(3, 10, [3, 4, 3]), (2, 8, [4, 4]), (5, 3, [1, 1, 1])])
def test_folds_are_added_one_by_one(k, steps, lengths, job):
    *stages, last = over(Opposed, Layered, layered_k=k).stages(job, steps)
    assert [stage.steps for stage in (*stages, last)] == lengths == job.notes["stages"]
    assert last.forget is None
    sizes = [len(stage.forget) for stage in stages]
    n = len(job.forget)
    assert sizes == [round(i * n / len(lengths)) for i in range(1, len(lengths))]
    for inner, outer in pairwise(stages):
        assert set(inner.forget) < set(outer.forget) < set(range(n))


def test_one_fold_is_the_method(job):
    assert over(Opposed, Layered, layered_k=1).stages(job, 8) == [Stage(8)]


def test_what_a_stage_does_not_forget_it_retains(job):
    """Texts keep their place in the forget set, by which a method may look something up."""
    stage = Stage(40, (1, 4, 6))
    [*steps] = job._batches(3, [stage])()
    data = job.encode(job.forget)
    forgotten, kept = set(), set()
    for [batch] in steps:
        for i, ids in zip(batch.forget.index.tolist(), batch.forget.input_ids, strict=True):
            text = torch.tensor([*data[i][0], *data[i][1]])
            assert torch.equal(ids[-len(text) :], text)
            forgotten.add(i)
        kept |= {
            tuple(ids[mask.bool()].tolist())
            for ids, mask in zip(batch.retain.input_ids, batch.retain.attention_mask, strict=True)
        }
    assert forgotten == {1, 4, 6}
    texts = {(*prompt, *answer): i for i, (prompt, answer) in enumerate(data)}
    later = {texts[text] for text in kept if text in texts}
    assert later == set(range(len(data))) - {1, 4, 6}
    retain = {(*prompt, *answer) for prompt, answer in job.encode(job.retain)}
    assert kept - set(texts) == retain
