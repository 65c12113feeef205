"""Random damage to results, leaderboards, caches, data files and YAML: found and named, or without effect.

    python tests/system/fuzz_files.py 10000 --seed 1

A traceback, a process that dies or hangs is a finding. So is a board that is another one without a word, a
cell that is neither as it was nor listed, and a model or score of the cache that passes for what was kept.

A case calls the functions that a command calls; every tenth goes through the command line, pages included.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["COLUMNS"] = "80"

import transformers
from harness.benchmarks.faithun.files import read_clusters, read_indices
from harness.benchmarks.instructions import read_instructions
from harness.benchmarks.records import read_records
from harness.benchmarks.tofu.files import to_facts

import harness.api
from harness.core.types import Cost, Sample
from harness.engine import note
from harness.errors import HarnessError
from harness.leaderboard import board
from harness.leaderboard.groups import grouped
from harness.model import loading
from harness.report import files
from harness.runner import trust
from harness.store import packed, store
from harness.store import scores as twin_scores
from support import fuzz
from support.cells import world
from support.command import Ended, harness_cli
from support.damage import spoil
from support.paths import ROOT
from support.saved import save_model

REFUSED, LISTED, SAME, AGAIN, OTHER = (
    "refused in a sentence",
    "left out and listed",
    "without effect",
    "made again",
    "other data",
)
EXAMPLES = ROOT / "docs" / "examples"
TASK = "task: where\ninclude: base\ndoc_to_text: 'Where does {{who}} live ?'\nmetric_list: [{metric: acc}]\n"
BASE = "task: base\nnum_fewshot: 0\n"
RUN = (
    "methods: &m [gd, npo]\nattacks: *m\nseeds: 5\nsettings: {npo.beta: 0.2}\nlora: {r: 16}\nutility: none\n"
)
TARGET = Path("target") / ("5" * 64)
TWIN = Path("twin") / f"{'7' * 64}.parquet"
SCORES = [Sample("forget", metric, f"f{i}", i / 20) for metric in ("accuracy", "rouge") for i in range(20)]
CELLS = {("none", 0), ("gd", 0), ("gd", 1)}
"""Methods and seeds that the results hold: every cell is read in every case."""

EVERY = 10
"""Of so many cases one goes through the command line."""

Row = dict[str, object]


class Finding(Exception):
    """Something that must not be."""


class Undamaged:
    """Specimens of everything in the current directory, and what they hold."""

    def __init__(self) -> None:
        for place in ("earlier", "results"):  # a board is checked against others than those it was built from
            kept = store.Store(Path(place))
            for row, outcome in world():
                if (row.method, row.seed) in CELLS:
                    kept.commit(replace(row, provenance=json.dumps({"started_at": place})), outcome)
        built = harness_cli("leaderboard", "build", "--results", "earlier", "--out", "board")
        assert built.code == 0, built.err
        shutil.rmtree("earlier")
        shutil.copytree(EXAMPLES / "tofu", "tofu")
        shutil.copytree(EXAMPLES / "faithun", "faithun")
        shutil.copy(EXAMPLES / "alpaca.json", "tofu")
        Path("yaml").mkdir()
        for name, text in {"run.yaml": RUN, "task.yaml": TASK, "base": BASE}.items():
            (Path("yaml") / name).write_text(text)
        model, _ = loading.load(save_model(TARGET))
        (TARGET / note.DONE).write_text(note.note(TARGET, TARGET.name, "original", model, Cost()))
        twin_scores.write_samples(TWIN, SCORES)
        twin_scores.write_samples(TWIN.with_stem("8" * 64), SCORES[:30])
        self.tables = store.tables(packed.stores([Path("results")]))
        self.cells = by_key(self.tables)
        self.groups = grouped(*self.tables)
        self.board = files.read(Path("board"))
        self.weights = note.check(TARGET, model)
        self.files = fuzz.Specimens()


def by_key(tables: store.Tables) -> dict[str, tuple[list[Row], ...]]:
    """The rows of each cell, of its metrics and of its samples."""
    keys = tables[0]["key"].to_pylist()
    rows = [table.to_pylist() for table in tables]
    return {key: tuple([row for row in of if row["key"] == key] for of in rows) for key in keys}


def judged(ended: Ended) -> str:
    """What became of a command."""
    if "Traceback" in ended.err or ended.code not in (0, 1, 2) or (ended.code and not said(ended)):
        raise Finding(f"it exits with {ended.code} and says: {ended.err}")
    return REFUSED if ended.code else LISTED if ended.err.strip() else SAME


def said(ended: Ended) -> bool:
    """Whether it gave a reason; a check does so in its table."""
    return bool(ended.err.strip() or (ended.code == 1 and ended.out.strip()))


def try_results(was: Undamaged, spoiled: list[Path], whole: bool) -> str:
    """Build from damaged results, and load them."""
    found = _from_results(was)
    if whole:
        ended = harness_cli("leaderboard", "build", "--out", "built", "--force")
        if judged(ended) != found:
            raise Finding(f"{found}, and the command exits with {ended.code} and says: {ended.err}")
        if found == SAME and files.read(Path("built")) != was.board:
            raise Finding("silently another board")
        try:
            repr(harness.api.load("results"))
        except HarnessError:
            assert found == REFUSED, "they load and do not build, or the other way round"
    return found


def _from_results(was: Undamaged) -> str:
    try:
        tables = store.tables(packed.stores([Path("results")]))
        listed = len(store.unsound(tables[0]))
        groups = grouped(*tables)
    except HarnessError:
        return REFUSED
    if all(ours.equals(theirs) for ours, theirs in zip(tables, was.tables, strict=True)):
        return SAME  # the board is a function of these tables alone
    cells = by_key(tables)
    changed = {key for key in cells.keys() | was.cells.keys() if cells.get(key) != was.cells.get(key)}
    told = {key for key, (rows, *_) in cells.items() if rows[0]["error_type"] == store.UNSOUND}
    if changed != told or listed != len(told):
        raise Finding(f"these cells are other ones without a word: {sorted(changed - told)}")
    if strange := groups.keys() - was.groups.keys():
        raise Finding(f"rows of something that is not there: {strange}")
    board.build(groups)
    return LISTED


def try_board(was: Undamaged, spoiled: list[Path], whole: bool) -> str:
    """Check a damaged leaderboard against its results, and write its pages again."""
    try:
        now = files.read(Path("board"))
    except HarnessError:
        now = None
    pages = [path for path in spoiled if path.suffix != ".parquet"]
    changed = now != was.board or any(path.read_bytes() != was.files.files[path] for path in pages)
    if whole or (now and now != was.board):
        ended = harness_cli("leaderboard", "check", "--results", "results", "--committed", "board")
        if (judged(ended) == REFUSED) != changed:
            raise Finding(f"changed: {changed}; the check exits with {ended.code} and says: {ended.out}")
        judged(harness_cli("leaderboard", "pages", "--out", "board"))
    return REFUSED if changed else SAME


def try_data(was: Undamaged, spoiled: list[Path], whole: bool) -> str:
    """Read damaged data. It is told by its fingerprint where it can be read."""
    names = [path.stem for path in Path("tofu").glob("*.json") if path.stem != "alpaca"]
    readers: list[Callable[[], object]] = [
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


def try_yaml(was: Undamaged, spoiled: list[Path], whole: bool) -> str:
    """Plan a run from a damaged configuration, or look at damaged tasks."""
    line = ("run", "--dry-run", "--utility", "none", "--benchmarks", "tofu-mini", "--config", "yaml/run.yaml")
    if spoiled[0].name == "run.yaml" and judged(harness_cli(*line, "--attacks", "none")) == REFUSED:
        return REFUSED
    try:
        trust.check(Path("yaml"), trusted=False)
    except HarnessError:
        return REFUSED
    return OTHER


def try_target(was: Undamaged, spoiled: list[Path], whole: bool) -> str:
    """Take a damaged model from the cache as a run does: first by its files, then as a worker loads it."""

    def take() -> str:
        note.check(TARGET)
        return note.check(TARGET, loading.load(TARGET)[0])

    return _from_cache(was, take)


def try_loaded(was: Undamaged, spoiled: list[Path], whole: bool) -> str:
    """Take a model that was damaged after its files had been looked at, as a worker loads it."""
    return _from_cache(was, lambda: note.check(TARGET, loading.load(TARGET)[0]))


def _from_cache(was: Undamaged, take: Callable[[], str]) -> str:
    try:
        weights = take()
    except HarnessError:
        return REFUSED
    if weights != was.weights:
        raise Finding("a model with other weights passes for the target")
    return SAME


def try_twin(was: Undamaged, spoiled: list[Path], whole: bool) -> str:
    """Read the damaged scores of a twin."""
    scores = twin_scores.read_samples(TWIN)
    if scores is not None and scores != SCORES:
        raise Finding("other scores pass for those of the twin")
    return AGAIN if scores is None else SAME


Try = Callable[[Undamaged, list[Path], bool], str]
KINDS: dict[str, tuple[str, int, Try]] = {
    "results": ("results", 12, try_results),
    "boards": ("board", 4, try_board),
    "TOFU": ("tofu", 2, try_data),
    "FaithUn": ("faithun", 2, try_data),
    "YAML": ("yaml", 3, try_yaml),
    "targets": ("target", 2, try_target),
    "targets in use": ("target", 2, try_loaded),
    "twins": ("twin", 2, try_twin),
}
"""By name: in which directory, how often of all, and what is tried then."""

EDITS = {"results": 0.4, "twin": 0.4}
"""Share of tables that somebody edits. An edited leaderboard may differ within its intervals."""


def one(seed: int, was: Undamaged, case: int) -> fuzz.Ended:
    """What was damaged, and what became of it."""
    was.files.restore()
    chance = fuzz.rng(seed, case)
    kind = chance.choices(list(KINDS), [weight for _, weight, _ in KINDS.values()])[0]
    folder, _, attempt = KINDS[kind]
    spoiled = spoil(Path(folder), chance, EDITS.get(folder, 0))
    what = " and ".join(map(str, spoiled))
    try:
        return fuzz.Ended(kind, what, attempt(was, spoiled, case % EVERY == 0))
    except Finding as finding:
        return fuzz.Ended(kind, what, problem=str(finding))
    except Exception:
        return fuzz.Ended(kind, what, problem=traceback.format_exc())


def main() -> int:
    """Run the cases and print one line of figures."""
    given = fuzz.arguments("Random damage to files.").parse_args()
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    os.fsync = lambda number: None  # type: ignore[assignment]  # what a disk does is not tried here
    with tempfile.TemporaryDirectory() as place:
        os.environ["HARNESS_CACHE"] = f"{place}/cache"
        os.chdir(place)
        code = fuzz.run(__file__, "damaged files", given, partial(one, given.seed, Undamaged()))
        os.chdir(ROOT)
    return code


if __name__ == "__main__":
    sys.exit(main())
