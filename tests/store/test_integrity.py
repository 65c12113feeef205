"""Whatever is done to a cell by hand is found when it is read, and the cell counts as failed."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import StoreError
from harness.store import store as store_module
from harness.store.decided import key_of
from harness.store.merge import merge
from harness.store.schema import CELLS
from harness.store.store import Store, unsound
from support.sound import curve, edit, row_of, scored, sign, sound

OTHER_KEY = "its key does not follow from the columns of its row"
NO_JSON = (
    "its column 'notes' is not JSON: Expecting property name enclosed in double quotes: "
    "line 1 column 2 (char 1)"
)
CHANGED = "its digest is not that of its rows: they were changed after it was written"


def row(seed, **changes):
    attacked = {"stage": "attack", "attack": "noise", "attack_plugin": "p 1"}
    return sound(row_of(seed=seed, **attacked | changes))


@pytest.fixture
def place(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def keys(place):
    """Two cells of an attack, and one that failed."""
    store = Store(place)
    cells = [row(0), row(1), row(2, status="failed", error_type="E", error_message="no room")]
    for seed, cell in enumerate(cells):
        values = [1.0, 0.0, 0.0, float(seed)]
        store.commit(cell, curve(scored("forget", "p", values), (0, None), (5, 1e-4)))
    return [cell.key for cell in cells]


def wrong(place, key):
    """All that is wrong with one of the cells; the others are as they were."""
    found = Store(place).stored()
    others = {other: cell.wrong for other, cell in found.items() if other != key and cell.wrong}
    assert not others
    return found[key].wrong


def test_nothing_is_wrong_with_what_was_committed(place, keys):
    store = Store(place)
    assert {key: cell.wrong for key, cell in store.stored().items()} == {key: [] for key in keys}
    assert store.sound(keys).keys() == set(keys[:2])
    assert unsound(store_module.tables([store])[0]) == []


def value(new, which=0):
    """A change of one value."""

    def change(rows):
        rows[which]["value"] = new

    return change


def twice(which, **but):
    """A row there once more."""
    return lambda rows: [*rows, rows[which] | but]


def final(new):
    """A change of the final value."""
    return value(new, -1)


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("metrics", final(0.3), "forget.p is 0.3, and the mean of its 4 samples 0.25"),
        ("metrics", final(0.001), "forget.p is 0.001, outside its own interval [0.0455873, 0.699358]"),
        ("metrics", value(0.3, 1), "forget.p is 0.25, and the maximum of its curve 0.3"),
        ("metrics", lambda rows: rows[:-1], "forget.p has samples and no final value"),
        ("metrics", lambda rows: rows[1:], CHANGED),
        ("metrics", twice(-1), "a final value must be there once, and forget.p is there 2 times"),
        ("samples", value(0.5), "forget.p is 0.25, and the mean of its 4 samples 0.125"),
        ("samples", lambda rows: rows[1:], "forget.p says that 4 facts are behind it, and there are 3"),
        ("samples", twice(0), "a fact must be scored once, and forget.p of 'f0' is there 2 times"),
        ("samples", twice(0, fact_id="f9"), "forget.p says that 4 facts are behind it, and there are 5"),
        ("samples", lambda rows: rows[::-1], CHANGED),
        ("samples", lambda rows: [*rows[1:2], *rows[:1], *rows[2:]], CHANGED),
        ("cells", lambda rows: [rows[0] | {"seconds": 0.5}], CHANGED),
        ("cells", lambda rows: [rows[0] | {"target_weights": "x"}], CHANGED),
        ("cells", lambda rows: [rows[0] | {"notes": '{"forgotten":true}'}], CHANGED),
        ("cells", lambda rows: [rows[0] | {"notes": "{"}], NO_JSON),
        ("cells", lambda rows: [rows[0] | {"content": ""}], CHANGED),
        ("cells", lambda rows: [rows[0] | {"status": "failed"}], CHANGED),
        ("cells", lambda rows: [rows[0] | {"seed": 7}], OTHER_KEY),
        ("cells", lambda rows: [rows[0] | {"method": "npo"}], OTHER_KEY),
        ("cells", lambda rows: [rows[0] | {"method_source": "f"}], OTHER_KEY),
    ],
)  # fmt: skip
def test_an_edit_is_found(place, keys, table, change, said):
    edit(place, table, keys[0], change)
    first, *rest = wrong(place, keys[0])
    assert first == said
    assert CHANGED in [first, *rest]
    assert Store(place).sound(keys).keys() == {keys[1]}


@pytest.mark.parametrize(("column", "new"), [("error_message", "nothing"), ("status", "ok"), ("seed", 9)])
def test_an_edit_of_a_failed_cell_is_found(place, keys, column, new):
    edit(place, "cells", keys[2], lambda rows: [rows[0] | {column: new}])
    assert wrong(place, keys[2])


def test_a_score_with_a_digest_to_match_still_contradicts_its_samples_and_its_curve(place, keys):
    edit(place, "metrics", keys[0], final(0.3))
    sign(place, keys[0])
    assert wrong(place, keys[0]) == ["forget.p is 0.3, and the mean of its 4 samples 0.25"]


def test_who_rewrites_all_that_follows_is_not_found_here(place, keys):
    """A limit, and said so in docs/protocol.md: only the cell made again tells."""
    Store(place).commit(row(0), curve(scored("forget", "p", [0.0] * 4), (0, None)))
    assert wrong(place, keys[0]) == []


def move(place, key, other, tables=("cells", "metrics", "samples"), copy=False):
    for table in tables:
        paths = (place / table / f"{name}.parquet" for name in (key, other))
        (shutil.copy if copy else shutil.move)(*paths)


@pytest.mark.parametrize("copy", [False, True])
def test_a_cell_under_another_name(place, keys, copy):
    move(place, keys[0], "f" * 64, copy=copy)
    first, *_ = wrong(place, "f" * 64)
    assert (
        first == f"the file of its row is named {'f' * 12}, and what it holds is of the cell {keys[0][:12]}"
    )
    assert Store(place).sound([*keys, "f" * 64]).keys() == {*keys[copy is False : 2]}


def test_a_cell_under_another_name_with_every_key_to_match(place, keys):
    move(place, keys[0], other := "f" * 64, copy=True)
    for table in ("cells", "metrics", "samples"):
        edit(place, table, other, lambda rows: [row | {"key": other} for row in rows])
    sign(place, other)
    assert wrong(place, other) == ["its key does not follow from the columns of its row"]


@pytest.mark.parametrize("table", ["metrics", "samples"])
def test_swapped_files_of_two_cells(place, keys, table):
    one, other = keys[:2]
    for a, b in ((one, "aside"), (other, one), ("aside", other)):
        move(place, a, b, [table])
    found = Store(place).stored()
    for key, of in ((one, other), (other, one)):
        said = f"the file of its {table} is named {key[:12]}, and what it holds is of the cell {of[:12]}"
        assert found[key].wrong[0] == said


@pytest.mark.parametrize("table", ["metrics", "samples"])
def test_a_file_that_was_deleted(place, keys, table):
    (place / table / f"{keys[0]}.parquet").unlink()
    assert wrong(place, keys[0]) == [f"its file of {table} is not there"]


def test_an_unsound_cell_is_read_as_a_failed_one(place, keys):
    edit(place, "metrics", keys[0], final(0.3))
    cells, metrics, samples = store_module.tables([Store(place)])
    (found,) = [row for row in cells.to_pylist() if row["key"] == keys[0]]
    said = "forget.p is 0.3, and the mean of its 4 samples 0.25."
    assert (found["status"], found["error_type"], found["error_message"]) == (
        "failed",
        "IntegrityError",
        said,
    )
    assert {*metrics["key"].to_pylist()} == {*samples["key"].to_pylist()} == {keys[1]}
    assert unsound(cells) == [(f"{keys[0][:12]} (world gd noise seed 0)", said)]


def test_an_unsound_cell_is_not_merged_and_a_sound_one_takes_its_place(place, keys, tmp_path):
    edit(place, "metrics", keys[0], final(0.3))
    out = tmp_path / "out"
    merged = merge(out, [place])
    assert (merged.cells, merged.copied, merged.failed) == (2, 2, 1)
    assert merged.left_out == (
        f"{keys[0][:12]} (world gd noise seed 0) in {place}: "
        "forget.p is 0.3, and the mean of its 4 samples 0.25.",
    )
    Store(out).commit(row(0), curve(scored("forget", "p", [1.0]), (0, None)))
    assert merge(place, [out]).copied == 1
    assert wrong(place, keys[0]) == []


def test_a_file_with_other_columns_or_rows_is_refused(place, keys):
    path = place / "metrics" / f"{keys[0]}.parquet"
    table = pq.ParquetFile(path).read()
    pq.write_table(table.drop_columns(["low"]), path)
    with pytest.raises(StoreError, match=r"damaged or cannot be read \(it lacks the column 'low'\)"):
        Store(place).stored()
    path = place / "cells" / f"{keys[0]}.parquet"
    pq.write_table(pa.concat_tables([pq.ParquetFile(path).read()] * 2), path)
    with pytest.raises(StoreError, match=r"\(it holds 2 rows, and a cell is one\)"):
        Store(place)
    pq.write_table(CELLS.empty_table(), path)
    with pytest.raises(StoreError, match=r"\(it holds 0 rows, and a cell is one\)"):
        Store(place)


def test_the_digest_tells_apart_any_two_numbers(place, keys):
    """Also those whose difference no rule would mind."""
    edit(place, "metrics", keys[0], final(0.25 + 1e-16 * 2**2))
    assert wrong(place, keys[0]) == [CHANGED]


def test_every_column_of_a_key_changes_it():
    plain = dict.fromkeys(CELLS.names, "x") | {"seed": 0, "stage": "attack"}
    decides = {*CELLS.names} - {
        *(
            "key",
            "model",
            "target_family",
            "replicate",
            "target_weights",
            "stage",
            "status",
            "error_type",
            "error_message",
        ),
        *("notes", "seconds", "steps", "tokens", "peak_memory_mib", "provenance", "content"),
    }
    changed = {name: key_of(plain | {name: 1 if name == "seed" else "y"}) for name in decides}
    assert len({key_of(plain), *changed.values()}) == 1 + len(decides)
    assert key_of(plain | {"stage": "evaluation"}) != key_of(
        plain | {"stage": "evaluation", "reference_key": ""}
    )
    assert key_of(plain | {"stage": "utility"}) not in changed.values()


def test_of_a_cell_in_two_directories_the_one_that_is_ok_counts(place, keys, tmp_path):
    shutil.copytree(place, tmp_path / "copy")
    edit(place, "metrics", keys[0], final(0.3))
    for order in ((place, tmp_path / "copy"), (tmp_path / "copy", place)):
        cells, metrics, _ = store_module.tables([Store(path) for path in order])
        assert dict(zip(cells["key"].to_pylist(), cells["status"].to_pylist(), strict=True)) == dict(
            zip(keys, ("ok", "ok", "failed"), strict=True)
        )
        assert {*metrics["key"].to_pylist()} == {*keys[:2]}
