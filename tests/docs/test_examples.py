"""What the documentation tells to type works: its commands, its code, and its data."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from harness.benchmarks.faithun import FaithUn

import harness
import harness.cli.main
from harness.errors import DataError
from harness.leaderboard import columns
from harness.plugins.assignments import assignments
from harness.plugins.registry import Registry
from harness.plugins.selection import select, split
from harness.plugins.settings import check
from harness.runner import config
from support.command import harness_cli
from support.paths import ROOT
from support.results import rows
from support.saved import save_model
from support.site import install, on_path

EXAMPLES = ROOT / "docs" / "examples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    """The fenced code of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def typed(path: Path) -> list[str]:
    """Every ``harness ...`` of a page's shell blocks, and of the README's indented ones, without comments."""
    text = path.read_text().replace("\\\n", " ") if path.name == "README.md" else ""
    found = re.findall(r"^    (harness .*)$", text, re.MULTILINE)
    for block in blocks(path, "sh"):
        found += re.findall(r"^harness .*$", block.replace("\\\n", " "), re.MULTILINE)
    return [" ".join(line.partition(" # ")[0].split()) for line in found]


COMMANDS = [
    pytest.param(line, id=f"{path.relative_to(ROOT)}: {line}") for path in PAGES for line in typed(path)
]


WRITTEN = {line.values[0].split()[3] for line in COMMANDS if line.values[0].startswith("harness new ")}
"""Plugins that pages have the reader write."""


