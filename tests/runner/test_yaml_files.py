"""YAML that is too large, too deep, or explodes is one sentence that names the file."""

from __future__ import annotations

import pytest
import yaml

import harness
from harness.errors import ConfigError, DataError
from harness.runner import config, yaml_files
from support.command import harness_cli

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)
ODD = {
    BOMB: "it has more than 20 aliases",
    "- " * 50_000: "line 1: lists and mappings lie more than 50 deep",
    "[" * 50_000: "line 1: lists and mappings lie more than 50 deep",
    "a: {" * 60: "line 1: lists and mappings lie more than 50 deep",
    "# " + "x" * 2**20: "it has more than 1,048,576 bytes",
    "seeds: \0": "it is not YAML",
    "seeds: [1": "line 1: it is not YAML",
}


@pytest.mark.parametrize("text", ODD, ids=ODD.values())
def test_yaml_beyond_the_limits_is_one_sentence(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        yaml_files.read(path)
    assert str(caught.value).startswith(str(path))
    assert ODD[text] in str(caught.value)
    ended = harness_cli("run", "--dry-run", "--config", path)
    assert ended.code == 2
    assert ended.sentence == str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"seeds: {'9' * 5_000}", "it is not YAML: Exceeds the limit"),
        (f"seeds: 0x{'f' * 9_000}", "line 1: it is not YAML: a whole number has more than 64 bits"),
        ("seeds: 1e999", "seeds: inf: it must be a whole number"),
        ("seeds: 1000000", "seeds: 1000000: it must be a whole number from 1 to 1000."),
        ("jobs: 1000000", "jobs: 1000000: it must be a whole number from 1 to 1000."),
        ("seeds: 2001-99-99", "it is not YAML: month must be in 1..12"),
        ("seeds: &a [*a]", "seeds: "),
        ("seeds: !!python/object/apply:os.getcwd []", "it is not YAML: could not determine a constructor"),
    ],
)
def test_numbers_and_dates_that_are_none_are_one_sentence(tmp_path, text, says):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.read(path)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_a_byte_order_mark_and_some_aliases_are_no_harm(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes("\ufeffmethods: &m [gd]\nattacks: *m\nseeds: 2\n".encode())
    options = config.read(path)
    assert (options.methods, options.attacks, options.seeds) == (("gd",), ("gd",), 2)


def test_nodes_are_given_once_and_tags_do_nothing(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text("a: &x [1, !function utils.f]\nb: *x\n")
    found = list(yaml_files.nodes(path))
    assert [node.value for node in found if node.tag == "!function"] == ["utils.f"]
    assert len([node for node in found if isinstance(node, yaml.SequenceNode)]) == 1


def test_so_many_seeds_or_workers_are_refused_on_the_command_line():
    for option in ("--seeds", "--jobs", "--threads"):
        ended = harness_cli("run", "--dry-run", option, "1000000")
        assert ended.code == 2
        assert "less than or equal to 1000" in " ".join(ended.err.split())


def test_a_number_too_long_to_be_written_is_one_sentence_in_python_too():
    with pytest.raises(ConfigError, match="--seeds a number too long to be written: it must be"):
        harness.run(seeds=10**5_000)
