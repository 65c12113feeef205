"""Random command lines of the real commands and options: each ends in time, with 0, 1 or 2, and a sentence.

    python tests/system/fuzz_commands.py 10000 --seed 1

Nothing is computed: runs are dry, and what would take minutes gets names that do not exist. Each begins in
the same directory.
"""

from __future__ import annotations

import os
import random
import shlex
import sys
import tempfile
import traceback
import webbrowser
from collections.abc import Iterator
from functools import cache, partial
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["COLUMNS"] = "80"

import typer.main

import harness.api
import harness.cli.main
import harness.model.loading
import harness.report.files
from support import fuzz
from support.cells import world
from support.command import harness_cli
from support.paths import ROOT

CODES = {0, 1, 2, 130}
HEAVY = {"check-benchmark", "check", "regenerate"}
"""Commands that work for minutes once their arguments are right."""

ODD = [
    *(
        "",
        " ",
        "-",
        "--",
        "---",
        "=",
        ",",
        ",,,",
        ".",
        "..",
        "/",
        "//",
        "~",
        "*",
        "%",
        "{}",
        "[]",
        "[" * 3_000,
    ),
    *(
        "0",
        "-1",
        "1",
        "2",
        "1001",
        "1000000",
        "9" * 30,
        "9" * 5_000,
        "1e3",
        "1e999",
        "nan",
        "inf",
        "0x10",
        "1_0",
    ),
    *(
        "x" * 300,
        "x" * 5_000,
        "ä",
        "\u202e",
        "\U0001f600",
        "\ud800",
        "\udcff",
        "\x1b[31m",
        "a\nb",
        "\r",
        "\t",
    ),
    *(
        "none",
        "all",
        "null",
        "true",
        "False",
        "None",
        "a=b",
        "a.b=c",
        "npo.beta=",
        "npo.=1",
        ".beta=1",
        "npo.beta",
    ),
    *(
        "../..",
        "/dev/null",
        "/dev/full",
        "/proc/self/mem",
        "/etc",
        "/nowhere/at/all",
        "!function a.b",
        "$(date)",
    ),
]
GOOD = {
    "methods": ["gd", "npo,ga", "all", "none", "rmu,rmu", "retrain"],
    "attacks": ["none", "noise", "private-data:p=0.1", "all", "quantize,prune", "noise:x"],
    "benchmarks": ["tofu-mini", "faithun-mini", "tofu", "all"],
    "name": ["npo", "tofu-mini", "noise", "world"],
    "model": ["tiny", "model", "a/b"],
    "dtype": ["float32", "bfloat16", "float64"],
    "settings": [
        "npo.beta=0.2",
        "gd.epochs=3",
        "npo.learning_rates=1e-4,1e-3",
        "noise.std=0.1",
        "tofu-mini.x=1",
    ],
    "data": ["data", "tofu=data", "tofu=nowhere"],
    "lora": ["r=16", "r=16,alpha=32", "r=0", "alpha=3"],
    "utility": ["none"],
    "utility_tasks": ["data", "nowhere"],
    "plugins": ["own.py", "broken.py", "nowhere.py"],
    "config": ["run.yaml", "broken.yaml", "nowhere.yaml"],
    "results": ["results", "new", "file"],
    "sources": ["results", "parts", "file"],
    "cache": ["cache"],
    "committed": ["board", "results"],
    "directory": ["board", "nowhere"],
    "out": ["out", "board", "file"],
    "into": ["into"],
    "kind": ["method", "attack", "benchmark", "metric"],
    "what": ["nothing", "nowhere.py"],
}


def prepare() -> None:
    """What there is in the directory where the commands run."""
    Path("data").mkdir()
    Path("file").write_text("x")
    Path("own.py").write_text("from harness import Method\nclass Own(Method):\n    name = 'own'\n")
    Path("broken.py").write_text("1 / 0\n")
    Path("run.yaml").write_text("methods: gd\nseeds: 1\n")
    Path("broken.yaml").write_text("methods: [gd\n")
    for place, methods in {"results": ("none", "gd"), "parts": ("none", "npo")}.items():
        store = harness.store.store.Store(Path(place))
        for row, outcome in world():
            if row.method in methods and row.seed == 0:
                store.commit(row, outcome)
    # What they import is there for all lines then.
    for words in (
        ("leaderboard", "build", "--out", "board"),
        ("leaderboard", "check", "--committed", "board"),
        ("list",),
        ("run", "--dry-run", "--benchmarks", "tofu-mini", "--results", "new"),
        ("check", "nothing", "--attack", "nowhere"),
        ("check-benchmark", "nothing"),
    ):
        harness_cli(*words)


