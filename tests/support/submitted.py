"""A submission of a synthetic world, what maintainers have committed of it, and forgeries of its cells."""

from __future__ import annotations

import json
from pathlib import Path

from harness.core.keys import file_digest
from harness.runner import config
from harness.runner.options import RunOptions
from harness.runner.resolve import PLACES
from harness.store.atomic import parquet_bytes, write_atomically
from harness.store.decided import key_of
from harness.store.integrity import digest
from harness.store.many import INNER, as_one_row, table_of
from harness.store.packed import Packed, pack
from harness.store.store import Store
from harness.store.submission import CELLS, MANIFEST, described
from support.cells import cell

OURS = "unlearning-harness 0.1.0"
KNOWN = {"none": (20, 20), "retrain": (2, 2), "refusal": (4, 20), "mine": (4, 13), "gd": (4, 14)}
"""How many of 20 facts each method's model answers, before the attack and after it."""


def cells_of(methods, **changes):
    """Evaluation and attack of each method, under two seeds."""
    for method in methods:
        owner = {"method_plugin": "strange 0.1" if method == "mine" else OURS}
        for seed in range(2):
            for attack, known in zip(("none", "private-data"), KNOWN[method], strict=True):
                under = {} if attack == "none" else {"attack_plugin": OURS}
                yield cell(method, attack, seed, known, **{**owner, **under, **changes})


def results(folder, methods=("none", "retrain", "refusal", "mine"), **changes):
    """A results directory of these methods, as a run leaves it."""
    store = Store(folder)
    for row, outcome in cells_of(methods, **changes):
        store.commit(row, outcome)
    told = {"methods": ["mine", "gd"], "attacks": ["private-data:p=0.1"], "benchmarks": ["world"], "seeds": 2}
    config.keep(RunOptions.of(told).model_dump(mode="json", exclude=PLACES), folder)
    return folder


def committed(folder, methods=("none", "retrain", "refusal", "gd"), **changes):
    """The cells of maintainers, as a pack."""
    pack(folder / "cells", [Store(results(folder / "made", methods, **changes))])
    return folder / "cells"


def forge(folder: Path, edit, consistent=True):
    """Change the cells of a submission, and with ``consistent`` all that follows from them: who forges well.

    ``edit`` gets each cell as a row with its metrics and samples in it, and changes what it likes.
    """
    rows = []
    for key in Packed(folder / CELLS).statuses():
        tables = Packed(folder / CELLS)._tables
        row = as_one_row({name: tables[name, key] for name in ("cells", *INNER)})
        edit(row)
        rows.append(signed(row) if consistent else row)
    for path in (folder / CELLS).iterdir():
        path.unlink()
    write_atomically(folder / CELLS / "forged.parquet", parquet_bytes(table_of(rows)))
    renew(folder, [{name: value for name, value in row.items() if name not in INNER} for row in rows])


def signed(row):
    """A cell with the key and the digest that its content gives."""
    plain = {name: value for name, value in row.items() if name not in INNER}
    plain["key"] = key_of(plain)
    numbers = [
        {
            name: [plain["key"] if name == "key" else each[name] for each in row[table]]
            for name in schema.names
        }
        for table, schema in INNER.items()
    ]
    plain["content"] = digest(plain, *numbers)
    return row | plain


def renew(folder: Path, rows=None):
    """Write the manifest anew, as if it were of the files that are there."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_bytes()) | (described(rows) if rows else {})
    own = (file for file in folder.rglob("*") if file.is_file() and file != path)
    manifest["files"] = {file.relative_to(folder).as_posix(): file_digest(file) for file in own}
    path.write_text(json.dumps(manifest))