def test_commands_are_found():
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_documentation_is_one(line, tmp_path):
    words = shlex.split(line)[1:]
    command = typer.main.get_command(harness.cli.main.app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        word = words.pop(0)
        assert word in command.commands, f"there is no {word!r}"
        command = command.commands[word]
    given = command.make_context(command.name, list(words)).params
    if command.name == "run" and "--plugin" not in words and not WRITTEN & set(words):
        names = [split(given[kind]) for kind in ("methods", "attacks", "benchmarks")]
        settings = assignments(given["settings"] or [])
        selection = select(Registry(), *names, settings=settings)
        if "checkpoint.path" in settings:  # a name that stands for a model of the reader's
            settings["checkpoint.path"] = str(save_model(tmp_path / "model"))
        check(settings.items(), selection, Registry())


# --- plugins in one file


@pytest.fixture
def imported():
    """Import a file of docs/examples."""

    def imported(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return imported


SMALL = [f"bounded.{setting}" for setting in ("epochs=3", "batch_size=4", "learning_rates=1e-4,1e-2")]


def test_the_method_of_the_tutorial_unlearns_and_is_attacked(world):
    options = ["--plugin", EXAMPLES / "bounded.py", *(part for text in SMALL for part in ("--set", text))]
    ended = world.run("bounded", "private-data", "stub", *options, seeds=1)
    assert ended.code == 0, ended.err
    cells = rows(world.path(), method="bounded")
    assert [cell["status"] for cell in cells] == ["ok"] * len(cells)
    assert {cell["attack"] for cell in cells} == {"none", "private-data"}
    assert sum(cell["steps"] for cell in cells if cell["attack"] == "none") > 0


def test_the_package_of_the_tutorial_registers_the_method(tmp_path):
    site = install(tmp_path / "site", (EXAMPLES / "my_package.py").read_text(), "my_package")
    shutil.copy(EXAMPLES / "bounded.py", site)
    with on_path(site):
        entry = Registry().method("bounded")
        assert entry.owner.startswith("my_package")
        assert entry.load().name == "bounded"


def test_the_method_of_the_tutorial_lets_a_fact_go(imported, model, batch):
    """At a margin below every loss there is no forget term left, and no gradient of one."""
    method = imported("bounded").Bounded
    terms = dict(method(method.Config(margin=1e-6)).loss(model, batch))
    assert terms["forget"].item() == 0
    assert terms["retain"].item() > 0
    assert dict(method(method.Config(margin=1e6)).loss(model, batch))["forget"].item() > 0


def test_the_attack_of_the_how_to_shows_some_facts_and_scores_the_others(world):
    options = ["--plugin", EXAMPLES / "forget_shots.py"]
    ended = world.run("none", "forget-shots", "stub", *options, seeds=1, controls=False)
    assert ended.code == 0, ended.err
    cells = rows(world.path(), attack="forget-shots")
    assert {cell["variant"] for cell in cells} == {"shots=3", "shots=6"}
    assert all(cell["status"] == "ok" for cell in cells)
    assert ['"n_scored": 5' in c["notes"] or '"n_scored":5' in c["notes"] for c in cells].count(True) == 1


def test_the_analysis_of_the_how_to_reads_both_models(world):
    options = ["--plugin", EXAMPLES / "first_token.py", "--analyses", "first-token"]
    ended = world.run("none", "none", "stub", *options, seeds=1, controls=False)
    assert ended.code == 0, ended.err
    [cell] = rows(world.path(), stage="analysis")
    assert (cell["analysis"], cell["status"]) == ("first-token", "ok")
    found = {row["series"]: row["value"] for row in harness.load(world.path()).analyses.to_pylist()}
    assert found["forget original"] == found["forget unlearned"]  # `none` changes nothing
    assert found.keys() == {
        f"{part} {which}" for part in ("forget", "retain") for which in ("original", "unlearned")
    }
    assert all(0 <= value <= 1 for value in found.values())


# --- data


def test_the_example_in_tofus_format_runs_as_a_benchmark(imported):
    benchmark = imported("my_tofu").MyTofu()
    benchmark.data = EXAMPLES / "tofu"
    splits = benchmark.load()
    assert {name: len(facts) for name, facts in splits.items()} == {
        "forget": 6,
        "retain": 6,
        "retain_perturbed": 3,
        "real_authors": 2,
        "world_facts": 2,
    }
    measured = {(m.split, m.metric) for m in benchmark.measures(splits)}
    assert ("forget", "rouge_l") in measured
    assert 0 < benchmark.threshold(splits) < 1
    assert len(benchmark.training(splits).original) == 12


def test_the_example_benchmark_takes_instructions_and_a_threshold(imported):
    made = imported("my_tofu").MyTofu
    benchmark = made(made.Config(instruct=str(EXAMPLES / "alpaca.json"), threshold=0.5))
    benchmark.data = EXAMPLES / "tofu"
    splits = benchmark.load()
    assert (len(splits["instruct"]), benchmark.threshold(splits)) == (2, 0.5)


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("forget_perturbed", '"paraphrased_answer"', '"paraphrase"', "paraphrased_answer"),
        ("retain_perturbed", "Dov Marsh", "Somebody Else", "expected a fact of the retain split"),
    ],
)
def test_what_is_wrong_with_data_of_ones_own_is_named(file, old, new, told, imported, tmp_path):
    shutil.copytree(EXAMPLES / "tofu", tmp_path / "tofu")
    path = tmp_path / "tofu" / f"{file}.json"
    path.write_text(path.read_text().replace(old, new, 1))
    benchmark = imported("my_tofu").MyTofu()
    benchmark.data = tmp_path / "tofu"
    with pytest.raises(DataError, match=told) as caught:
        benchmark.load()
    assert f"{file}.json, line 1" in str(caught.value)


def test_the_example_in_faithuns_format_is_read():
    benchmark = FaithUn(FaithUn.Config(clusters=6))
    benchmark.data = EXAMPLES / "faithun"
    splits = benchmark.load()
    assert {name: len(facts) for name, facts in splits.items()} == {"forget": 2, "retain": 2, "test": 2}
    born, trade = splits["forget"]
    assert [q.text for q in born.paraphrases] == ["What is the birthplace of Ada Thorne?"]
    assert [q.answer for q in trade.multi_hop] == ["smoker"]
    assert (len(born.same_answer), trade.same_answer) == (1, ())


