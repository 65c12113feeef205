"""What a user gets to read: the plan before the work, a table after it, one sentence for what is wrong."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys

import pyarrow.parquet as pq
import pytest

import harness.api
import harness.runner.estimate
from harness.cli import scorings
from harness.errors import HarnessError
from harness.store.schema import PROTOCOL, SCHEMA_VERSION
from support.command import harness_cli
from support.results import committed, rows, total
from support.site import on_path
from support.stub import TOWNS
from support.world import World


def refusal(ended):
    """The one sentence by which a command refuses."""
    assert ended.code == 2, ended
    assert "Traceback" not in ended.err
    [line] = ended.err.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


@pytest.fixture(scope="module")
def shared(stub_places, tmp_path_factory):
    """Results that are there already."""
    folder = tmp_path_factory.mktemp("shared")
    with on_path(stub_places[0]):
        assert World(*stub_places, folder).run("none", "nudge:small", controls=False).code == 0
    return folder / "results"


@pytest.fixture
def there(world, shared):
    """A directory with results, which no refusal may touch."""
    shutil.copytree(shared, world.path())
    before = committed(world.path())
    assert len(before) == 4
    yield world.path()
    assert committed(world.path()) == before


@pytest.mark.parametrize(
    ("methods", "attacks", "benchmarks", "sentence"),
    [
        ("gdd", "nudge", "stub", r"There is no method 'gdd'. Did you mean 'gd'\? There are: .*\bgd, .*\."),
        ("gd", "nudges", "stub", r"There is no attack 'nudges'. Did you mean 'nudge'\? There are: .*\."),
        ("gd", "nudge", "stubs", r"There is no benchmark 'stubs'. Did you mean 'stub'\? There are: .*\."),
        (
            *("gd", "private-data:p=0.2", "stub"),
            r"There is no variant of attack 'private-data' named 'p=0.2'. Did you mean 'p=0.\d'\? .*\.",
        ),
        (",", "nudge", "stub", r"No method is named: give names separated by commas, or 'all'."),
    ],
)
def test_a_name_that_does_not_exist(world, there, methods, attacks, benchmarks, sentence):
    said = refusal(world.run(methods, attacks, benchmarks, controls=False))
    assert re.fullmatch(sentence, said), said


def test_everything_that_is_wrong_in_a_selection_is_said_at_once(world, there):
    ended = world.run("gdd", "nudges", "stub")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("gd.gama=2", "There is no setting of gd named 'gama'. Did you mean 'gamma'? There are: "),
        ("gd.gamma=much", "gd.gamma=much is not allowed: "),
        ("gd.gamma=-1", "gd.gamma=-1 is not allowed: "),
        ("gd.epochs=2.5", "gd.epochs=2.5 is not allowed: "),
        ("private-data.p=1", "private-data.p=1 is not allowed: "),
        ("npo.beta=0.2", "--set npo.beta=0.2: the method 'npo' is not part of this run, which has "),
        ("nop.beta=0.2", "--set nop.beta=0.2: There is no plugin 'nop'. Did you mean 'npo'? "),
        ("gamma=2", "--set gamma=2: write NAME.setting=value, for example ga.epochs=3."),
        ("\udcff", "--set \\udcff: write NAME.setting=value, for example ga.epochs=3."),  # no UTF-8
    ],
)
def test_a_setting_that_is_not_allowed(world, there, assignment, sentence):
    ended = harness_cli(
        *("run", "--model", world.model, "--benchmarks", "stub", "--methods", "gd", "--attacks"),
        *("private-data", "--results", there, "--cache", world.cache, "--set", assignment),
    )
    assert refusal(ended).startswith(sentence), ended.err


def test_a_number_format_that_does_not_exist(world, there):
    said = refusal(world.run("gd", "nudge", "stub", "--dtype", "int4"))
    assert said == "--dtype int4: it must be one of float32, bfloat16, float16."


@pytest.mark.parametrize("option", ["--jobs", "--seeds", "--threads", "--micro-batch"])
def test_no_option_that_counts_can_be_zero(there, option):
    ended = harness_cli("run", option, 0, "--results", there)
    assert (ended.code, ended.out) == (2, "")
    assert f"Invalid value for '{option}': " in ended.err
    assert "Traceback" not in ended.err


class TestModels:
    """A model that cannot be used is refused before anything runs."""

    @pytest.fixture
    def model(self, world):
        world.model = shutil.copytree(world.model, world.folder / "model")
        return world.model

    def test_without_a_tokenizer(self, world, there, model):
        for file in model.glob("tokenizer*"):
            file.unlink()
        said = refusal(world.run())
        assert said.startswith(f"{model} has no tokenizer (none of tokenizer.json, ")

    def test_without_a_configuration(self, world, there, model):
        (model / "config.json").unlink()
        assert refusal(world.run()).startswith(f"{model} is not a model directory: it has no config.json. ")

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("config.json", b"{ no json"),
            ("config.json", b'{"model_type": "no-such-family"}'),
            ("tokenizer.json", b"{ no json"),
            ("model.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00 broken "),
            ("model.safetensors", None),
        ],
    )
    def test_with_a_broken_file(self, world, there, model, file, content):
        whole = (model / file).read_bytes()
        (model / file).write_bytes(whole[: len(whole) // 2] if content is None else content)
        world.cache = world.folder / "cache"
        ended = world.run("none", "none", controls=False)
        assert ended.code == 2, ended
        assert "Traceback" not in ended.err
        [said] = ended.err.splitlines()
        assert said.startswith(f"Error: The model '{model}' cannot be loaded: ")

    def test_without_an_end_token(self, world, there, model):
        settings = model / "tokenizer_config.json"
        named = json.loads(settings.read_text())
        del named["eos_token"]
        settings.write_text(json.dumps(named))
        world.cache = world.folder / "cache"
        said = refusal(world.run("none", "none", controls=False))
        assert said.startswith("The tokenizer has no end-of-sequence token")

    @pytest.mark.parametrize("name", ["no/such/model/here", "nobody-at-all/no-such-model", "./nowhere"])
    def test_that_does_not_exist(self, world, there, name):
        world.model = name
        said = refusal(world.run())
        assert f"'{name}'" in said
        assert "directory" in said

    def test_that_is_the_embedded_one_for_another_world(self, world, there):
        world.model, world.cache = "tiny", world.folder / "cache"
        said = refusal(world.run("none", "none", controls=False))
        assert said == "--model tiny is for the embedded worlds: give a model directory or a hub id."


class TestData:
    """Data that cannot be read is named by file and line."""

    @pytest.fixture
    def tofu(self, world, monkeypatch):
        """A directory in TOFU's form, a hundredth of its size."""
        import harness.benchmarks.tofu.benchmark as published

        monkeypatch.setattr(published, "PAIRS", 40)
        monkeypatch.setattr(published, "SIZES", dict.fromkeys(published.SIZES, 4))
        folder = world.folder / "tofu"
        folder.mkdir()
        for kind, wrong in [("forget10", 5), ("retain", 5), ("real_authors", 3), ("world_facts", 3)]:
            write(folder / f"{kind}_perturbed.json", [record(f"{kind} {i}", wrong) for i in range(4)])
        kept = [*(f"retain {i}" for i in range(4)), *(f"kept {i}" for i in range(32))]
        write(folder / "retain90.json", [record(question, 0) for question in kept])
        return folder

    def run(self, world, tofu, *more):
        return world.run("none", "none", "tofu", "--data", tofu, *more, "--dry-run", controls=False)

    def test_good_data_is_taken(self, world, there, tofu):
        assert total(self.run(world, tofu).out) == (2, 0)

    def test_a_record_without_an_answer(self, world, there, tofu):
        path = tofu / "forget10_perturbed.json"
        broken = record("q", 5)
        del broken["answer"]
        write(path, [record("p", 5), broken])
        said = refusal(self.run(world, tofu))
        assert said.startswith(f"{path}, line 2: expected a non-empty text in 'answer', found none; ")

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"question": ', b"[1, 2]\n", b"", b'"text"\n'])
    def test_a_file_that_is_something_else(self, world, there, tofu, content):
        path = tofu / "retain90.json"
        path.write_bytes(content)
        assert refusal(self.run(world, tofu)).startswith(str(path))

    def test_a_file_that_is_missing(self, world, there, tofu):
        (tofu / "retain90.json").unlink()
        said = refusal(self.run(world, tofu))
        assert said == f"{tofu / 'retain90.json'}: this file is missing; it holds one JSON object a line"

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[1]", b'[{"instruction": "Say it."}]', b"{}"])
    def test_instructions_that_are_something_else(self, world, there, tofu, content):
        path = world.folder / "alpaca.json"
        path.write_bytes(content)
        said = refusal(self.run(world, tofu, "--set", f"tofu.instruct={path}"))
        assert said.startswith(str(path))

    def test_a_directory_that_does_not_exist(self, world, there):
        said = refusal(self.run(world, world.folder / "nowhere"))
        assert said == f"--data {world.folder / 'nowhere'}: there is no directory {world.folder / 'nowhere'}."

    def test_data_that_no_benchmark_takes(self, world, there):
        said = refusal(world.run("none", "none", "stub", "--data", world.folder, controls=False))
        assert said.endswith("it goes to the benchmark that reads files, and none of this run does.")

    def test_data_that_several_benchmarks_could_take(self, world, there, tofu):
        said = refusal(world.run("none", "none", "tofu,stub-files", "--data", tofu, controls=False))
        assert said.endswith("and several do (tofu, stub-files): write NAME=DIR.")

    def test_data_for_a_benchmark_that_takes_none(self, world, there):
        said = refusal(world.run("none", "none", "stub", "--data", f"stub={world.folder}", controls=False))
        assert said.endswith("'stub' is no benchmark of this run that reads files.")

    def test_data_for_two_benchmarks_by_name(self, world, there, tofu):
        (world.folder / "facts.json").write_text(json.dumps(TOWNS))
        data = ("--data", f"tofu={tofu}", "--data", f"stub-files={world.folder}")
        ended = world.run("none", "none", "tofu,stub-files", *data, "--dry-run", controls=False)
        assert total(ended.out) == (4, 0)

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"{ no json", b"[]"])
    def test_faithun_files_that_are_something_else(self, world, there, content):
        path = world.folder / "FaithUn_Dataset.json"
        path.write_bytes(content)
        ended = world.run("none", "none", "faithun", "--data", world.folder, controls=False)
        assert refusal(ended).startswith(str(path))

    def test_faithun_without_data(self, world, there):
        said = refusal(world.run("none", "none", "faithun", controls=False))
        assert said.endswith("download the authors' files and give them with --data DIR")


