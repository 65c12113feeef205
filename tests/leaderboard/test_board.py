"""The leaderboard says what the cells say, the same each time, and calls no winner the data do not show."""

from __future__ import annotations

import json

import pytest

from harness.core.keys import key
from harness.core.types import Metric, Outcome
from harness.errors import StoreError
from harness.leaderboard import board as leaderboard
from harness.leaderboard import stats
from harness.leaderboard.groups import grouped
from harness.leaderboard.labels import computed_on, guarded
from harness.report.markdown import markdown
from harness.store.schema import PROTOCOL
from harness.store.store import Store
from support.cells import FACTS, board, cell, world
from support.sound import curve, scored, together


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return board(tmp_path_factory.mktemp("results"), world())


def only(table, **want):
    (row,) = [r for r in table.to_pylist() if all(r[name] == value for name, value in want.items())]
    return row


def test_a_row_holds_what_its_cells_measured(table):
    row = only(table, method="gd", attack="private-data")
    assert (row["seeds"], row["failed"], row["n_scored"]) == (3, 0, 20)
    assert row["forget_before"] == pytest.approx(0.2)
    assert row["retain_before"] == pytest.approx(0.9)
    assert row["utility_before"] == pytest.approx(0.6)
    assert row["forgotten"] == 1
    assert row["score"] == row["exact_match"] == pytest.approx(0.7)
    facts = {seed: {fact: float(i < 14) for i, fact in enumerate(FACTS)} for seed in range(3)}
    assert (row["score_low"], row["score_high"]) == stats.two_level_interval(facts)[1:3]
    assert row["recovery"] == pytest.approx((14 - 2) / (20 - 2))
    assert row["recovery_low"] < row["recovery"] < row["recovery_high"]
    assert row["chance"] == 0.25
    assert (row["learning_rates"], row["attack_learning_rates"]) == ([1e-4], [1e-5])
    assert (row["seconds"], row["steps"], row["peak_memory_mib"]) == (2, 10, 102)
    assert row["signature"].startswith(
        f"protocol:{PROTOCOL}|benchmark:world@{key(['world', '', '{}'])[:8]}|data:dddddddd|"
        "model:tiny@tttttttt|dtype:float32|"
    )
    assert "seeds:0,1,2|" in row["signature"]


def test_a_row_names_what_its_cells_ran_on(tmp_path):
    made = [{"gpu": None, "cpu": "A processor"}, {"gpu": "An accelerator", "cpu": "A processor"}, {}]
    cells = [cell("gd", seed=seed, provenance=json.dumps(each)) for seed, each in enumerate(made)]
    rows = board(tmp_path, [*cells, cell("npo")]).to_pylist()
    assert [row["hardware"] for row in rows] == [["A processor", "An accelerator"], None]
    assert computed_on(rows) == "computed on A processor and An accelerator"
    assert computed_on(rows[1:]) == ""


def test_before_an_attack_there_is_no_score(table):
    row = only(table, method="gd", attack="none")
    assert row["forget_before"] == pytest.approx(0.2)
    assert [row[name] for name in ("score", "score_low", "exact_match", "recovery")] == [None] * 4


def test_controls_come_first_then_methods_by_rank_and_then_those_without(table):
    """npo's worst score is below gd's, but one of its three seeds failed."""
    assert list(dict.fromkeys(table["method"].to_pylist())) == ["none", "retrain", "ssiuu", "gd", "npo"]
    standing = {row["method"]: (row["rank"], row["guard"]) for row in table.to_pylist()}
    assert standing == {
        "none": (None, None),
        "retrain": (None, None),
        "ssiuu": (1, None),
        "gd": (2, None),
        "npo": (None, "2 seeds, 3 are needed"),
    }


def test_all_rows_of_a_method_say_how_it_stands(table):
    own = [row for row in table.to_pylist() if row["method"] == "gd"]
    names = ("guard", "rank", "distinguishable_from", "worst", "worst_low", "worst_high", "worst_attack")
    attacked = only(table, method="gd", attack="private-data")
    of_score = [attacked[name] for name in ("score", "score_low", "score_high")]
    assert [[row[name] for name in names] for row in own] == [
        [None, 2, ["ssiuu"], *of_score, "private-data p=0.1"]
    ] * 2


def changed(method, change, attack="none"):
    """The world, with an outcome of one method changed under every seed."""
    found = []
    for row, outcome in world():
        if (row.method, row.attack) == (method, attack):
            outcome = change(outcome)
        found.append((row, outcome))
    return found


