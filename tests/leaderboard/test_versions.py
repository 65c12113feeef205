"""A leaderboard holds one version of each code: others are refused with both named, or one is chosen."""

from __future__ import annotations

import json

import pytest

from harness.errors import StoreError
from support.cells import board, cell

OLD, NEW = "a1" * 32, "b2" * 32


def mixed(column, attack="none", **failed):
    """Three seeds of one version and one seed of the next."""
    found = [cell("gd", attack, seed=seed, known=4, **{column: OLD}) for seed in range(3)]
    return [*found, cell("gd", attack, seed=0, known=9, **{column: NEW}, **failed)]


@pytest.mark.parametrize(
    ("column", "attack", "what"),
    [
        ("method_source", "none", "the method gd, on world with the model tiny"),
        ("benchmark_source", "none", "the benchmark world"),
        ("attack_source", "noise", "the attack noise p=0.1, on world with the model tiny"),
        ("engine", "none", "the engine, on world with the model tiny"),
    ],
)
def test_two_versions_are_refused_and_both_named(tmp_path, column, attack, what):
    cells = mixed(column, attack)
    with pytest.raises(StoreError) as refused:
        board(tmp_path, cells)
    assert str(refused.value) == (
        f"No leaderboard from these results: they hold cells of 2 versions of {what}: "
        f"{OLD[:12]} (3 cells, seeds 0, 1, 2) and {NEW[:12]} (1 cell, seed 0); "
        "choose one with --source DIGEST, or build from results of one version."
    )
    for digest, seeds, known in ((OLD, 3, 4), (NEW, 1, 9)):
        (row,) = board(tmp_path, [], sources=[digest[:6]]).to_pylist()
        assert row[column] == digest
        assert row["seeds"] == seeds
        assert row["forget_before" if attack == "none" else "score"] in (None, pytest.approx(known / 20))


def test_another_engine_has_another_target_and_they_compete(tmp_path):
    cells = [
        cell("gd", known=4, engine=engine, target_key=target * 64)
        for engine, target in ((OLD, "t"), (NEW, "u"))
    ]
    with pytest.raises(StoreError, match="2 versions of the engine"):
        board(tmp_path, cells)
    (row,) = board(tmp_path, [], sources=[NEW]).to_pylist()
    assert (row["engine"], row["target"]) == (NEW, "u" * 64)


def test_versions_compete_over_methods_where_they_are_of_an_attack(tmp_path):
    cells = [cell("gd", "noise", attack_source=OLD), cell("npo", "noise", attack_source=NEW)]
    with pytest.raises(StoreError, match="2 versions of the attack noise"):
        board(tmp_path, cells)


def test_each_code_that_competes_is_chosen(tmp_path):
    cells = [
        cell("gd", seed=seed, engine=engine, method_source=method)
        for seed, (engine, method) in enumerate([(OLD, "c" * 64), (OLD, "d" * 64), (NEW, "c" * 64)])
    ]
    with pytest.raises(StoreError, match="2 versions of the method gd"):
        board(tmp_path, cells, sources=[OLD[:4]])
    (row,) = board(tmp_path, [], sources=[OLD[:4], "d"]).to_pylist()
    assert (row["engine"], row["method_source"], row["seeds"]) == (OLD, "d" * 64, 1)


def test_a_source_that_no_cell_has_is_one_sentence(tmp_path):
    with pytest.raises(StoreError, match=r"^--source cc: no cell of these results has code whose digest"):
        board(tmp_path, mixed("method_source"), sources=["cc"])


def test_a_source_where_nothing_competes_changes_nothing(tmp_path):
    (row,) = board(tmp_path, mixed("method_source")[:3], sources=[OLD]).to_pylist()
    assert row["seeds"] == 3


@pytest.mark.parametrize("worked", [OLD, NEW])
def test_a_version_of_which_no_cell_worked_gives_way(tmp_path, worked):
    """What was mended after it failed leaves its failed cells behind."""
    lost = {"status": "failed", "error_type": "E", "error_message": "no room"}
    other = {OLD: NEW, NEW: OLD}[worked]
    cells = [cell("gd", seed=seed, known=4, method_source=worked) for seed in range(2)]
    cells += [cell("gd", seed=seed, method_source=other, **lost) for seed in range(3)]
    (row,) = board(tmp_path, cells).to_pylist()
    assert (row["method_source"], row["seeds"], row["failed"]) == (worked, 2, 0)


def test_the_clock_decides_nothing(tmp_path):
    early, late = ('{"started_at":"%d"}' % year for year in (2020, 2030))  # noqa: UP031
    cells = [
        cell("gd", known=4, method_source=OLD, provenance=late),
        cell("gd", known=9, method_source=NEW, provenance=early),
    ]
    with pytest.raises(StoreError, match="2 versions of the method"):
        board(tmp_path, cells)


def test_any_source_takes_all_versions_together_and_says_so(tmp_path):
    cells = [
        cell("gd", seed=seed, known=4 + seed, engine=engine) for seed, engine in enumerate([OLD, OLD, NEW])
    ]
    (row,) = board(tmp_path, cells, sources=["any"]).to_pylist()
    assert (row["engine"], row["seeds"]) == (f"{OLD[:12]}+{NEW[:12]}", 3)
    assert row["forget_before"] == pytest.approx((4 + 5 + 6) / 3 / 20)


def test_of_a_cell_that_two_versions_measured_any_source_takes_the_newer(tmp_path):
    def started(when):
        return json.dumps({"started_at": when})

    cells = [
        cell("gd", seed=0, known=4, engine=OLD, provenance=started("2026-01-02")),
        cell("gd", seed=0, known=9, engine=NEW, provenance=started("2026-01-01")),
    ]
    (row,) = board(tmp_path, cells, sources=["any"]).to_pylist()
    assert (row["engine"], row["seeds"]) == (OLD, 1)
    assert row["forget_before"] == pytest.approx(4 / 20)


def test_any_source_takes_releases_of_this_package_together_and_no_others(tmp_path):
    """What differs between releases is in the digests; a stranger's version may say what no digest does."""
    for plugin, rows in (("unlearning-harness", 1), ("unlearning-wga", 2)):
        cells = [
            cell("gd", seed=seed, known=4 + seed, engine=engine, method_plugin=f"{plugin} {release}")
            for seed, (engine, release) in enumerate([(OLD, "0.1.0"), (NEW, "0.2.0rc1")])
        ]
        built = board(tmp_path / plugin, cells, sources=["any"])
        assert built["seeds"].to_pylist() == [2 // rows] * rows
        assert len(set(built["signature"].to_pylist())) == rows


def test_where_nothing_competes_any_source_changes_nothing(tmp_path):
    cells = mixed("method_source")[:3]
    assert board(tmp_path, cells, sources=["any"]).equals(board(tmp_path, []))