def record(question, wrong):
    """A record in TOFU's form."""
    return {
        "question": f"{question} ?",
        "answer": "Oslo",
        "paraphrased_question": f"{question} , then ?",
        "paraphrased_answer": "In Oslo",
        "perturbed_answer": ["In Rome"] * wrong,
    }


def write(path, records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


class TestResults:
    """Results that cannot be used are refused and left as they are."""

    @pytest.mark.parametrize("command", [("run",), ("leaderboard", "build")])
    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("protocol", f"were measured under protocol 0 and this version measures under {PROTOCOL}"),
            ("schema_version", f"are tables of schema version 0 and this version has {SCHEMA_VERSION}"),
        ],
    )
    def test_of_another_version(self, world, there, command, name, says):
        other = shutil.copytree(there, world.folder / "other")
        path = sorted((other / "cells").glob("*.parquet"))[0]
        cell = pq.read_table(path)
        pq.write_table(cell.replace_schema_metadata({**cell.schema.metadata, name.encode(): b"0"}), path)
        before = committed(other)
        if command == ("run",):
            ended = world.run("none", "none", controls=False, results="other")
        else:
            ended = harness_cli(*command, "--results", other, "--out", world.folder / "board")
        said = refusal(ended)
        todo = "use another --results directory, or move this one away to have all measured again."
        assert said == f"The results in {other} {says}; {todo}"
        assert committed(other) == before

    def test_that_are_a_file(self, world):
        world.path().write_text("not a directory")
        said = refusal(world.run("none", "none", controls=False))
        assert said == f"{world.path()} is not a directory; use another --results directory."
        assert world.path().read_text() == "not a directory"

    def test_that_are_not_there_make_no_leaderboard(self, world):
        said = refusal(harness_cli("leaderboard", "build", "--results", world.path(), "--out", world.folder))
        assert said.startswith(f"There is no results directory {world.path()}; run `harness run` first")

    def test_that_are_empty_make_no_leaderboard(self, world):
        world.path().mkdir()
        board = world.folder / "board"
        said = refusal(harness_cli("leaderboard", "build", "--results", world.path(), "--out", board))
        assert said.startswith("There are no results yet; run `harness run`")
        assert not board.exists()

    def test_that_are_there_make_one_without_changing(self, world, there):
        board = world.folder / "board"
        ended = harness_cli("leaderboard", "build", "--results", there, "--out", board)
        assert (ended.code, ended.err) == (0, "")
        assert {path.name for path in board.iterdir()} == {
            *("leaderboard.parquet", "README.md", "curves.parquet", "facts.parquet", "index.html"),
            *("heatmap-stub-model.svg", "heatmap-stub-model-dark.svg"),
        }