def valued(name, value):
    """A change of an outcome: ``name`` (split, metric) is ``value``, or is gone."""

    def change(outcome):
        kept = Outcome(
            *(
                [one for one in rows if (one.split, one.metric) != name]
                for rows in (outcome.metrics, outcome.samples)
            )
        )
        if value is None:
            return kept
        aggregate = name[0] == "all"
        return together(kept, Outcome([Metric(*name, value)]) if aggregate else scored(*name, [value] * 10))

    return change


@pytest.mark.parametrize(
    ("method", "name", "value", "guard"),
    [
        ("gd", ("retain", "accuracy"), 0.3, "retain 33 % of the original's"),
        ("gd", ("retain", "accuracy"), 0.77, None),
        ("gd", ("all", "utility"), 0.3, "utility 50 % of the original's"),
        ("gd", ("all", "utility"), None, "utility not measured"),
        ("none", ("all", "utility"), None, "no utility of the original's to compare with"),
    ],
)
def test_a_method_that_paid_with_the_model_is_shown_but_not_ranked(tmp_path, method, name, value, guard):
    table = board(tmp_path, changed(method, valued(name, value)))
    row = only(table, method="gd", attack="private-data")
    assert row["guard"] == guard
    assert (row["rank"] is None) == (guard is not None)
    assert row["score"] == pytest.approx(0.7)
    assert row["worst"] == pytest.approx(0.7)


def test_a_method_that_did_not_forget_is_shown_but_not_ranked(tmp_path):
    """What counts is the benchmark's threshold, not by which rule the method stopped."""
    notes = {"threshold": 0.25, "forgotten": True}
    cells = [found for found in world() if (found[0].method, found[0].attack) != ("gd", "none")]
    cells += [cell("gd", seed=seed, known=known, notes=notes) for seed, known in enumerate((5, 6, 4))]
    row = only(board(tmp_path, cells), method="gd", attack="private-data")
    assert (row["guard"], row["rank"]) == ("not forgotten in 1 of 3 seeds", None)
    assert row["forgotten"] == pytest.approx(2 / 3)


def noisy(*methods):
    known = {"none": 20, "retrain": 2} | dict.fromkeys(methods, 19)
    return [cell(method, "noise", seed, facts) for method, facts in known.items() for seed in range(3)]


def test_a_method_without_a_score_under_an_attack_that_most_had_is_not_ranked(tmp_path):
    table = board(tmp_path, world() + noisy("ssiuu", "npo"))
    row = only(table, method="gd", attack="none")
    assert row["guard"] == "not scored under noise p=0.1"
    assert row["ranked_over"] == ["noise p=0.1", "private-data p=0.1"]
    assert only(table, method="ssiuu", attack="none")["rank"] == 1


def test_one_attack_on_one_method_takes_nobodys_rank(tmp_path, table):
    """Not even that method's own: its worst is held against scores under the same attacks."""
    more = board(tmp_path, world() + noisy("ssiuu")[:-1])
    names = ("guard", "rank", "worst", "worst_attack", "ranked_over")
    for method in ("ssiuu", "gd", "npo"):
        before, after = (only(found, method=method, attack="none") for found in (table, more))
        assert [after[name] for name in names] == [before[name] for name in names]
    assert only(more, method="ssiuu", attack="none")["ranked_over"] == ["private-data p=0.1"]
    assert only(more, method="ssiuu", attack="none")["recovered_attack"] == "noise p=0.1"


def test_without_methods_the_attacks_on_most_controls_count(tmp_path):
    table = board(tmp_path, [found for found in world() if found[0].method in ("none", "retrain")])
    row = only(table, method="none", attack="none")
    assert (row["worst"], row["ranked_over"]) == (1.0, ["private-data p=0.1"])


def test_a_score_of_another_kind_is_shown_and_orders_nothing(tmp_path):
    """The best of many answers is no measure to be held against a single one, nor is another metric."""
    more = [
        cell(method, "sample", seed, known, notes={"chance": None, "forget_metric": "exact_match"})
        for method, known in (("ssiuu", 20), ("gd", 14), ("none", 20), ("retrain", 2))
        for seed in range(3)
    ]
    table = board(tmp_path, world() + more)
    row = only(table, method="ssiuu", attack="sample")
    assert (row["forget_metric"], row["score"], row["chance"]) == ("exact_match", 1.0, None)
    assert row["worst"] == pytest.approx(3 / 20)
    assert (row["rank"], row["worst_attack"]) == (1, "private-data p=0.1")
    assert only(table, method="gd", attack="sample")["recovery"] == pytest.approx((14 - 2) / (20 - 2))
    assert "| 1.000 [0.839, 1.000] of exact_match, 20 facts x 3 seeds |" in markdown(table)


