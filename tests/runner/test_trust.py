"""A stranger's tasks run no code of theirs unless they are trusted, not even in a dry run."""

from __future__ import annotations

import json

import pytest
import yaml

import harness
from harness.errors import ConfigError, DataError
from harness.runner import tasks, trust
from support.command import harness_cli
from support.tasks import ACC, WHERE, write_local

pytestmark = pytest.mark.usefixtures("no_home")

PLAN = (
    "run",
    "--dry-run",
    "--methods",
    "none",
    "--attacks",
    "none",
    "--benchmarks",
    "tofu-mini",
    "--seeds",
    1,
)


@pytest.fixture
def hostile(local):
    """A task whose file names code that leaves a trace when it runs."""
    trace = local / "ran"
    (local / "utils.py").write_text(f"open({str(trace)!r}, 'w').close()\ndef docs(data):\n    return data\n")
    text = (local / "where.yaml").read_text()
    (local / "where.yaml").write_text(f"{text}process_docs: !function utils.docs\n")
    return local, trace


def test_code_that_a_task_names_does_not_run_and_is_named(hostile, tmp_path):
    directory, trace = hostile
    places = ("--results", tmp_path / "results", "--cache", tmp_path / "cache")
    ended = harness_cli(*PLAN, *places, "--utility-tasks", directory)
    assert ended.code == 2
    assert not trace.exists()
    line = len((directory / "where.yaml").read_text().splitlines())
    assert ended.sentence == (
        f"--utility-tasks {directory}: {directory / 'where.yaml'}, line {line}, would run the Python code "
        "'utils.docs', in a dry run as well: read it, and add --trust-code if you trust it."
    )
    trusted = harness_cli(*PLAN, *places, "--utility-tasks", directory, "--trust-code")
    assert trusted.code == 0, trusted.err
    assert trace.exists()


def test_python_and_yaml_ask_for_trust_as_well(hostile, tmp_path):
    directory, trace = hostile
    places = {"results": tmp_path / "results", "cache": tmp_path / "cache"}
    few = {"methods": "none", "attacks": "none", "benchmarks": "tofu-mini", "seeds": 1, "dry_run": True}
    with pytest.raises(ConfigError, match="add --trust-code"):
        harness.run(**few, **places, utility_tasks=directory)
    assert not trace.exists()
    config = tmp_path / "run.yaml"
    config.write_text(f"utility_tasks: {directory}\ntrust_code: true\n")
    harness.run(**few, **places, config=config)
    assert trace.exists()


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, {b: !function utils.f}]",
        "a: !<!function> utils.f",
        "%TAG !x! !func\n---\na: !x!tion utils.f",
        "a: &x !function utils.f\nb: *x",
        "? !function utils.f\n: 1",
        "a: !!python/object/apply:os.system [echo]",
        "a: !!python/name:os.system ''",
        "a: 1\n---\nb: !function utils.f",
    ],
)
def test_code_is_found_however_it_is_written(tmp_path, text):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match="would run the Python code"):
        trust.check(tmp_path, trusted=False)
    trust.check(tmp_path, trusted=True)


@pytest.mark.parametrize("include", ["include: ../out.txt", "<<: {include: [../out.txt]}", "include: out2"])
def test_code_is_found_in_what_a_file_includes(tmp_path, include):
    inside = tmp_path / "tasks"
    inside.mkdir()
    (inside / "a.yaml").write_text(include)
    (inside / "out2").write_text(f"include: {tmp_path / 'out.txt'}")
    (tmp_path / "out.txt").write_text("include: tasks/a.yaml\na: !function utils.f")
    with pytest.raises(ConfigError, match=r"out\.txt, line 2, would run the Python code 'utils\.f'"):
        trust.check(inside, trusted=False)


def test_only_what_macos_writes_is_passed_over(tmp_path):
    (tmp_path / "._a.yaml").write_bytes(b"\0\5\x16\7\0\2")
    trust.check(tmp_path, trusted=False)
    (tmp_path / "._b.yaml").write_text("a: !function utils.f")
    with pytest.raises(ConfigError, match=r"_b\.yaml"):
        trust.check(tmp_path, trusted=False)
    (tmp_path / "._b.yaml").write_text("a: [")
    with pytest.raises(DataError, match=r"_b\.yaml"):
        trust.check(tmp_path, trusted=False)


REACH = "{{ cycler.__init__.__globals__.os.getpid() }} {{who}} ?"


def test_a_template_does_not_reach_python_unless_it_is_trusted(tmp_path):
    local = write_local(tmp_path / "tasks", doc_to_text=REACH)
    with pytest.raises(harness.HarnessError, match=r"cannot be loaded: .*unsafe"):
        tasks.read(("where",), local, "")
    assert tasks.read(("where",), local, "", trusted=True)["tasks"]


def test_a_template_without_such_reach_says_the_same_in_the_sandbox(tmp_path):
    text = "{% for t in towns %}{{ t | upper }} {% endfor %}{{ who | regex_replace('A', 'B') }}"
    local = write_local(tmp_path / "tasks", doc_to_text=text)
    said = []
    for trusted in (False, True):
        task = tasks.read(("where",), local, "", trusted)["tasks"]["where"]
        said.append([task.doc_to_text(doc) for doc in task.eval_docs])
    assert said[0] == said[1]
    assert len(said[0]) == len(WHERE)


def test_trust_is_in_no_key(tmp_path):
    local = write_local(tmp_path / "tasks")
    found = [tasks.Utility(None, None, local, trusted).resolve("") for trusted in (False, True)]
    assert found[0] == found[1]
    assert json.loads(found[0].config)["asked"]
    assert yaml.safe_load((local / "where.yaml").read_text())["metric_list"] == [ACC]
