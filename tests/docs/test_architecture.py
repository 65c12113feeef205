"""The map and the walk of docs/architecture.md are those of the code."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from support.paths import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
STOPS = re.findall(r"^\| (?:`\w+`)? ?\| `([\w/]+\.py)` \| `([\w.]+)` \|", TEXT, re.MULTILINE)
MAP = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", TEXT, re.MULTILINE))
"""What each room may import, by its name."""


def layers():
    """The layers of the first contract, from the top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [layer.split(" | ") for layer in contracts[0]["layers"]]


def test_the_map_holds_every_room_and_no_other():
    rooms = {room for layer in layers() for room in layer} - {"errors", "foreseen"}
    assert set(MAP) == rooms == {path.parent.name for path in ROOT.glob("harness/*/__init__.py")} | {"api"}


def test_a_room_imports_what_is_below_it():
    height = {room: -i for i, layer in enumerate(layers()) for room in layer}
    for room, text in MAP.items():
        for other in set(re.findall(r"\w+", text.replace("`", ""))) & height.keys():
            assert height[other] < height[room], f"{room} may import {other}?"


def test_the_walk_enters_every_room_once():
    rooms = re.findall(r"^\| `(\w+)` \| `[\w/]+\.py` \|", TEXT, re.MULTILINE)
    assert len(rooms) == len(set(rooms))
    assert set(rooms) == set(MAP) - {"testing"}


def test_stops_are_found():
    assert len(STOPS) > 15


@pytest.mark.parametrize(("file", "name"), STOPS)
def test_a_stop_of_the_walk_is_there(file, name):
    body = ast.parse((ROOT / file).read_text()).body
    for part in name.split("."):
        [found] = [node for node in body if getattr(node, "name", "") == part]
        body = found.body


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`((?:\w+/)+\w+\.py)[:`]", TEXT))))
def test_a_file_that_is_named_is_there(file):
    assert (ROOT / file).is_file() or (ROOT / "harness" / file).is_file()