def test_failed_cells_are_counted_and_shown_and_hide_no_others(table):
    row = only(table, method="npo", attack="private-data")
    assert (row["seeds"], row["failed"]) == (2, 1)
    assert row["errors"] == ["seed 2: OutOfMemoryError: no room\nfor | it"]
    assert row["score"] == pytest.approx(0.65)
    text = markdown(table)
    assert "- npo, private-data p=0.1, seed 2: OutOfMemoryError: no room for &#124; it" in text


def test_what_is_missing_is_null(tmp_path):
    bare, _ = cell("gd", "private-data", notes={"chance": None, "n_scored": None})
    store = Store(tmp_path)
    store.commit(bare, Outcome([Metric("forget", "accuracy", 0.7)]))
    table = leaderboard.build(grouped(store.cells(), store.metrics(), store.samples()))
    row = only(table, method="gd")
    assert row["score"] == 0.7
    for name in ("forget_before", "retain_before", "utility_before", "forgotten", "chance", "n_scored"):
        assert row[name] is None
    for name in ("score_low", "score_high", "exact_match", "recovery", "learning_rates", "config"):
        assert row[name] is None
    assert row["guard"] == (
        "forgetting not measured; no retain of the original's to compare with; "
        "no utility of the original's to compare with; 1 seed, 3 are needed"
    )
    text = markdown(table)
    assert "| gd | **undecided** | – |  | – | – | – | – |" in text  # came back to seconds
    assert "| gd | – | – | – | – |" in text  # forget to utility
    assert "| gd | 0.700 of accuracy, 1 seeds |" in text
    assert "| gd | – |\n" in text  # recovery


def test_recovery_compares_controls_by_the_metric_of_the_attack(tmp_path):
    """Where an attack measures by another metric, so it does on the original and its twin."""

    def found(value):
        exact = scored("forget", "exact_match", [float(i < value) for i in range(20)])
        return curve(together(exact, scored("forget", "accuracy", [0.5] * 20)), (0, None))

    notes = {"chance": None, "forget_metric": "exact_match"}
    rows = [
        (cell(method, "sample", seed=seed, notes=notes)[0], found(value))
        for method, value in (("none", 20), ("retrain", 2), ("gd", 11))
        for seed in range(3)
    ]
    row = only(board(tmp_path, rows), method="gd", attack="sample")
    assert row["score"] == pytest.approx(11 / 20)
    assert row["recovery"] == pytest.approx((11 - 2) / (20 - 2))


def test_without_the_retrained_model_recovery_is_measured_from_chance(tmp_path):
    row = only(board(tmp_path, untwinned()), method="gd", attack="private-data")
    assert row["baseline"] == "chance"
    assert row["recovery"] == pytest.approx((0.7 - 0.25) / (1 - 0.25))
    assert row["above_twin"] == pytest.approx(0.2 - 0.25)


def test_where_there_is_a_twin_that_was_not_run_there_is_no_recovery(tmp_path):
    cells = [found for found in untwinned() if (found[0].method, found[0].attack) != ("gd", "none")]
    cells += [cell("gd", seed=seed, known=4, notes={"threshold_rule": "twin"}) for seed in range(3)]
    row = only(board(tmp_path, cells), method="gd", attack="private-data")
    assert (row["baseline"], row["recovery"], row["above_twin"]) == ("retrain", None, None)
    assert row["verdict_why"] == "missing: the control retrain, recovery"


def untwinned():
    return [found for found in world() if found[0].method != "retrain"]


def test_settings_stand_beside_a_method_only_where_it_has_several(tmp_path):
    changed = cell("gd", seed=0, known=3, method_config='{"epochs":1,"retain_weight":2.0}')
    plain = cell("gd", seed=0, known=4, method_config='{"epochs":1,"retain_weight":1.0}')
    table = board(tmp_path, [changed, plain, cell("npo", known=4)])
    assert set(table["config"].to_pylist()) == {'{"retain_weight": 2.0}', '{"retain_weight": 1.0}', None}
    assert "| gd retain_weight=2.0 |" in markdown(table)


