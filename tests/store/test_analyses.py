"""What analyses find, on disk: a table of its own, in the digest, packed, merged; older results read on."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.core.names import ANALYSIS
from harness.core.types import Finding, Outcome
from harness.store import packed, store
from harness.store.merge import merge
from harness.store.schema import (
    ANALYSES,
    CELLS,
    LATER,
    METRICS,
    READ_AS_WELL,
    SAMPLES,
    SCHEMA_VERSION,
    of_version,
)
from harness.store.store import Store
from support.paths import ROOT
from support.sound import edit, row_of, scored, sign, sound

BEFORE = "4"
"""The last version without analyses."""

FINDINGS = [
    Finding("cumulated", "D+", 0.5, x=1.0),
    Finding("cumulated", "D+", 0.75, x=2.0),
    Finding("map", "D-", 0.125, layer=1, module="up"),
    Finding("share", "", 0.25),
]


@pytest.fixture
def place(tmp_path):
    """An analysis of one unlearned model, the same after an attack, an evaluation, and one that failed."""
    analysis = {"stage": ANALYSIS, "analysis": "parts", "analysis_plugin": "p 1", "analysis_source": "s"}
    results = Store(tmp_path / "results")
    results.commit(sound(row_of(**analysis)), Outcome(findings=FINDINGS))
    attack = {"attack": "noise", "variant": "std=0.2", "attack_plugin": "p 1"}
    results.commit(sound(row_of(**analysis, **attack)), Outcome(findings=FINDINGS[:1]))
    results.commit(sound(row_of()), scored("forget", "accuracy", [0.5, 1.0]))
    failed = {"status": "failed", "error_type": "E", "error_message": "no room"}
    results.commit(sound(row_of(**analysis, seed=1, **failed)))
    return tmp_path / "results"


def key_of_analysis(place):
    """The key of the cell before any attack."""
    [key] = (
        row["key"]
        for row in Store(place).cells().to_pylist()
        if (row["stage"], row["attack"], row["status"]) == (ANALYSIS, "none", "ok")
    )
    return key


def before_analyses(path, version=BEFORE):
    """Have a file be as the version before analyses wrote it; without them it is the same otherwise."""
    table = pq.ParquetFile(path).read()
    schema = {"cells": CELLS, "metrics": METRICS, "samples": SAMPLES}[path.parent.name]
    older = of_version(schema, version)
    pq.write_table(pa.Table.from_arrays([table[name] for name in older.names], schema=older), path)


def test_what_was_found_reads_as_it_was_committed(place):
    assert all(not cell.wrong for cell in Store(place).stored().values())
    rows = store.analyses([Store(place)]).to_pylist()
    key = key_of_analysis(place)
    own = [row for row in rows if row.pop("key") == key]
    assert [Finding(**{name: row[name] for name in row if name != "analysis"}) for row in own] == FINDINGS
    assert {row["analysis"] for row in own} == {"parts"}
    assert len(rows) == 5
    assert store.analyses([Store(place)], [key]).num_rows == 4


def test_a_cell_says_which_analysis_it_is_of(place):
    names = {store.cell_name(row) for row in Store(place).cells().to_pylist()}
    assert names == {
        "world gd parts seed 0",
        "world gd parts noise std=0.2 seed 0",
        "world gd none seed 0",
        "world gd parts seed 1",
    }


def test_every_column_says_what_it_is_and_the_file_its_version(place):
    written = pq.ParquetFile(place / "analyses" / f"{key_of_analysis(place)}.parquet").schema_arrow
    assert written.equals(ANALYSES)
    assert written.metadata[b"schema_version"] == SCHEMA_VERSION.encode()
    for column in written:
        assert len(column.metadata[b"description"]) > 5, column.name


def test_only_analyses_have_a_file_of_findings(place):
    assert len([*(place / "analyses").iterdir()]) == 2


def test_a_changed_number_is_noticed_and_is_no_finding(place):
    key = key_of_analysis(place)
    edit(place, "analyses", key, lambda rows: [{**rows[0], "value": 9.0}, *rows[1:]])
    [said] = Store(place).stored([key])[key].wrong
    assert said == "its digest is not that of its rows: they were changed after it was written"
    assert store.analyses([Store(place)], [key]).num_rows == 0
    sign(place, key)
    assert Store(place).stored([key])[key].wrong == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"analysis": "other"}, "its key does not follow from the columns of its row"),
        ({"analysis_config": '{"top": 3}'}, "its key does not follow from the columns of its row"),
        ({"analysis_source": "t"}, "its key does not follow from the columns of its row"),
        ({"stage": "evaluation"}, "its key does not follow from the columns of its row"),
    ],
)
def test_another_analysis_in_the_row_is_noticed(place, change, says):
    key = key_of_analysis(place)
    edit(place, "cells", key, lambda rows: [rows[0] | change])
    sign(place, key)
    assert says in Store(place).stored([key])[key].wrong


def test_without_its_findings_a_cell_is_none(place):
    key = key_of_analysis(place)
    (place / "analyses" / f"{key}.parquet").unlink()
    assert Store(place).stored([key])[key].wrong == ["its file of analyses is not there"]
    assert Store(place).sound([key]) == {}


def test_findings_of_another_cell_are_not_taken(place):
    key = key_of_analysis(place)
    [other] = {path.stem for path in (place / "analyses").iterdir()} - {key}
    edit(place, "analyses", key, lambda rows: [{**row, "key": other} for row in rows])
    assert Store(place).stored([key])[key].wrong[0] == (
        f"the file of its findings is named {key[:12]}, and what it holds is of the cell {other[:12]}"
    )


def test_findings_are_packed_and_merged_as_other_numbers_are(place, tmp_path):
    pack, fresh = tmp_path / "pack", tmp_path / "fresh"
    assert packed.pack(pack, packed.stores([place])).cells == 3
    assert store.analyses(packed.stores([pack])).equals(store.analyses([Store(place)]))
    assert merge(fresh, [pack]).cells == 3
    assert store.analyses([Store(fresh)]).equals(store.analyses([Store(place)]))
    assert all(not cell.wrong for cell in Store(fresh).stored().values())


def test_results_of_before_analyses_are_read_and_their_cells_are_sound(place):
    plain = next(row["key"] for row in Store(place).cells().to_pylist() if row["stage"] != ANALYSIS)
    for table in ("cells", "metrics", "samples"):
        before_analyses(place / table / f"{plain}.parquet")
    for path in [path for path in place.glob("*/*.parquet") if path.stem != plain]:
        path.unlink()
    (place / "analyses").rmdir()
    [cell] = Store(place).stored().values()
    assert cell.wrong == []
    assert {cell.row[name][0].as_py() for name in LATER if name in CELLS.names} == {"", "{}"}
    assert store.analyses([Store(place)]).num_rows == 0
    assert Store(place).columns("key", "analysis") == [{"key": plain, "analysis": ""}]


def test_results_of_before_analyses_are_packed_and_merged_as_of_now(place, tmp_path):
    plain = next(row["key"] for row in Store(place).cells().to_pylist() if row["stage"] != ANALYSIS)
    for table in ("cells", "metrics", "samples"):
        before_analyses(place / table / f"{plain}.parquet")
    fresh, pack = tmp_path / "fresh", tmp_path / "pack"
    merge(fresh, [place])
    packed.pack(pack, [Store(place)])
    for path in fresh.glob("*/*.parquet"):
        assert pq.ParquetFile(path).schema_arrow.metadata[b"schema_version"] == SCHEMA_VERSION.encode()
    assert all(not cell.wrong for cell in Store(fresh).stored().values())
    assert all(not cell.wrong for cell in packed.Packed(pack).stored().values())


@pytest.mark.parametrize("version", sorted(READ_AS_WELL))
def test_results_of_before_answers_are_read_and_keep_their_digest(tmp_path, version):
    results = Store(tmp_path / "results")
    before = scored("forget", "accuracy", [0.5, 1.0])
    results.commit(row := sound(row_of()), before)
    for table in ("cells", "metrics", "samples"):
        before_analyses(tmp_path / "results" / table / f"{row.key}.parquet", version)
    packed.pack(tmp_path / "pack", [results])
    for there in (results, packed.Packed(tmp_path / "pack")):
        [cell] = there.stored().values()
        assert cell.wrong == []
        assert cell.samples["answer"].to_pylist() == [None, None]


def test_an_answer_is_read_as_it_was_written_and_one_that_was_changed_is_noticed(tmp_path):
    results, texts = Store(tmp_path), ["", "Oslo, 'the' \u2028 <b>"]
    outcome = scored("forget", "accuracy", [0.5, 1.0])
    samples = [replace(sample, answer=text) for sample, text in zip(outcome.samples, texts, strict=True)]
    results.commit(row := sound(row_of()), replace(outcome, samples=samples))
    packed.pack(tmp_path / "pack", [results])
    for there in (results, packed.Packed(tmp_path / "pack")):
        [cell] = there.stored().values()
        assert cell.wrong == []
        assert cell.samples["answer"].to_pylist() == texts
    edit(tmp_path, "samples", row.key, lambda rows: [rows[0], {**rows[1], "answer": "Rome"}])
    [cell] = results.stored().values()
    assert cell.wrong == ["its digest is not that of its rows: they were changed after it was written"]


def test_the_committed_cells_of_before_analyses_are_read_and_sound():
    [there] = packed.stores([ROOT / "leaderboard" / "cells"])
    written = pq.ParquetFile(ROOT / "leaderboard" / "cells" / "countries-gd.parquet").schema_arrow.metadata
    assert written[b"schema_version"].decode() in {SCHEMA_VERSION, *READ_AS_WELL}
    cells = there.stored()
    assert len(cells) > 100
    assert not [cell.wrong for cell in cells.values() if cell.wrong]


def test_findings_come_with_the_settings_of_their_row(place):
    row = sound(row_of(stage=ANALYSIS, analysis="parts", analysis_config='{"top": 100}'))
    other = sound(replace(row, analysis_config='{"top": 10}'))
    assert row.key != other.key
