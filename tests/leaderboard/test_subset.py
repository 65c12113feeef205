"""What is drawn is a part that a plain run can make within the budget, and every row has its turn."""

from __future__ import annotations

import pytest

from harness.errors import StoreError
from harness.leaderboard.subset import JOBS, SETUP, pick

SECONDS = {"none": 10.0, "noise": 1.0, "lora": 5.0, "rtt": 20.0}


def rows(**changes):
    """Two benchmarks, four methods of growing cost, three attacks."""
    plain = {"model": "tiny", "dtype": "float32", "variant": "", "seeds": 3, "targets": 1, "failed": 0}
    plain |= dict.fromkeys(("benchmark_config", "config", "attack_config"))
    return [
        {
            "benchmark": benchmark,
            "method": f"m{n}",
            "attack": attack,
            "seconds": n * seconds,
            **plain,
            **changes,
        }
        for benchmark in ("one", "two")
        for n in range(1, 5)
        for attack, seconds in SECONDS.items()
    ]


def places(part):
    return {(part.benchmark, method, attack) for method in part.methods for attack in part.attacks}


def test_a_seed_draws_the_same_part_whatever_the_order_of_rows():
    assert pick(rows(), 400, 7) == pick(rows()[::-1], 400, 7)
    assert len({pick(rows(), 400, seed) for seed in range(20)}) > 10


def test_no_part_is_above_the_budget_and_all_rows_that_fit_are_drawn():
    budget = SETUP + 2 * 60
    drawn = set()
    for seed in range(300):
        part = pick(rows(), budget, seed)
        assert SETUP < part.seconds <= budget
        drawn |= places(part)
    # Three models on two cores: one of them makes two, of (10 + attack) n seconds each.
    fit = {
        (row["benchmark"], row["method"], row["attack"])
        for row in rows()
        if row["attack"] != "none" and 2 * (row["seconds"] + 10 * int(row["method"][1])) <= 2 * 60
    }
    assert drawn == fit
    assert part.eligible == len(fit)


def test_the_cost_is_that_of_the_busiest_core():
    assert JOBS == 2
    part = pick(
        [row for row in rows() if row["method"] == "m1" and row["attack"] in ("none", "noise")], 1e3, 0
    )
    assert (part.methods, part.attacks, part.seeds) == (("m1",), ("noise",), 3)
    assert part.seconds == SETUP + 2 * 11


def test_every_target_is_trained_before_its_cells():
    part = pick(rows(targets=2), 1e6, 0)
    assert part.targets == 2
    assert part.seconds == pick(rows(), 1e6, 0).seconds + SETUP


def test_rows_of_other_numbers_of_targets_are_not_drawn_together():
    mixed = [row | {"targets": 1 + (row["method"] == "m2")} for row in rows()]
    for seed in range(50):
        methods = {*pick(mixed, 1e6, seed).methods}
        assert methods in ({"m2"}, {"m1", "m3", "m4"})


def test_a_generous_budget_draws_a_whole_benchmark():
    part = pick(rows(), 1e6, 0)
    assert (part.methods, part.attacks) == (("m1", "m2", "m3", "m4"), ("lora", "noise", "rtt"))


def test_an_attack_is_named_with_its_variant():
    part = pick([row | {"variant": "std=0.2" * (row["attack"] == "noise")} for row in rows()], 1e6, 0)
    assert part.attacks == ("lora", "noise:std=0.2", "rtt")


def test_an_attack_that_one_method_lacks_is_not_drawn_for_both():
    lacking = [row for row in rows() if (row["method"], row["attack"]) != ("m2", "rtt")]
    for seed in range(50):
        assert not {"m2", "rtt"} <= {*pick(lacking, 1e6, seed).methods, *pick(lacking, 1e6, seed).attacks}


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "org/big"},
        {"dtype": "bfloat16"},
        {"config": '{"epochs": 2}'},
        {"failed": 1},
        {"seconds": None},
    ],
)
def test_rows_that_a_plain_run_does_not_make_are_not_drawn(changes):
    with pytest.raises(StoreError, match="No row of this leaderboard can be made again in 10 minutes"):
        pick(rows(**changes), 600, 0)


def test_nothing_fits_into_no_time():
    with pytest.raises(StoreError, match="give more --minutes"):
        pick(rows(), SETUP, 0)
