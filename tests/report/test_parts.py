"""A leaderboard that is built in parts is the one that is built at once, to the byte."""

from __future__ import annotations

import json

import pytest

from harness.errors import ConfigError, StoreError
from harness.report import parts, side_by_side
from harness.store.compaction import compact
from harness.store.store import Store
from support.cells import cell
from support.sound import edit


@pytest.fixture(params=["one process", "several"])
def small(request, monkeypatch):
    """Parts of a few cells, in this process or side by side."""
    monkeypatch.setattr(parts, "PART", 10)
    monkeypatch.setattr(side_by_side, "cores", lambda: 1 if request.param == "one process" else 3)


@pytest.fixture
def results(tmp_path):
    """Cells of four models; the settings of the benchmark differ on one of them."""
    store = Store(tmp_path / "results")
    for model in "abcd":
        place = {"model": model, "target_key": model * 64, "target_weights": model * 64}
        place |= {"benchmark_config": json.dumps({"limit": 5})} if model == "c" else {}
        for method, known in (("none", 20), ("retrain", 2), ("gd", 4), ("npo", 3)):
            for attack in ("none", "private-data"):
                for seed in range(3):
                    store.commit(*cell(method, attack, seed, known + 5 * (attack != "none"), **place))
    return store


def same(one, other):
    return [table.equals(beside, check_metadata=True) for table, beside in zip(one, other, strict=True)]


@pytest.mark.parametrize("compacted", [False, True])
def test_it_is_the_same_to_the_byte(results, small, compacted, monkeypatch):
    if compacted:
        compact(results)
    with monkeypatch.context() as large:
        large.setattr(parts, "PART", 10**6)
        whole, _ = parts.build([Store(results.root)])
    made, unsound = parts.build([Store(results.root)])
    assert same(made, whole) == [True] * 4
    assert made.files() == whole.files()
    assert unsound == []
    assert {row["benchmark_config"] for row in made.board.to_pylist()} == {
        '{"limit": null}',
        '{"limit": 5}',
    }


@pytest.mark.parametrize(("size", "count"), [(10, 4), (48, 2), (1000, 1)])
def test_what_is_of_one_model_is_in_one_part(results, monkeypatch, size, count):
    monkeypatch.setattr(parts, "PART", size)
    listed = results.listing("model", "target_key")
    found = {*zip(listed["model"].to_pylist(), parts._parts(listed).tolist(), strict=True)}
    assert sorted(model for model, _ in found) == [*"abcd"]
    assert {part for _, part in found} == {*range(count)}


def test_models_that_share_a_target_are_in_one_part(results, monkeypatch):
    """An unsound cell may name another model than the sound ones of its target."""
    monkeypatch.setattr(parts, "PART", 1)
    results.commit(*cell("gd", seed=9, known=4, model="z", target_key="b" * 64))
    listed = results.listing("model", "target_key")
    of = dict(zip(listed["model"].to_pylist(), parts._parts(listed).tolist(), strict=True))
    assert of["z"] == of["b"]
    assert len({*of.values()}) == 4


def test_a_cell_that_something_is_wrong_with_is_named(results, small):
    key = min(results.keys())
    edit(results.root, "metrics", key, lambda rows: [row | {"value": 0.5} for row in rows])
    made, unsound = parts.build([Store(results.root)])
    assert [name.partition(" ")[0] for name, _ in unsound] == [key[:12]]
    assert sum(row["failed"] for row in made.board.to_pylist()) == 1


def test_what_chooses_among_all_cells_is_asked_of_all(results, small):
    made, _ = parts.build([results], parts.Choice(methods=["gd"]))
    assert {row["method"] for row in made.board.to_pylist()} == {"none", "retrain", "gd"}
    with pytest.raises(ConfigError, match="There is no method in these results named 'gt'"):
        parts.build([results], parts.Choice(methods=["gt"]))


def test_several_protocols_are_refused(results, small):
    results.commit(*cell("gd", seed=7, known=4, model="e", target_key="e" * 64, protocol="1"))
    with pytest.raises(StoreError, match="protocols 1 and 2 cannot be compared"):
        parts.build([results])


def test_a_damaged_file_is_named_and_not_left_out(results, small):
    compact(results)
    [path] = (results.root / "compacted").glob("0*.parquet")
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    store = Store(results.root)  # the index knows its cells
    assert len(store.keys()) == 96
    with pytest.raises(StoreError, match=f"^{path} is damaged"):
        parts.build([store])


def test_no_cells_are_refused(tmp_path, small):
    with pytest.raises(StoreError, match="There are no results yet"):
        parts.build([Store(tmp_path)])
