"""Random damage to results, leaderboards, data files and YAML: found and named, or without effect.

    python tests/system/fuzz_files.py 10000 --seed 1

A traceback, a process that dies or hangs is a finding. So is, with ``--strict``, a board that is another one
without a word: exit code 0 and nothing on standard error.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["COLUMNS"] = "80"

import pyarrow.parquet as pq
from harness.benchmarks.faithun.files import read_clusters, read_indices
from harness.benchmarks.instructions import read_instructions
from harness.benchmarks.records import read_records
from harness.benchmarks.tofu.files import to_facts

import harness.api
import harness.cli.leaderboard
from harness.errors import HarnessError
from harness.leaderboard import board, compare, curves  # noqa: F401  loaded once, before the cases are forked
from harness.report import files
from harness.runner import trust
from harness.store.store import Store
from support import fuzz
from support.cells import world
from support.command import Ended, harness_cli
from support.paths import ROOT

REFUSED, SAME, SILENT, OTHER = (
    "refused in a sentence",
    "without effect",
    "silently another board",
    "other data",
)
EXAMPLES = ROOT / "docs" / "examples"
TASK = "task: where\ninclude: base\ndoc_to_text: 'Where does {{who}} live ?'\nmetric_list: [{metric: acc}]\n"
RUN = (
    "methods: &m [gd, npo]\nattacks: *m\nseeds: 5\nsettings: {npo.beta: 0.2}\nlora: {r: 16}\nutility: none\n"
)


def prepare() -> None:
    """An undamaged specimen of everything, in the current directory."""
    store = Store(Path("results"))
    for row, outcome in world():
        if row.method in ("none", "retrain", "gd") and row.seed < 2:
            store.commit(row, outcome)
    built = harness_cli("leaderboard", "build", "--results", "results", "--out", "board")
    assert built.code == 0, built.err
    shutil.copytree(EXAMPLES / "tofu", "tofu")
    shutil.copytree(EXAMPLES / "faithun", "faithun")
    shutil.copy(EXAMPLES / "alpaca.json", "tofu")
    Path("yaml").mkdir()
    for name, text in {"run.yaml": RUN, "task.yaml": TASK, "base": "task: base\nnum_fewshot: 0\n"}.items():
        (Path("yaml") / name).write_text(text)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A file with one to three things done to it."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        how = chance.randrange(8)
        if how == 0 and data:
            for _ in range(chance.choice([1, 2, 16])):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif how == 1:
            del data[at:]
        elif how == 2:
            del data[at : min(end, at + chance.choice([1, 8, 500]))]
        elif how == 3:
            data[at:at] = chance.randbytes(chance.choice([1, 4, 100]))
        elif how == 4:
            data[at:at] = data[at : min(end, at + 2_000)]
        elif how == 5:
            data[at:end] = bytes(end - at)
        elif how == 6:
            data[at:at] = chance.choice(WORDS).encode()
        elif how == 7 and chance.random() < 0.2:
            data.clear()
    return bytes(data)


WORDS = [
    *(
        "\ufeff",
        "\0",
        "\\ud800",
        "1e999",
        "NaN",
        "9" * 5_000,
        "[" * 5_000,
        '{"a":' * 5_000,
        "- " * 2_000,
        "null",
    ),
    *(
        "*m",
        "&m ",
        "!function a.b ",
        "!!python/name:os.system ",
        "<<: ",
        "? ",
        "\n\n",
        "\r",
        "\u2028",
        '"',
        ", ",
    ),
]


def spoil(place: Path, chance: random.Random) -> str:
    """Damage a file below a directory, or swap it with, or copy it over, another one of its kind."""
    paths = sorted(path for path in place.rglob("*") if path.is_file())
    path = chance.choice(paths)
    alike = [other for other in paths if other.parent == path.parent and other != path]
    how = chance.random()
    if alike and how < 0.1:
        other = chance.choice(alike)
        one, two = path.read_bytes(), other.read_bytes()
        path.write_bytes(two)
        if how < 0.05:
            other.write_bytes(one)
        return f"{path} and {other}"
    path.write_bytes(damaged(path.read_bytes(), chance))
    return str(path)


def rows(place: Path) -> list:
    """The rows of a leaderboard and of its curves."""
    return [pq.read_table(place / name).to_pylist() for name in (files.TABLE, files.CURVES)]


def judged(ended: Ended, differs: Callable[[], bool]) -> str:
    """What became of a command."""
    if "Traceback" in ended.err or ended.code not in (0, 1, 2) or (ended.code == 2 and not ended.err.strip()):
        raise AssertionError(f"it exits with {ended.code} and says: {ended.err}")
    if ended.code or ended.err.strip():
        return REFUSED
    return SILENT if differs() else SAME


def try_results(undamaged: list) -> str:
    """Build from damaged results, and load them."""
    built = harness_cli("leaderboard", "build", "--results", "results", "--out", "built")
    try:
        repr(harness.api.load("results"))
    except HarnessError:
        assert built.code, "they load and do not build, or the other way round"
    return judged(built, lambda: rows(Path("built")) != undamaged)


def try_board(undamaged: list) -> str:
    """Check a damaged leaderboard against its results, and write its pages again."""
    checked = harness_cli("leaderboard", "check", "--results", "results", "--committed", "board")
    found = judged(checked, lambda: rows(Path("board")) != undamaged)
    judged(harness_cli("leaderboard", "pages", "--out", "board"), lambda: False)
    return found


def try_data(_: list) -> str:
    """Read damaged data. It is told by its fingerprint where it can be read."""
    names = [path.stem for path in Path("tofu").glob("*.json") if path.stem != "alpaca"]
    readers = [
        lambda: [to_facts(read_records(Path("tofu"), name)) for name in names],
        lambda: read_instructions("tofu/alpaca.json", 2, None),
        lambda: read_clusters(Path("faithun"), 6, 0),
        lambda: read_indices(Path("faithun/splits"), 6),
    ]
    for read in readers:
        try:
            facts = read()
        except HarnessError:
            return REFUSED
        json.dumps(str(facts)).encode()
    return OTHER


def try_yaml(_: list) -> str:
    """Plan a run from a damaged configuration, and look at damaged tasks."""
    line = ("run", "--dry-run", "--utility", "none", "--benchmarks", "tofu-mini", "--config", "yaml/run.yaml")
    found = judged(harness_cli(*line, "--attacks", "none"), lambda: False)
    try:
        trust.check(Path("yaml"), trusted=False)
    except HarnessError:
        return REFUSED
    return REFUSED if found == REFUSED else OTHER


KINDS = {"results": try_results, "board": try_board, "tofu": try_data, "faithun": try_data, "yaml": try_yaml}
WEIGHTS = (5, 2, 1, 1, 2)


def one(case: int, seed: int, undamaged: list) -> tuple[str, str]:
    """What was damaged, and what became of it, in a copy of the current directory."""
    chance = fuzz.rng(seed, case)
    kind = chance.choices(list(KINDS), WEIGHTS)[0]
    with tempfile.TemporaryDirectory() as copy:
        place = Path(copy) / "place"
        shutil.copytree(".", place)
        os.chdir(place)
        what = spoil(Path(kind), chance)
        return what, KINDS[kind](undamaged)


def main() -> int:
    """Run the cases and print one line of figures."""
    parser = fuzz.arguments("Random damage to files.")
    parser.add_argument("--strict", action="store_true", help="a board that is silently another is a finding")
    given = parser.parse_args()
    found = Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        os.environ["HARNESS_CACHE"] = f"{place}/cache"
        os.chdir(place)
        prepare()
        undamaged = rows(Path("board"))
        for case in fuzz.numbers(given):
            tried = fuzz.attempt(lambda case=case: one(case, given.seed, undamaged))
            what, outcome = tried.value or ("a damaged file", "")
            problem = tried.problem or (SILENT if given.strict and outcome == SILENT else "")
            if problem:
                print(fuzz.told(__file__, given.seed, case, what, problem))
                os.chdir(ROOT)
                return 1
            found[outcome] += 1
        os.chdir(ROOT)
    counts = ", ".join(f"{found[name]} {name}" for name in (REFUSED, SAME, OTHER, SILENT))
    print(f"{found.total()} damaged files of seed {given.seed}: {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