def commands() -> dict[tuple[str, ...], list]:
    """The parameters of each command, by its words."""
    found = {}

    def walk(command, words):
        below = getattr(command, "commands", None)
        if below is None:
            found[words] = list(command.params)
        for name, inner in (below or {}).items():
            walk(inner, (*words, name))

    walk(typer.main.get_command(harness.cli.main.app), ())
    return found


def value(chance: random.Random, name: str) -> str:
    """Good, bad or odd."""
    good = GOOD.get(name, [])
    if name == "utility":  # another name has lm-eval read its 13,000 files
        return "none"
    text = chance.choice(good) if good and chance.random() < 0.8 else chance.choice(ODD)
    return text + chance.choice(ODD) if chance.random() < 0.05 else text


def line(chance: random.Random, known: dict[tuple[str, ...], list]) -> Iterator[str]:
    """The words of one command."""
    words, params = chance.choice(list(known.items()))
    if words[-1] in ("list", "open", "pages") and chance.random() < 0.5:  # they have little to get wrong
        words, params = ("run",), known["run",]
    if chance.random() < 0.05:
        yield chance.choice(["-q", "-v", "--version", "-qv", *ODD])
    yield from words
    heavy = words[-1] in HEAVY
    if words[-1] == "run":
        yield "--dry-run"
        if chance.random() < 0.9:
            yield from ("--utility", "none")
    for param in params:
        is_option = param.param_type_name == "option"
        if not chance.random() < (0.2 if is_option else 0.95):
            continue
        if heavy and (not is_option or param.name == "committed"):
            yield from ([param.opts[0]] if is_option else [])
            yield "nowhere"
        elif not is_option:
            yield value(chance, param.name)
        elif param.is_flag:
            flag = chance.choice([*param.opts, *param.secondary_opts])
            yield flag if flag != "--no-dry-run" else "--dry-run"
        else:
            option = param.opts[0]
            # Without its value --utility would take the next word for one.
            whole = chance.random() < 0.9 or param.name == "utility"
            yield from (option, value(chance, param.name)) if whole else (option,)
    if heavy:
        yield from ("--committed", "nowhere") if words[-1] == "regenerate" else ()
    if chance.random() < 0.1:
        yield chance.choice([*ODD, "--nothing", "--methodz=x"])


def one(seed: int, known: dict[tuple[str, ...], list], files: fuzz.Specimens, case: int) -> fuzz.Ended:
    """How a command line ended."""
    files.restore()
    words = list(line(fuzz.rng(seed, case), known))
    kind = next((" ".join(name) for name in known if words[: len(name)] == list(name)), "others")
    try:
        ended = harness_cli(*words)
    except Exception:
        return fuzz.Ended(kind, shlex.join(words), problem=traceback.format_exc())
    problem = ""
    if ended.code not in CODES or "Traceback" in ended.err or (ended.code == 2 and not ended.err.strip()):
        problem = f"it exits with {ended.code} and says: {ended.err}"
    return fuzz.Ended(kind, shlex.join(words), f"exit with {ended.code}", problem)


def main() -> int:
    """Run the cases and print one line of figures."""
    given = fuzz.arguments("Random command lines.").parse_args()
    webbrowser.open = lambda url: False  # type: ignore[assignment]
    os.fsync = lambda number: None  # type: ignore[assignment]  # what a disk does is not tried here
    known = commands()
    # The same for every line, and most of the time of a short one.
    typer.main.get_command = cache(typer.main.get_command)  # type: ignore[assignment]
    metadata.entry_points = cache(metadata.entry_points)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as place:
        os.environ["HARNESS_CACHE"] = f"{place}/cache"
        os.chdir(place)
        prepare()
        code = fuzz.run(__file__, "command lines", given, partial(one, given.seed, known, fuzz.Specimens()))
        os.chdir(ROOT)
    return code


if __name__ == "__main__":
    sys.exit(main())
