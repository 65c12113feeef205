"""What is built: a source archive that can be tested, and a wheel that holds the package and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.metadata import Metadata

import harness
from support.paths import PACKAGES as TESTED
from support.saved import save_model
from support.site import install_package

ROOT = Path(harness.__file__).parents[1]
PACKAGES = {
    "harness": "harness",
    "methods": "harness/methods",
    "attacks": "harness/attacks",
    "benchmarks": "harness/benchmarks",
    "modifiers": "harness/modifiers",
    "analyses": "harness/analyses",
}
"""Folders of the checkout with the packages, and where they lie in the wheel."""
TOP = (
    *("LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md"),
    *("MANIFEST.in", "Makefile", "Dockerfile", ".dockerignore"),
)
MORE = (*TOP, "pyproject.toml", "setup.py", "constraints.txt")
URL = "https://git.example/group/unlearning-harness"
FOLDERS = ("docs", "examples", "leaderboard", "tests")
"""What the source archive holds beside the packages."""

pytestmark = [
    pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="no checkout to build from"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("build", "setuptools", "pip")),
        reason="build, setuptools or pip is not installed",
    ),
]


def python(*arguments: object, **options: Any) -> str:
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(folder: str) -> list[str]:
    """The files of a folder that belong to the project, as paths below the checkout."""
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return [
        path.relative_to(ROOT).as_posix()
        for path in files
        if "__pycache__" not in path.parts and path.suffix != ".pyc"
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a source archive, and with a wheel made from what is in it."""
    base = tmp_path_factory.mktemp("built")
    source = base / "source"  # a copy: setuptools leaves folders where it builds
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in (*PACKAGES, *FOLDERS, ".ci", ".github"):
        shutil.copytree(ROOT / folder, source / folder, ignore=left_out)
    for name in MORE:
        shutil.copy(ROOT / name, source)
    environment = os.environ | {"HARNESS_URL": f"{URL}/"}
    python("-m", "build", "--no-isolation", "--outdir", base / "dist", source, env=environment)
    return base / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [path] = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel installed."""
    path = tmp_path_factory.mktemp("installed") / "site"
    python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", path, wheel)
    return path


@pytest.fixture
def installed(site, tmp_path):
    """Run Python with the installed package before the checkout's, in an empty folder."""

    def run(*arguments: object) -> str:
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        return python(*arguments, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path, "COLUMNS": "80"})

    return run


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        target + path.removeprefix(folder) for folder, target in PACKAGES.items() for path in tracked(folder)
    }
    assert names == expected


def test_the_wheel_carries_the_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        assert "License-File: LICENSE" in archive.read(metadata).decode().splitlines()


def test_the_source_archive_holds_what_tests_and_documentation_need(built):
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    expected = {path for folder in (*PACKAGES, *FOLDERS) for path in tracked(folder)}
    assert {path for path in expected if ".egg-info/" not in path} | set(MORE) <= names
    assert not [name for name in names if "__pycache__" in name]


