"""Packages that this repository knows nothing of: installed, listed, checked, run, on the leaderboard."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from runs import harness_cli, on_path, rows, save_model

import harness

ROOT = Path(harness.__file__).parents[1]
EXAMPLES = ROOT / "examples"

pytestmark = [
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no checkout with examples"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("setuptools", "pip")),
        reason="setuptools or pip is not installed",
    ),
]

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "strange-things"
version = "3.1"

[project.entry-points.unlearning_harness]
strange = "strange"
"""

STRANGE = '''
"""Two methods, an attack and a benchmark, each written as the docstrings of harness.base say."""

from functools import partial

import torch
from pydantic import Field

import harness
from harness import base, metrics, models
from harness.base import Attack, Benchmark, Method, MethodConfig
from harness.losses import cross_entropy
from harness.types import Example, Fact, Generate, Measure, Prompt, Reported, Splits, Training

NAMES = "Uma Vic Wes Xia Yan Zoe".split()
METALS = "iron gold lead zinc tin silver".split()
TREES = "oak elm ash fir pine birch".split()


class Ascent(Method):
    """Ascent with a little descent."""

    name = "strange_ascent"

    class Config(MethodConfig):
        share: float = Field(0.5, ge=0, description="weight of the descent")

    def loss(self, model, batch):
        return -cross_entropy(model, batch.forget) + self.config.share * cross_entropy(model, batch.retain)


class Negate(Method):
    """Learn the forget set a little better by hand, and go the other way (task arithmetic)."""

    name = "strange-negate"

    class Config(base.Config):
        steps: int = Field(4, ge=1, description="steps on the forget set")
        scale: float = Field(2.0, gt=0, description="how far to go the other way")

    def unlearn(self, job):
        before = models.snapshot(job.model)
        optimizer = torch.optim.SGD(job.model.parameters(), lr=0.05)
        device = next(job.model.parameters()).device
        texts = next(iter(job.tokens.runs(job.subject.encode(job.forget), len(job.forget), device)))
        for _ in range(self.config.steps):
            optimizer.zero_grad()
            cross_entropy(job.model, texts).backward()
            optimizer.step()
        optimizer.zero_grad()
        now = models.snapshot(job.model)
        models.restore(job.model, {n: w - self.config.scale * (now[n] - w) for n, w in before.items()})


class Scale(Attack):
    """Make the last layer louder."""

    name = "strange-scale"
    variants = {"by=1.5": {"by": 1.5}, "by=2": {"by": 2.0}}

    class Config(base.Config):
        by: float = Field(1.5, gt=0, description="factor")

    def attack(self, job):
        for path, weight in models.matrices(job.model).items():
            if path.startswith("1."):
                weight.mul_(self.config.by)
        job.checkpoint()


class Metals(Benchmark):
    """Who likes which metal."""

    name = "strange-metals"
    forget_metric = "exact_match"
    curve_metrics = ("exact_match",)
    retain_metric = ("retain", "exact_match")
    reports = (
        Reported("exact_match", ("forget", "retain"), metrics.exact_match),
        Reported("utility", ("all",), metrics.exact_match),
    )

    def load(self):
        ask = "Which {} does {} like ?"
        pairs = {"forget": ("metal", METALS), "retain": ("tree", TREES)}
        return Splits({
            split: tuple(Fact(f"{what}-{n}", ask.format(what, n), said) for n, said in zip(NAMES, answers))
            for split, (what, answers) in pairs.items()
        })

    def measures(self, splits):
        for split, facts in splits.items():
            for fact in facts:
                request = Generate(Prompt(fact.question), 2)
                right = partial(metrics.exact_match, gold=fact.answer)
                yield Measure(split, "exact_match", fact.id, (request,), right)

    def threshold(self, splits):
        return 0.2

    def chance(self, splits):
        return 1 / 6

    def aggregates(self, samples):
        return {"utility": metrics.means(samples)["retain", "exact_match"]}

    def training(self, splits):
        retain, forget = (
            tuple(Example(Prompt(f.question), f.answer, f.id) for f in splits[name])
            for name in ("retain", "forget")
        )
        return Training(retain + forget, retain, (), 60, 1e-2, 12)


@harness.hookimpl
def register_methods(register):
    register("strange_ascent", Ascent)
    register("strange-negate", "strange:Negate")


@harness.hookimpl
def register_attacks(register):
    register("strange-scale", Scale)


@harness.hookimpl
def register_benchmarks(register):
    register("strange-metals", Metals)
'''

WORDS = (
    "Question: Answer: Which does like ? metal tree I can't answer the question.",
    "Uma Vic Wes Xia Yan Zoe iron gold lead zinc tin silver oak elm ash fir pine birch",
)
SETTINGS = [
    *("--set", "wga.epochs=4", "--set", "wga.batch_size=3", "--set", "wga.learning_rates=1e-2"),
    *("--set", "strange_ascent.epochs=4", "--set", "strange_ascent.learning_rates=1e-2"),
    *("--set", "refusal.epochs=2", "--set", "refusal.learning_rates=1e-2"),
]
PLUGINS = ("strange_ascent", "strange-negate", "strange-scale", "strange-metals", "wga", "interpolate")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the examples and the stranger's package installed, built from copies."""
    base = tmp_path_factory.mktemp("strangers")
    places = [base / name for name in ("unlearning-wga", "unlearning-broken")]
    for place in places:
        shutil.copytree(EXAMPLES / place.name, place, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    strange = base / "strange-things"
    strange.mkdir()
    (strange / "pyproject.toml").write_text(PYPROJECT)
    (strange / "strange.py").write_text(STRANGE)
    command = [*("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")]
    command += ["--target", str(base / "site"), *map(str, [*places, strange])]
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
    assert "must be a class derived from harness.base.Method" in ended.err
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
            "wga,strange_ascent,strange-negate",
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
    methods = {"none", "retrain", "refusal", "wga", "strange_ascent", "strange-negate"}
    assert shown == {(method, *attack) for method in methods for attack in attacks}
    page = (tmp_path / "board" / "README.md").read_text()
    assert all(name in page for name in ("wga", "strange_ascent", "strange-negate", "interpolate"))
    [cell] = rows(tmp_path / "results", method="strange-negate", attack="interpolate")
    assert (cell["method_plugin"], cell["attack_plugin"]) == ("strange-things 3.1", "unlearning-wga 0.1.0")


@pytest.mark.usefixtures("installed")
def test_half_way_to_the_original_knows_more_than_the_unlearned_model(tmp_path):
    model = save_model(tmp_path / "model", WORDS)
    ended = harness_cli(
        *("run", "--methods", "wga", "--attacks", "interpolate", "--set", "interpolate.shares=0.5,0.999"),
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
