"""`harness prepare`."""

from __future__ import annotations

from ..report.console import note, table
from ..runner.options import RunOptions
from .options import run_options


@run_options(
    *(
        "benchmarks",
        "model",
        "original",
        "retrain",
        "revision",
        "settings",
        "data",
        "utility",
        "utility_tasks",
        "trust_code",
        "cache",
        "plugins",
    )
)
def prepare(options: RunOptions) -> None:
    """Fetch models and data sets once; afterwards runs need no network and use these revisions."""
    from ..core import hub
    from ..runner.models import cache_of
    from ..runner.prepare import Prepared
    from ..runner.prepare import prepare as fetch

    def row(part: Prepared) -> tuple[str, ...]:
        if part.fetched is None:
            return part.what, part.path, "", ""
        size = f"{part.fetched.size / 2**20:.1f}" if part.fetched.size else ""
        return part.what, part.fetched.repo, part.fetched.revision[:12], size

    note(table("prepared", ("what", "where", "revision", "MiB"), [row(part) for part in fetch(options)]))
    record = cache_of(options) / hub.RECORD
    note(f"Recorded in {record}; runs with this cache use these revisions, with no network.")
