"""Builds a release, installs its wheel alone into a new environment, and tries it there.

    python tests/system/installed.py [--dist DIR] [--fresh] [TEST ...]

The wheel is made from the source archive, and the tests are the archive's, with the folders of the packages
taken away: nothing of the checkout can be imported. What the package depends on comes from the environment of
this command, or with ``--fresh`` from the package index.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("harness", "methods", "modifiers", "attacks", "benchmarks", "analyses")
CHOSEN = (
    *("tests/plugins", "tests/store", "tests/leaderboard/test_board.py", "tests/cli/test_main.py"),
    *("tests/report/test_page.py", "tests/report/test_markdown.py", "tests/benchmarks/test_countries.py"),
    *("tests/methods/test_gd.py", "tests/system/test_compositions.py"),
)
"""Tests of what a wheel may lack: plugins, templates, tables, schemas; and whole runs in about a second."""
RUN = (
    *("run", "--methods", "gd", "--attacks", "quantize", "--benchmarks", "tofu-mini", "--seeds", "1"),
    *("--utility", "none", "--cache", "cache"),
)
COMMANDS = (("--version",), ("list",), RUN, ("results",), ("leaderboard", "build"))


def run(*command: object, folder: Path) -> None:
    """Run a command and say so; end where it fails."""
    print("$", *command, flush=True)
    if code := subprocess.run([*map(str, command)], cwd=folder).returncode:
        raise SystemExit(f"That ended with {code}.")


def environment(folder: Path, wheel: Path, fresh: bool) -> Path:
    """A new environment with the wheel, and its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    if fresh:
        run(python, "-m", "pip", "install", "--quiet", f"{wheel}[dev]", folder=folder)
    else:
        [site] = (folder / "lib").glob("python*/site-packages")
        # A folder that is named in a .pth file comes last, and its own .pth files, that of an editable
        # install of the checkout among them, are not read.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, folder=folder)
    return python


def main() -> None:
    """Build, install, run, test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where archive and wheel go")
    parser.add_argument("--fresh", action="store_true", help="install the dependencies anew, by the index")
    parser.add_argument("tests", nargs="*", default=CHOSEN, help="tests to run, a part by default")
    given = parser.parse_args()
    dist = given.dist.resolve()
    for old in (*dist.glob("*.tar.gz"), *dist.glob("*.whl")):
        old.unlink()
    isolation = () if given.fresh else ("--no-isolation",)
    run(sys.executable, "-m", "build", *isolation, "--outdir", dist, ROOT, folder=ROOT)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        [archive], [wheel] = dist.glob("*.tar.gz"), dist.glob("*.whl")
        with tarfile.open(archive) as packed:
            packed.extractall(base, filter="data")
        [source] = base.iterdir()
        for package in PACKAGES:
            shutil.rmtree(source / package)
        python = environment(base / "environment", wheel, given.fresh)
        work = base / "work"
        work.mkdir()
        where = "import harness; assert 'site-packages' in harness.__file__, harness.__file__"
        run(python, "-c", where, folder=work)
        for command in COMMANDS:
            run(python, "-m", "harness", *command, folder=work)
        tests = (source / test for test in given.tests)
        run(python, "-m", "pytest", "-q", "-n", 2, "-c", source / "pyproject.toml", *tests, folder=work)
    print(f"{wheel.name} and {archive.name} work; they lie in {dist}.")


if __name__ == "__main__":
    main()
