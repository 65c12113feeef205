"""Several runs at once on one directory and one cache: each model is made once, also where one is killed.

    python tests/system/drivers.py 20 --seed 1

In every second case one of the runs is killed in the middle: what it was at is made again, and nothing else.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "80", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}

from support import drivers, fuzz
from support.worlds import worlds


def main() -> int:
    """Run the cases and print one line of figures."""
    given = fuzz.arguments("Runs at once.").parse_args()
    tried, found = Counter[str](), 0
    with worlds() as make:
        for number in fuzz.numbers(given):
            count, killed = 2 + number // 2 % 2, number % 2 == 1
            what = f"{count} runs{', one of them killed' * killed}"
            try:
                with make(f"case-{number}") as world:
                    drivers.together(world, count, killed, fuzz.rng(given.seed, number))
            except AssertionError:
                print(fuzz.told(__file__, given.seed, number, what, traceback.format_exc()), flush=True)
                found += 1
            tried[what] += 1
    times = ", ".join(f"{times} times {what}" for what, times in tried.items())
    print(f"At once, of seed {given.seed}: {times}; {found} findings")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
