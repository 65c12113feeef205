"""Packages that this repository knows nothing of: installed, listed, checked, run, on the leaderboard."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import harness
from support.command import harness_cli
from support.paths import PACKAGES
from support.results import rows
from support.saved import save_model
from support.site import on_path

ROOT = Path(harness.__file__).parents[1]
EXAMPLES = ROOT / "examples"
SOURCES = [EXAMPLES / "unlearning-wga", EXAMPLES / "unlearning-broken", PACKAGES / "strange"]

pytestmark = [
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no checkout with examples"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("setuptools", "pip")),
        reason="setuptools or pip is not installed",
    ),
]

WORDS = (
    "Question: Answer: Which does like ? metal tree I can't answer the question.",
    "Uma Vic Wes Xia Yan Zoe iron gold lead zinc tin silver oak elm ash fir pine birch",
)
SETTINGS = [
    *("--set", "weighted-ascent.epochs=4", "--set", "weighted-ascent.batch_size=3"),
    *("--set", "weighted-ascent.learning_rates=1e-2"),
    *("--set", "strange_ascent.epochs=4", "--set", "strange_ascent.learning_rates=1e-2"),
    *("--set", "refusal.epochs=2", "--set", "refusal.learning_rates=1e-2"),
]
PLUGINS = (
    "strange_ascent",
    "strange-negate",
    "strange-scale",
    "strange-metals",
    "weighted-ascent",
    "interpolate",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the examples and the stranger's package installed, built from copies."""
    base = tmp_path_factory.mktemp("strangers")
    places = [base / source.name for source in SOURCES]
    for source, place in zip(SOURCES, places, strict=True):
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    command = [*("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")]
    command += ["--target", str(base / "site"), *map(str, places)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return base / "site"


@pytest.fixture
def installed(site, monkeypatch):
    """This process and its children find what is installed there."""
    monkeypatch.setenv("COLUMNS", "120")
    with on_path(site):
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "unlearning_wga"]:
        del sys.modules[name]


@pytest.mark.usefixtures("installed")
def test_all_are_listed_and_the_broken_one_stops_nothing():
    ended = harness_cli("list")
    assert ended.code == 0
    assert all(f" {name} " in ended.out for name in (*PLUGINS, "gd", "tofu-mini"))
    assert "raises (unlearning-broken 0.1.0): RuntimeError: broken on purpose" in ended.err


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", PLUGINS)
def test_each_passes_the_check(name):
    ended = harness_cli("check", name)
    assert ended.code == 0, ended.out
    assert "FAILED" not in ended.out
    assert "skipped" not in ended.out


@pytest.mark.usefixtures("installed")
def test_the_check_names_what_is_broken():
    ended = harness_cli("check", "loose")
    assert ended.code == 2
    assert "must be a class derived from harness.Method" in ended.err
    missing = harness_cli("check", "raises")
    assert missing.code == 2
    assert "Left out: raises (unlearning-broken 0.1.0): RuntimeError: broken on purpose." in missing.err


@pytest.mark.usefixtures("installed")
def test_they_run_and_appear_in_the_leaderboard(tmp_path):
    model = save_model(tmp_path / "model", WORDS)
    ended = harness_cli(
        *(
            "run",
            "--methods",
            "weighted-ascent,strange_ascent,strange-negate",
            "--attacks",
            "interpolate,strange-scale,instruction",
        ),
        *("--benchmarks", "strange-metals", "--model", model, "--cache", tmp_path / "cache", "--seeds", 1),
        *("--results", tmp_path / "results", "--jobs", 1, *SETTINGS),
    )
    assert ended.code == 0, ended.err
    assert [row["error_message"] for row in rows(tmp_path / "results", status="failed")] == []
    assert "left out: instruction on strange-metals: the benchmark has no split 'instruct'." in ended.out
    built = harness_cli(
        "leaderboard", "build", "--results", tmp_path / "results", "--out", tmp_path / "board"
    )
    assert built.code == 0, built.err
    board = pq.read_table(tmp_path / "board" / "leaderboard.parquet").to_pylist()
    assert {row["benchmark"] for row in board} == {"strange-metals"}
    shown = {(row["method"], row["attack"], row["variant"]) for row in board if row["attack"] != "none"}
    attacks = {("interpolate", ""), ("strange-scale", "by=1.5"), ("strange-scale", "by=2")}
    methods = {"none", "retrain", "refusal", "weighted-ascent", "strange_ascent", "strange-negate"}
    assert shown == {(method, *attack) for method in methods for attack in attacks}
    page = (tmp_path / "board" / "README.md").read_text()
    assert all(
        name in page for name in ("weighted-ascent", "strange_ascent", "strange-negate", "interpolate")
    )
    [cell] = rows(tmp_path / "results", method="strange-negate", attack="interpolate")
    assert (cell["method_plugin"], cell["attack_plugin"]) == ("strange-things 3.1", "unlearning-wga 0.1.0")


@pytest.mark.usefixtures("installed")
def test_half_way_to_the_original_knows_more_than_the_unlearned_model(tmp_path):
    model = save_model(tmp_path / "model", WORDS)
    ended = harness_cli(
        *(
            "run",
            "--methods",
            "weighted-ascent",
            "--attacks",
            "interpolate",
            "--set",
            "interpolate.shares=0.5,0.999",
        ),
        *("--benchmarks", "strange-metals", "--model", model, "--cache", tmp_path / "cache", "--seeds", 1),
        *("--results", tmp_path / "results", "--jobs", 1, "--no-controls", *SETTINGS[:6]),
    )
    assert ended.code == 0, ended.err
    [before] = rows(tmp_path / "results", attack="none")
    [after] = rows(tmp_path / "results", attack="interpolate")
    assert score(tmp_path, before) <= 0.2
    assert score(tmp_path, after) == 1.0


def score(folder, cell):
    """The final exact match of the forget set."""
    found = pq.read_table(folder / "results" / "metrics" / f"{cell['key']}.parquet").to_pylist()
    [value] = [
        r["value"] for r in found if (r["split"], r["metric"], r["step"]) == ("forget", "exact_match", None)
    ]
    return value
