"""`harness check-analysis`: does an analysis find where facts are, in a model that has them where we know?"""

from __future__ import annotations

from statistics import fmean
from typing import Annotated

import typer

from ..errors import HarnessError
from ..report.console import say
from .completion import named

SCORES = {"influence": ("A", "D+"), "weights": ("weights",)}
"""By analysis, the scores of single units that it is made of."""

FACTOR = 3.0
"""How many times as many planted units as a random choice an instrument must find, on average."""


def check_analysis(
    name: Annotated[str, typer.Argument(help="An analysis.", autocompletion=named("analysis"))],
    seeds: Annotated[
        int, typer.Option(min=1, max=100, help="Planted worlds, each with units of its own.")
    ] = 3,
) -> None:
    """Check that an analysis finds facts that were planted in known units; exits with 1 where it does not.

    A small model learns facts with its gradients masked to a set S of feed-forward units, and is unlearned
    with all of its weights. Of the |S| units that score highest, the share that belongs to S is reported,
    beside that of the other scores there are, and of random units.
    """
    if name not in SCORES:
        raise HarnessError(
            f"The analysis '{name}' scores no single units, so there is nothing that it could find: "
            f"{' and '.join(SCORES)} do."
        )
    from ..testing import planted

    found = [planted.precisions(planted.plant(seed)) for seed in range(seeds)]
    means = {score: fmean(each[score] for each in found) for score in found[0]}
    say(f"planted in {planted.SHARE:.0%} of the feed-forward units of {seeds} models; precision at |S|:")
    failed = False
    for score, mean in means.items():
        spread = f"{min(each[score] for each in found):.2f} to {max(each[score] for each in found):.2f}"
        asked = score in SCORES[name]
        enough = mean >= FACTOR * planted.SHARE
        failed |= asked and not enough
        sign = "    " if not asked else "ok  " if enough else "FAIL"
        say(f"{sign}  {score}: {mean:.2f} ({spread})")
    if failed:
        raise typer.Exit(1)