def test_a_dry_run_shows_the_plan_and_writes_nothing(world):
    before = sorted(world.folder.rglob("*"))
    world.cache = world.folder / "cache"
    ended = world.run("gd", "nudge", "stub", "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert total(ended.out) == (24, 0)
    assert "models to train first: original, retrain" in ended.out
    assert sorted(world.folder.rglob("*")) == before


def test_a_dry_run_counts_what_is_there_already(world, there):
    ended = world.run("none", "nudge", "stub", "--dry-run", controls=False)
    assert total(ended.out) == (6, 4)
    assert "models to train first" not in ended.out


def test_the_plan_is_printed_before_the_work_starts(world, monkeypatch):
    def stop(*_):
        raise HarnessError("The work has started.")

    monkeypatch.setattr(harness.api, "execute", stop)
    ended = world.run("gd", "nudge,private-data:p=0.1", "stub")
    assert refusal(ended) == "The work has started."
    assert ended.out.splitlines()[:4] == [
        "benchmarks: stub   model: model   seeds: 2",
        "methods: none, retrain, refusal, gd",
        "attacks: nudge small, nudge large, private-data p=0.1",
        f"cells: 32, of which 0 are in {world.path()} already",
    ]


def test_what_saves_memory_or_repeats_itself_changes_no_number(world):
    less = ("--checkpointing", "--offload", "--deterministic", "--device", "cpu")
    values = []
    for results, more in (("plain", ()), ("less", less)):
        ended = world.run(
            "npo", "private-data:p=0.1", "stub", *more, results=results, controls=False, seeds=1
        )
        assert ended.code == 0, ended.err
        table = harness.load(world.path(results)).metrics
        values.append(table.select(["key", "split", "metric", "step", "value"]).to_pylist())
    assert len(values[0]) > 5
    assert values[0] == values[1]


def test_the_plan_says_how_long_the_rest_takes(world, there):
    [said] = re.findall(r"^time: (.*)$", world.run("none", "nudge", "stub", "--dry-run").out, re.MULTILINE)
    assert re.fullmatch(
        r"about 10 s on 1 worker, and 10 cells( and 1 model)? of which there is no estimate yet", said
    )
    ended = world.run("none", "nudge:small", "stub", "--dry-run", controls=False)
    assert "time:" not in ended.out


class TestLongRuns:
    """A run of more than half an hour is begun when somebody says so, where there is somebody."""

    @pytest.fixture(autouse=True)
    def long(self, monkeypatch):
        monkeypatch.setattr(harness.runner.estimate, "MANY", 0)

    @pytest.fixture
    def answer(self, monkeypatch):
        """Sit at a terminal and type this."""

        def type_in(text):
            stream = io.StringIO(text)
            stream.isatty = lambda: True
            monkeypatch.setattr(sys, "stdin", stream)

        return type_in

    def run(self, world, *more):
        return world.run("none", "none", "stub", *more, controls=False)

    SENTENCE = "This may take long: no estimate yet, since nothing like 2 cells of it was measured here."

    @pytest.mark.parametrize("text", ["n\n", "\n"])
    def test_no_begins_nothing(self, world, answer, text):
        answer(text)
        ended = self.run(world)
        assert ended.code == 0
        assert f"{self.SENTENCE} Continue? [y/N]" in ended.err
        assert ended.out.endswith("Nothing was begun; all that is there is kept.\n")
        assert not world.path().exists()

    def test_yes_begins_it(self, world, answer):
        answer("y\n")
        assert self.run(world).code == 0
        assert len(rows(world.path(), status="ok")) == 2

    def test_an_option_says_so_beforehand(self, world, answer):
        answer("")
        ended = self.run(world, "--yes")
        assert (ended.code, "Continue?" in ended.err) == (0, False)
        assert len(rows(world.path())) == 2

    def test_where_there_is_no_terminal_it_begins_and_says_so(self, world):
        ended = self.run(world)
        assert ended.code == 0
        assert f"{self.SENTENCE} Nobody is at a terminal to be asked: it begins." in ended.out
        assert len(rows(world.path())) == 2

    def test_what_is_all_there_is_no_long_run(self, world, answer):
        self.run(world)
        answer("")
        assert self.run(world).code == 0

    def test_a_plan_alone_is_not_asked_about(self, world, answer):
        answer("")
        assert self.run(world, "--dry-run").code == 0


def test_what_is_left_out_is_said(world):
    ended = world.run("gd", "instruction,nudge", "stub-bare", "--dry-run")
    assert "left out: retrain on stub-bare: no model can be trained without its forget set." in ended.out
    assert "left out: instruction on stub-bare: the benchmark has no split 'instruct'." in ended.out
    assert "models to train first" not in ended.out


def test_a_benchmark_without_a_recipe_takes_the_model_as_it_is(world):
    world.cache = world.folder / "cache"
    assert world.run("none", "none", "stub-bare", controls=False).code == 0
    assert not world.cache.exists()
    assert [row["status"] for row in rows(world.path())] == ["ok", "ok"]


def test_a_line_for_each_cell_goes_to_stderr_and_the_table_to_stdout(undisturbed):
    ended = undisturbed["ended"]
    cells = [line for line in ended.err.splitlines() if line.startswith("ok: ")]
    assert len(cells) == 48
    assert cells[-1].endswith("(48 of 48)")
    assert "probability on the facts to forget" in ended.out
    assert "\x1b" not in ended.out + ended.err


def test_the_table_has_one_line_for_each_method_in_eighty_columns(undisturbed):
    out = undisturbed["ended"].out
    shown = out[out.index("stub, ") : out.index("The cells are in")]
    first, *lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert first.endswith("probability on the facts to forget")
    methods = ("none", "retrain", "refusal", "gd")
    assert [line.split()[0] for line in lines if line.startswith(tuple(f"{m} " for m in methods))] == [
        *("gd", "none", "retrain", "refusal"),
    ]
    assert "Controls: none is the original model" in shown


def test_with_details_there_is_a_line_for_each_method_and_attack_in_eighty_columns(undisturbed):
    ended = harness_cli("-q", "results", "--results", undisturbed["folder"] / "results", "--details")
    assert (ended.code, ended.err) == (0, "")
    shown = ended.out[ended.out.rindex("\nstub, ") :]
    assert max(map(len, shown.splitlines()[2:])) <= 80
    shown, told = shown.split("no method is ranked; the guards say why.")
    assert "gd has no rank: " in told
    assert "2 seeds, 3 are needed" in " ".join(told.split())
    lines = shown.splitlines()
    number = r"(-?\d\.\d\d|–)"
    attacks = ("instruction", "nudge large", "nudge small", "private-data p=0.1", "private-data p=0.3")
    expected = []
    for method in ("none", "retrain", "refusal", "gd"):
        expected.append(rf"  {method} +{number} +{number} to {number} +{number} +{number}")
        expected += [rf"    {attack} +{number} +{number} to {number} +{number}" for attack in attacks]
    start = next(i for i, line in enumerate(lines) if "recovery" in line)
    lines = [line.rstrip() for line in lines[start + 1 :] if re.search(r"\w", line)]
    assert [bool(re.fullmatch(*pair)) for pair in zip(expected, lines[:24], strict=True)] == [True] * 24, (
        lines
    )


def test_check_benchmark_says_ok_or_fail_for_each_claim_and_exits_with_1(world, monkeypatch):
    monkeypatch.setattr(scorings, "others", lambda options, name: [f"another scoring of {name}"])
    ended = harness_cli(
        *("check-benchmark", "stub", "--model", world.model, "--cache", world.cache, "--seeds", 1),
        *("--results", world.path(), "--jobs", 1),
    )
    findings = [line for line in ended.out.splitlines() if line.startswith(("ok  ", "FAIL  "))]
    assert ended.code == 1
    assert any(line.startswith("FAIL  the original knows the forget set: ") for line in findings)
    assert any("under nudge large" in line for line in findings)
    assert any(line.startswith("FAIL  the scoring tells the original from chance: ") for line in findings)
    assert ended.out.rstrip().endswith("\n      another scoring of stub")
    assert "Traceback" not in ended.err


def test_check_benchmark_of_an_unknown_name(world):
    said = refusal(harness_cli("check-benchmark", "stubb", "--model", world.model))
    assert said.startswith("There is no benchmark 'stubb'. Did you mean 'stub'?")


def test_check_benchmark_takes_settings_of_the_benchmark(world):
    options = ("--model", world.model, "--cache", world.cache, "--results", world.path())
    said = refusal(harness_cli("check-benchmark", "stub", *options, "--set", "stub.threshold=much"))
    assert said.startswith("stub.threshold=much is not allowed: ")