def test_the_example_in_faithuns_format_runs(tmp_path):
    text = (EXAMPLES / "faithun" / "FaithUn_Dataset.json").read_text()
    prompt = "Answer the following question by simply selecting a proper answer among the given options. "
    prompt += (
        "You must generate only the exact word without an explanation. Question: Options: Your Answer: , ?"
    )
    model = save_model(
        tmp_path / "model", (prompt, *re.findall(r'"([^"]*)"', text)), max_position_embeddings=256
    )
    ended = harness_cli(
        *("run", "--benchmarks", "faithun", "--data", EXAMPLES / "faithun", "--set", "faithun.clusters=6"),
        *("--methods", "none", "--attacks", "none", "--seeds", 1, "--no-controls", "--model", model),
        *("--results", tmp_path / "results", "--cache", tmp_path / "cache", "--jobs", 1),
    )
    assert ended.code == 0, ended.err
    assert [row["status"] for row in rows(tmp_path / "results")] == ["ok"]


# --- Parquet


def run_example(name: str, folder: Path) -> str:
    """What an example prints when it runs in ``folder``."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


TESTED = {
    *("bounded", "my_package", "forget_shots", "my_tofu", "from_python"),
    *("parquet_columns", "parquet_cells", "parquet_pandas", "parquet_duckdb", "parquet_polars"),
    *("not_ranked", "unlearning_curve", "first_token"),
    *("anchored", "smoothed", "projected", "negation", "phrases", "telegrams", "capped"),
}
"""Examples that a test runs, of this file, of test_howtos.py or of test_compositions.py."""


@pytest.mark.parametrize("library", ["pandas", "duckdb", "polars"])
def test_the_committed_leaderboard_is_read_with(library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed; it comes with the extra 'docs'")
    printed = run_example(f"parquet_{library}", ROOT)
    assert "ssiuu" in printed or "retrain" in printed


def test_the_leaderboard_explains_its_columns():
    lines = run_example("parquet_columns", ROOT).splitlines()
    assert len(lines) == len(columns.SCHEMA)
    assert lines[0].startswith("protocol - version of the measurement")


def test_the_cells_of_a_run_are_read_with_pandas(world):
    assert world.run("gd", "private-data", "stub", seeds=1).code == 0
    printed = run_example("parquet_cells", world.folder)
    head, *points = printed.splitlines()
    assert head.split()[:2] == ["method", "attack"]
    assert any("private-data" in point for point in points)


def test_methods_without_a_rank_are_listed_with_the_reason():
    table = pq.read_table(ROOT / "leaderboard" / "leaderboard.parquet").to_pylist()
    guards = [row["guard"] for row in table if row["attack"] == "none" and row["guard"]]
    assert [line.split(": ", 2)[2] for line in run_example("not_ranked", ROOT).splitlines()] == guards
    assert guards


def test_the_points_of_the_unlearning_curve_are_listed(world):
    assert world.run("gd", "none", "stub", seeds=1).code == 0
    head, *points = run_example("unlearning_curve", world.folder).splitlines()
    assert head.split() == ["method", "seed", "learning_rate", "step", "value"]
    assert {point.split()[0] for point in points} >= {"gd"}


def test_the_configuration_of_the_how_to_is_one():
    options = config.read(EXAMPLES / "run.yaml")
    assert options.methods == ("ssiuu", "gd")
    assert options.settings == {"ssiuu.lambda": 1e-3, "gd.epochs": 40}


# --- code in pages


CODE = [pytest.param(path, code, id=f"{path.relative_to(ROOT)}-{i}")
        for path in PAGES for i, code in enumerate(blocks(path, "python"))]  # fmt: skip


@pytest.mark.parametrize(("path", "code"), CODE)
def test_the_python_of_a_page_compiles(path, code):
    if included := re.fullmatch(r'--8<-- "(\w+\.py)"\n', code):
        assert (EXAMPLES / included[1]).is_file()
    else:
        compile(code, str(path), "exec")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_is_tested_and_stands_in_a_page(path):
    assert path.stem in TESTED
    assert any(f'--8<-- "{path.name}"\n' in blocks(page, "python") for page in PAGES)


def test_the_python_interface_takes_what_the_tutorial_gives_it():
    tree = ast.parse((EXAMPLES / "from_python.py").read_text())
    calls = [node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Attribute)]  # fmt: skip
    [call] = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "harness.run"]
    inspect.signature(harness.run).bind(**{keyword.arg: None for keyword in call.keywords})
    assert all(hasattr(harness.Results, name) for name in calls if name != "run")