def test_the_metadata_is_valid_and_leads_to_the_files_of_this_release(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        told = Metadata.from_email(archive.read(name), validate=True)
    assert told.license_expression == "MIT"
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= {*told.classifiers}
    assert len(told.keywords) > 3
    assert told.project_urls["Homepage"] == URL
    linked = re.findall(r"""(?:\]\(|(?:src|srcset)=")([^)"#]+)""", told.description)
    linked += told.project_urls.values()
    ours = [link.removeprefix(URL) for link in linked if link.startswith(URL)]
    files = [re.fullmatch(rf"/(?:blob|raw)/v{told.version}/(.+)", link) for link in ours]
    assert len(linked) > len(ours) > 50
    assert [file[1] for file in files if file and not (ROOT / file[1]).exists()] == []
    assert {link for link, file in zip(ours, files, strict=True) if not file} == {"", "/issues"}
    assert [link for link in linked if not link.startswith("https://")] == []


def test_no_file_says_where_the_project_lives():
    """The address is the environment's, so that a fork's wheel does not lead elsewhere."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "urls" in project["dynamic"]
    assert "https://" not in (ROOT / "setup.py").read_text().replace("https://git.example/", "")


@pytest.mark.skipif(importlib.util.find_spec("check_jsonschema") is None, reason="no check-jsonschema")
def test_the_citation_file_follows_the_schema():
    schema = "vendor.citation-file-format"
    python("-m", "check_jsonschema", "--builtin-schema", schema, ROOT / "CITATION.cff")


def version() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_version_is_the_same_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == version()
    heading = f"## [{version()}] - {cited['date-released']}"
    assert heading in (ROOT / "CHANGELOG.md").read_text().splitlines()


def test_the_installed_package_is_the_one_that_runs(installed, site):
    printed = installed(
        "-c", "import harness, harness.methods as m; print(harness.__file__); print(m.__file__)"
    )
    assert [Path(line).is_relative_to(site) for line in printed.splitlines()] == [True, True]


def test_the_command_lists_every_plugin_and_none_is_broken(installed, site):
    [script] = (site / "bin").glob("harness")
    printed = installed(script, "list")
    for name in (
        *("none", "retrain", "refusal", "ga", "gd", "npo", "ssiuu"),
        *("private-data", "instruction"),
        *("countries", "faithun", "faithun-mini", "lume", "muse", "rwku", "tofu", "tofu-mini", "wmdp"),
    ):
        assert f" {name} " in printed
    assert "unreadable" not in printed
    assert "no module" not in printed


def test_both_commands_and_the_module_are_the_same_command(installed, site):
    for command in ((site / "bin" / "harness",), (site / "bin" / "unlearning-harness",), ("-m", "harness")):
        assert installed(*command, "--version") == f"harness {version()}\n"


def test_the_installed_package_runs(installed, tmp_path, monkeypatch):
    """From a model in a directory to a board, by what the wheel holds."""
    stub = install_package(tmp_path / "stub", TESTED / "stub")
    monkeypatch.setenv("PYTHONPATH", str(stub))
    model = save_model(tmp_path / "model")
    installed(
        *("-m", "harness", "run", "--methods", "gd", "--attacks", "nudge", "--benchmarks", "stub"),
        *("--model", model, "--cache", "cache", "--seeds", "1", "--jobs", "1", "--no-controls"),
        *("--set", "gd.epochs=3", "--set", "gd.batch_size=4", "--set", "gd.learning_rates=1e-2"),
    )
    installed("-m", "harness", "leaderboard", "build")
    board = tmp_path / "results" / "leaderboard"
    assert "gd" in (board / "README.md").read_text()
    assert {"index.html", "leaderboard.parquet"} <= {path.name for path in board.iterdir()}


def test_an_image_is_made_of_wheels_alone():
    """What its arguments default to is what .dockerignore lets through and what the project has."""
    text = (ROOT / "Dockerfile").read_text()
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    assert set((ROOT / ".dockerignore").read_text().split()[-2:]) == {"*", f"!{arguments['WHEELS']}*"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*arguments["EXTRAS"].split(",")} <= project["optional-dependencies"].keys()
    copied = re.findall(r"^COPY (\S+)", text, re.MULTILINE)
    assert copied == ["${WHEELS}", "--from=installed"]
    assert text.count("pip install") == text.count("--no-index") == 2
    [entry] = re.findall(r"^ENTRYPOINT (.+)$", text, re.MULTILINE)
    assert {*json.loads(entry)} <= project["scripts"].keys()


def test_the_installed_command_writes_a_package(installed, site, tmp_path):
    [script] = (site / "bin").glob("harness")
    installed(script, "new", "method", "mine")
    assert (tmp_path / "mine" / "src" / "mine" / "method.py").is_file()


def test_every_plugin_of_the_installed_package_can_be_loaded(installed):
    printed = installed(
        "-c",
        "from harness.plugins.registry import Registry\n"
        "registry = Registry()\n"
        "entries = [entry for kind in registry.kinds.values() for entry in kind.values()]\n"
        "print([str(broken) for broken in registry.broken], all(entry.load() for entry in entries))\n",
    )
    assert printed.strip() == "[] True"


FINGERPRINTS = """
from harness.core.fingerprint import engine_fingerprint, source_fingerprint
from harness.plugins.registry import Registry

print(engine_fingerprint())
for entries in Registry().kinds.values():
    for entry in entries.values():
        print(entry.kind, entry.name, source_fingerprint(entry.load()))
"""


def test_the_wheel_gives_the_keys_that_the_checkout_gives(installed, tmp_path):
    from_wheel = installed("-c", FINGERPRINTS).splitlines()
    from_checkout = python("-c", FINGERPRINTS, cwd=tmp_path).splitlines()
    assert from_wheel == from_checkout
    assert len(from_wheel) == len(set(from_wheel)) > 29
