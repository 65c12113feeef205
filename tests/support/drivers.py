"""Several runs at once on one results directory and one cache: what must be true of them.

The script ``tests/system/drivers.py`` tries it many times, a test once.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from support.child import eventually
from support.kills import check, content, left_over, ok
from support.results import committed, numbers
from support.world import World

LOG = '''
import os
from pathlib import Path
from harness import Config, Method


class Logged(Method):
    """Writes down that it ran."""

    name = "logged"

    class Config(Config):
        """Nothing to set."""

    def unlearn(self, job):
        with Path(os.environ["HARNESS_TEST_LOG"]).open("a") as log:
            log.write(f"{job.seed}\\n")
'''
"""A method that writes the seed of each model it makes into the file that the variable names."""

SEEDS = 4
JOBS = 2


def together(world: World, count: int, killed: bool, rng: random.Random) -> list[str]:
    """Start so many runs at once, and kill one of them in the middle; what the others printed.

    Raises AssertionError where a model was made twice by runs that live, or a finished cell was made again.
    """
    log = world.folder / "log"  # $HARNESS_TEST_LOG
    world.cache = world.folder / "cache"  # they share the training of targets, too
    (world.folder / "logged.py").write_text(LOG)
    run: tuple[Any, ...] = (
        "logged,gd",
        "nudge",
        "stub",
        "--jobs",
        JOBS,
        "--plugin",
        world.folder / "logged.py",
    )
    runs = [world.start(*run, seeds=SEEDS, controls=False) for _ in range(count)]
    kept = {}
    if killed:
        after = rng.randint(0, 20)
        eventually(lambda: len(committed(world.path())) >= after or not runs[0].alive(), "no cell", 120)
        runs[0].kill()
        eventually(lambda: not runs[0].group(), "workers outlive the run that was killed", 30)
        kept = ok(world.path())
    ended = [run.wait() for run in runs[killed:]]
    for each in ended:
        check(each, twice=False)
    made = Counter(content(log).split())
    assert made.keys() == set(map(str, range(SEEDS))), made
    again = made.total() - SEEDS
    assert again <= JOBS * killed, f"models were made more than once: {made}"
    assert kept.items() <= committed(world.path()).items(), "a finished cell was run again"
    cells = numbers(world.path())["cells"]
    assert len(cells) == 2 * SEEDS * 3
    assert {row["status"] for row in cells} == {"ok"}
    assert left_over(world) == [], left_over(world)
    eventually(lambda: not any(run.group() for run in runs), "processes outlive their runs", 10)
    return [each.out for each in ended]