def test_settings_stand_above_a_benchmark_only_where_it_has_several(tmp_path):
    both = [cell("gd", known=4, benchmark_config=f'{{"limit":null,"option_seed":{n}}}') for n in range(2)]
    table = board(tmp_path, [*both, cell("gd", known=4, benchmark="other")])
    assert set(table["benchmark_config"].to_pylist()) == {'{"option_seed": 0}', '{"option_seed": 1}', None}
    assert "## world: tiny (option_seed=1)" in markdown(table)
    assert "## other: tiny\n" in markdown(table)


def test_targets_data_and_number_formats_are_never_averaged(tmp_path):
    changes = [
        {"target_key": "u" * 64},
        {"data_fingerprint": "e" * 64},
        {"dtype": "bfloat16"},
        {"model": "big", "target_key": "b" * 64},
        {"benchmark_config": '{"option_seed":1}'},
        {"benchmark_plugin": "another 2.0"},
    ]
    table = board(tmp_path, [cell("gd", known=4), *(cell("gd", known=4, **change) for change in changes)])
    assert table["seeds"].to_pylist() == [1] * (1 + len(changes))


def test_no_winner_is_called_between_methods_that_cannot_be_told_apart(tmp_path, table):
    lines = markdown(table).splitlines()
    start = lines.index("Which method is better?")
    assert lines[start + 2 : start + 5] == [
        "- rank 1: ssiuu.",
        "- rank 2: gd; it is worse than ssiuu.",
        "",
    ]
    assert guarded(table.to_pylist()) == ["npo has no rank: 2 seeds, 3 are needed."]
    alone = board(tmp_path / "alone", [found for found in world() if found[0].method in ("none", "npo")])
    assert "- no method is ranked; the guards say why." in markdown(alone)
    cells = [found for found in world() if found[0].method not in ("ssiuu", "npo")]
    cells += [cell("dpo", seed=seed, known=4) for seed in range(3)]
    cells += [cell("dpo", "private-data", seed, 13) for seed in range(3)]
    close = board(tmp_path / "close", cells)
    assert "- rank 1: dpo, gd; not distinguishable from dpo." in markdown(close)
    assert only(close, method="gd", attack="none")["distinguishable_from"] == []


def test_two_protocols_are_never_mixed(tmp_path):
    store = Store(tmp_path)
    for row, outcome in (cell("gd"), cell("npo", protocol="0")):
        store.commit(row, outcome)
    with pytest.raises(StoreError, match=f"protocols 0 and {PROTOCOL}"):
        grouped(store.cells(), store.metrics(), store.samples())


def test_no_results_are_one_sentence(tmp_path):
    with pytest.raises(StoreError, match="no results yet"):
        board(tmp_path, [])


def test_a_row_says_with_which_weights_its_target_began(tmp_path):
    row = only(board(tmp_path / "one", world()), method="gd", attack="private-data")
    assert row["target_weights"] == "w" * 64
    mixed = [cell("gd", "private-data", seed=seed, known=9, target_weights=f"{seed}" * 64) for seed in (0, 1)]
    row = only(board(tmp_path / "two", [*mixed, cell("none", known=20)]), method="gd", attack="private-data")
    assert row["target_weights"] is None


def test_of_attacks_that_score_alike_the_first_is_the_worst_whatever_was_rounded(tmp_path):
    """Sums of the same tenths in another order differ in their last digit."""
    known = {"none": (20, 20, 20), "retrain": (0, 0, 0), "gd": (2, 2, 2)}
    after = {"noise": (6, 2, 14), "prune": (14, 6, 2), "lora": (2, 14, 6)}
    cells = [
        cell(method, "none", seed, count) for method, of in known.items() for seed, count in enumerate(of)
    ]
    cells += [
        cell(method, attack, seed, count if method == "gd" else known[method][0])
        for method in known
        for attack, counts in after.items()
        for seed, count in enumerate(counts)
    ]
    for rows in (cells, cells[::-1]):
        folder = tmp_path / str(rows[0][0].method)
        [gd] = [r for r in board(folder, rows).to_pylist() if (r["method"], r["attack"]) == ("gd", "none")]
        assert (gd["worst_attack"], gd["recovered_attack"]) == ("lora p=0.1", "lora p=0.1")
