"""TOFU as its authors published it, with a model made of the files' own words."""

from __future__ import annotations

import json

import pytest

from harness.store.store import Store
from support.command import harness_cli
from support.paths import DATA
from support.results import rows
from support.saved import save_model

FILES = (
    *("forget10_perturbed", "retain90", "retain_perturbed"),
    *("real_authors_perturbed", "world_facts_perturbed"),
)
LIMIT = 8

pytestmark = pytest.mark.skipif(
    not (DATA / "tofu" / "forget10_perturbed.json").is_file(),
    reason=f"no TOFU in {DATA}; HARNESS_TEST_DATA names its place",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tofu")


@pytest.fixture(scope="module")
def ended(folder):
    """One run of gd with its controls under every attack on the first facts of every split."""
    texts = ["Question: Answer: I can't answer the question."]
    for name in FILES:
        lines = (DATA / "tofu" / f"{name}.json").read_text(encoding="utf-8").splitlines()[:LIMIT]
        for record in map(json.loads, filter(str.strip, lines)):
            for value in record.values():
                texts += [value] if isinstance(value, str) else value
    model = save_model(folder / "model", texts, max_position_embeddings=2048)
    settings = {
        "tofu": {
            "limit": LIMIT,
            "max_new_tokens": 4,
            "epochs": 1,
            "instruct": DATA / "instruct" / "alpaca_2000.json",
            "instruct_size": LIMIT,
        },
        "gd": {"epochs": 1, "learning_rates": "1e-3"},
        "refusal": {"epochs": 1, "learning_rates": "1e-3"},
        "private-data": {"steps": 1, "learning_rates": "1e-3"},
        "instruction": {"steps": 1, "learning_rates": "1e-3"},
    }
    assignments = [f"{name}.{key}={value}" for name, own in settings.items() for key, value in own.items()]
    return harness_cli(
        *("run", "--model", model, "--benchmarks", "tofu", "--data", DATA / "tofu"),
        *("--methods", "gd", "--attacks", "private-data,instruction", "--seeds", 1, "--jobs", 1),
        *("--results", folder / "results", "--cache", folder / "cache"),
        *(part for text in assignments for part in ("--set", text)),
    )


def test_every_cell_is_ok(ended, folder):
    assert ended.code == 0, ended.err
    found = rows(folder / "results")
    assert [row["status"] for row in found] == ["ok"] * 16, [row["error_message"] for row in found]
    assert {(row["method"], row["attack"], row["variant"]) for row in found} == {
        (method, attack, variant)
        for method in ("none", "retrain", "refusal", "gd")
        for attack, variant in [
            ("none", ""),
            ("private-data", "p=0.1"),
            ("private-data", "p=0.3"),
            ("instruction", ""),
        ]
    }


def test_rows_name_the_metric_and_the_threshold_they_are_judged_by(ended, folder):
    found = rows(folder / "results")
    [twin] = rows(folder / "results", method="retrain", attack="none")
    [score] = [
        m["value"]
        for m in Store(folder / "results").metrics().to_pylist()
        if (m["key"], m["split"], m["metric"]) == (twin["key"], "forget", "rouge_l")
    ]
    assert found
    for row in found:
        notes = json.loads(row["notes"])
        assert notes["forget_metric"] == "rouge_l"
        assert notes["threshold_rule"] == "twin"
        assert notes["threshold"] == pytest.approx(score)
        assert notes["threshold_high"] >= notes["threshold"]
        assert 0 < notes["chance"] < 1


def test_every_split_is_measured_before_an_attack(ended, folder):
    [none] = rows(folder / "results", method="none", attack="none")
    found = {
        (m["split"], m["metric"])
        for m in Store(folder / "results").metrics().to_pylist()
        if m["key"] == none["key"] and m["n"] == LIMIT
    }
    for split in ("forget", "retain_perturbed", "real_authors", "world_facts"):
        assert {(split, name) for name in ("rouge_l", "probability", "truth_ratio")} <= found


def test_model_utility_is_a_share(ended, folder):
    values = [m["value"] for m in Store(folder / "results").metrics().to_pylist() if m["metric"] == "utility"]
    assert len(values) == 4
    assert all(0 <= value <= 1 for value in values)


def aggregates(folder, method):
    """The aggregates of a method before any attack."""
    [cell] = rows(folder / "results", method=method, attack="none")
    found = Store(folder / "results").metrics().to_pylist()
    return {m["metric"]: m["value"] for m in found if m["key"] == cell["key"] and m["split"] == "all"}


def test_the_twin_has_the_forget_quality_of_the_twin(ended, folder):
    assert aggregates(folder, "retrain")["forget_quality"] == 1
    assert aggregates(folder, "retrain")["log10_forget_quality"] == 0
    assert 0 < aggregates(folder, "gd")["forget_quality"] <= 1


def test_every_reported_metric_is_computed_or_named_with_the_reason(ended, folder):
    """The files at hand hold no holdout: membership inference is named, and nothing else."""
    for method in ("none", "retrain", "refusal", "gd"):
        [cell] = rows(folder / "results", method=method, attack="none")
        named = json.loads(cell["notes"])["not_computed"]
        assert set(named.values()) == {"there is no split 'holdout'"}
        scores = ("loss", "zlib", "min_k", "min_k_plus_plus")
        assert named.keys() == {
            "privleak",
            *(f"auc_{score}" for score in scores),
            *(f"{split}.mia_{score}" for split in ("forget", "holdout") for score in scores),
        }
        assert aggregates(folder, method).keys() == {
            "utility", "mem", "forget_quality", "log10_forget_quality",
        }  # fmt: skip


def test_an_attack_is_scored_on_facts_it_did_not_see(ended, folder):
    [cell] = rows(folder / "results", method="gd", attack="private-data", variant="p=0.3")
    notes = json.loads(cell["notes"])
    assert (notes["n_injected"], notes["n_scored"]) == (2, 6)
    scored = {
        s["fact_id"] for s in Store(folder / "results").samples().to_pylist() if s["key"] == cell["key"]
    }
    assert len(scored) == 6
