"""Kill runs with kill -9, at random and within a write, and run them again: same rows, nothing left over.

    python tests/system/kills.py 50 --seed 1

A finding is printed with the command that repeats its case. One case in five starts its processes by the fork
server, as for a user, the others by a plain fork, which is faster.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "80", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}

from support import fuzz, kills
from support.results import numbers
from support.worlds import worlds

SERVED = 5
"""One case in so many is started by a fork server."""


def main() -> int:
    """Run the cases and print one line of figures."""
    given = fuzz.arguments("Killed runs.").parse_args()
    victims, moments, late, found = Counter[str](), Counter[str](), 0, 0
    with worlds() as make:
        with make("undisturbed") as world:
            ended = world.start(*kills.GRID, seeds=kills.SEEDS).wait()
            assert ended.code == 0, ended.err
            expected = numbers(world.path())
        for number in fuzz.numbers(given):
            kill = kills.kill_of(given.seed, number, server=number % SERVED == 0)
            try:
                with make(f"case-{number}") as world:
                    hit = kills.survives(world, kill, given.seed, expected)
            except AssertionError:
                problem = traceback.format_exc()
                print(fuzz.told(__file__, given.seed, number, str(kill), problem), flush=True)
                found += 1
            else:
                victims[kill.victim] += hit
                moments[kill.moment] += hit
                late += not hit
    whom = ", ".join(f"{count} of {victim}" for victim, count in victims.items())
    when = ", ".join(f"{count} {moment}" for moment, count in moments.items())
    print(
        f"{victims.total()} runs of seed {given.seed} killed: {whom}; {when}; "
        f"{late} more had ended before; {found} findings"
    )
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
