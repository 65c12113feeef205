"""``harness run --config FILE``: the options in YAML, and those that every results directory keeps."""

from __future__ import annotations

import pytest
import yaml

import harness
from harness.errors import ConfigError
from harness.plugins.registry import Registry
from harness.runner import config
from harness.runner.options import RunOptions
from harness.runner.resolve import PLACES, resolved
from support.command import harness_cli
from support.results import numbers, total
from support.stub import SETTINGS


@pytest.fixture
def file(tmp_path):
    """Write a configuration."""

    def write(text):
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return path

    return write


def test_it_says_what_the_command_line_says(file):
    read = config.read(
        file(
            """
            methods: [gd, npo]
            attacks: none
            benchmarks: tofu-mini
            seeds: 2
            settings: {npo.beta: 0.2, gd: {learning_rates: [1e-4, 1E-2]}, npo.retain: none}
            data: {tofu: towns}
            lora: {r: 16}
            utility: none
            controls: false
            plugins: [mine.py]
            """
        )
    )
    assert read == RunOptions.of(
        {
            "methods": "gd,npo",
            "attacks": "none",
            "benchmarks": "tofu-mini",
            "seeds": 2,
            "settings": {"npo.beta": 0.2, "gd.learning_rates": [1e-4, 1e-2], "npo.retain": "none"},
            "data": "tofu=towns",
            "lora": "r=16",
            "utility": "none",
            "controls": False,
            "plugins": "mine.py",
        }
    )


def test_what_is_typed_wins_over_it(file, world):
    path = file("methods: [none, gd]\nattacks: nudge\nbenchmarks: stub\ncontrols: true\nseeds: 3\n")
    options = ("--model", world.model, "--cache", world.cache, "--results", world.path(), "--dry-run")
    assert total(harness_cli("run", "--config", path, *options).out) == (4 * 3 * 3, 0)
    typed = ("--no-controls", "--seeds", 1, "--attacks", "none", "--set", "gd.epochs=2")
    assert total(harness_cli("run", "--config", path, *options, *typed).out) == (2, 0)


def test_settings_win_one_by_one(file):
    base = config.read(file("settings: {npo.beta: 0.2, npo.alpha: 2}\nseeds: 5\n"))
    options = RunOptions.of({"settings": ["npo.beta=0.3"]}).over(base)
    assert (str(options.settings["npo.beta"]), options.settings["npo.alpha"], options.seeds) == ("0.3", 2, 5)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "sedes: 3",
            "FILE: There is no option named 'sedes'. Did you mean 'seeds'? There are: analyses, any_source, ",
        ),
        ("seeds: three", "FILE: seeds: three: it must be a whole number from 1 to 1000."),
        ("seeds: true", "FILE: seeds: True: it must be a whole number from 1 to 1000."),
        ("controls: 1", "FILE: controls: 1: it must be true or false."),
        ("dtype: int4", "FILE: dtype: int4: it must be one of float32, bfloat16, float16."),
        ("methods: 3", "FILE: methods: 3: it must be names, as a list or separated by commas."),
        ("settings: {beta: 3}", "FILE: --set beta: name the plugin and its setting, for example ga.epochs."),
        ("settings: 3", "FILE: settings: 3: it must be NAME.setting=value, or a mapping "),
        ("seeds: 3\nmethods: [gd", "FILE, line 2: it is not YAML: "),
        ("seeds: 3\nseeds: 4", "FILE, line 2: it is not YAML: 'seeds' is there twice."),
        ("- gd", "FILE: it must hold options by name, such as 'methods: [gd, npo]'."),
    ],
)
def test_what_is_wrong_in_it_is_one_sentence(file, text, sentence):
    path = file(text)
    ended = harness_cli("run", "--config", path)
    assert (ended.code, ended.out) == (2, "")
    [line] = ended.err.splitlines()
    assert line.startswith("Error: " + sentence.replace("FILE", str(path)))


def test_all_that_is_wrong_in_it_is_said_at_once(file):
    with pytest.raises(ConfigError) as refused:
        config.read(file("seeds: 0\njobs: 0\nsedes: 3\n"))
    assert len(str(refused.value).splitlines()) == 3


def test_a_file_that_is_not_there(tmp_path):
    ended = harness_cli("run", "--config", tmp_path / "run.yaml")
    assert ended.code == 2
    assert (
        ended.sentence == f"--config {tmp_path / 'run.yaml'}: it cannot be read: No such file or directory."
    )


def test_names_and_settings_are_written_out(world):
    given = {"methods": "all", "attacks": "private-data:p=0.1,nudge", "benchmarks": "stub"}
    settings = ["private-data.learning_rates=1e-2", "npo.beta=0.2"]
    told = resolved(RunOptions.of({**given, "model": world.model, "settings": settings})).config
    assert told["methods"] == [name for name in Registry().methods if name != "checkpoint"]  # it has no path
    assert told["attacks"] == ["private-data:p=0.1", "nudge"]
    assert told["settings"] == {"npo.beta": 0.2, "private-data.learning_rates": [0.01]}
    assert set(told) == set(RunOptions.model_fields) - PLACES


def test_a_run_can_be_repeated_from_its_results_alone(world, tmp_path):
    assert world.run("gd", "private-data:p=0.1,nudge", "stub", "--micro-batch", 2, seeds=1).code == 0
    [kept] = (world.path() / "runs").iterdir()
    assert kept.read_text().startswith("# ")
    places = ("--results", tmp_path / "again", "--cache", world.cache, "--jobs", 1)
    assert harness_cli("run", "--config", kept, *places).code == 0
    assert numbers(tmp_path / "again") == numbers(world.path())
    assert [path.name for path in (tmp_path / "again" / "runs").iterdir()] == [kept.name]
    found = harness.run(
        config=kept, results=tmp_path / "again", cache=world.cache, jobs=1, progress=False, methods=["gd"]
    )
    assert found.cells.num_rows == len(numbers(world.path())["cells"])


def test_each_configuration_is_kept_once_and_a_dry_run_keeps_none(world):
    world.run("none", "nudge", "stub", "--dry-run", seeds=1, controls=False)
    assert not world.path().exists()
    for jobs in (1, 1, 2):
        world.run("none", "nudge", "stub", "--jobs", jobs, seeds=1, controls=False)
    assert len(list((world.path() / "runs").iterdir())) == 1
    world.run("none", "nudge:small", "stub", seeds=1, controls=False)
    assert len(list((world.path() / "runs").iterdir())) == 2


def test_merged_results_keep_the_configurations_of_all(world, tmp_path):
    for name, attack in (("a", "nudge:small"), ("b", "nudge:large")):
        world.run("none", attack, "stub", seeds=1, controls=False, results=name)
    assert (
        harness_cli("leaderboard", "merge", "--out", tmp_path / "all", world.path("a"), world.path("b")).code
        == 0
    )
    assert len(list((tmp_path / "all" / "runs").iterdir())) == 2


def test_lora_stays_an_option_and_its_settings_are_not_kept(world):
    world.run("gd", "none", "stub", "--lora", "r=2", seeds=1, controls=False)
    [kept] = (world.path() / "runs").iterdir()
    told = yaml.safe_load(kept.read_text())
    assert told["lora"] == {"r": 2, "alpha": None}
    assert set(told["settings"]) == {f"gd.{name}" for name in SETTINGS["gd"]}
    again = harness_cli(
        "run", "--config", kept, "--results", world.path(), "--cache", world.cache, "--dry-run"
    )
    assert total(again.out) == (1, 1)
