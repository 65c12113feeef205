"""A run that is killed somewhere, and the same run after it: what must be true of both.

The script ``tests/system/kills.py`` tries many, a test a few.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.store.store import Store
from support.child import Child, eventually
from support.command import Ended
from support.results import committed, numbers, total
from support.world import World

GRID = ("gd", "nudge", "stub", "--jobs", 2)
SEEDS = 1
CELLS = 12
"""So few that a run takes a second or two: two targets, and three cells of each of four unlearned models."""

VICTIMS = ("driver", "worker", "worker twice", "fork server", "everything")

MOMENTS = {
    "within the write of a cell": [
        *(("os.rename", f"/results/{table}/.", CELLS) for table in ("metrics", "samples", "cells")),
        *(("open", f"/results/{table}/.", CELLS) for table in ("metrics", "samples", "cells")),
    ],
    "within the saving of a target": [
        ("open", "/cache/targets/.", 20),
        ("os.mkdir", "/cache/targets/.", 2),
        ("os.rename", "/cache/targets/.", 2),
    ],
    "around a claim": [
        ("open", "/claims/", 6),
        ("os.remove", "/claims/", 6),
        ("os.rmdir", "/claims", 6),
    ],
    "within the write of the options": [("open", "/results/runs/.", 1), ("os.rename", "/results/runs/.", 1)],
}
"""Where a process is stopped to be killed: an event, a part of its path, and how many of it a run has."""

RANDOM = "at random"


@dataclass(frozen=True)
class Kill:
    """Whom a kill hits and when: at random, or at the so-many-th event of a moment."""

    number: int
    victim: str
    moment: str
    trap: str
    server: bool
    """Whether a fork server starts the workers, as for a user, or they are forked."""

    def __str__(self) -> str:
        started = "forkserver" if self.server else "fork"
        return f"{self.victim}, {self.moment}{self.trap and f' ({self.trap})'}, {started}"


def kill_of(seed: int, number: int, server: bool) -> Kill:
    """The kill with this number: one in three comes at random, the others within a moment."""
    rng = chance(seed, number)
    victims = [victim for victim in VICTIMS if server or victim != "fork server"]
    victim = rng.choice(victims)
    if number % 3 == 0:
        return Kill(number, victim, RANDOM, "", server)
    moment = rng.choices([*MOMENTS], weights=[4, 4, 2, 1])[0]
    event, part, most = rng.choice(MOMENTS[moment])
    return Kill(number, victim, moment, f"{event} {part} {rng.randint(1, most)}", server)


def chance(seed: int, number: int) -> random.Random:
    """The random numbers of a case."""
    return random.Random(f"{seed}/{number}")


def survives(world: World, kill: Kill, seed: int, expected: dict[str, Any]) -> bool:
    """Whether the kill came while the run went on. Raises AssertionError for what must not be.

    The same command is run again after it, to its end. ``expected`` is what an undisturbed run finds.
    """
    world.cache = world.folder / "cache"  # so that it can be hit while it trains its targets
    world.faults.mkdir(exist_ok=True)
    rng = chance(seed, kill.number)
    with trapped(kill.trap):
        child = world.start(*GRID, seeds=SEEDS, spawn=kill.server)
    if kill.trap:
        eventually(lambda: not child.alive() or content(world.faults / "trapped"), "nothing happened", 60)
    else:
        files = rng.choice([0, rng.randint(1, 12), rng.randint(13, 50)])
        eventually(lambda: not child.alive() or written(world) >= files, "the run wrote too little", 60)
        eventually(lambda: rng.random() < 0.2, "chance decides when exactly")
    hit = strike(world, child, kill, rng)
    (world.faults / "go").touch()
    if hit and kill.victim in ("driver", "everything"):
        assert child.wait().code == -signal.SIGKILL
    else:
        check(child.wait(), twice=kill.victim == "worker twice")
    eventually(lambda: not child.group(), "processes outlive the run that was killed", 10)
    kept = ok(world.path())
    child = world.start(*GRID, seeds=SEEDS, spawn=kill.server)
    again = child.wait()
    check(again, twice=False)
    assert total(again.out) == (CELLS, len(kept)), again.out
    assert kept.items() <= committed(world.path()).items(), "a finished cell was run again"
    assert numbers(world.path()) == expected
    eventually(lambda: not child.group(), "processes outlive their run", 10)
    assert left_over(world) == [], left_over(world)
    return hit


def part_of(found: dict[str, Any]) -> dict[str, Any]:
    """What of a larger grid's numbers these runs find, too."""
    wanted = {
        row["key"]
        for row in found["cells"]
        if row["seed"] < SEEDS and row["attack"] in ("none", "nudge") and row["benchmark"] == "stub"
    }
    return {table: [row for row in rows if row["key"] in wanted] for table, rows in found.items()}


def check(ended: Ended, twice: bool) -> None:
    """A run that was not killed itself ends well; its worker may be killed once, and not its second try."""
    assert "Traceback" not in ended.err, ended.err
    assert "Warning" not in ended.err, ended.err
    if ended.code and twice:
        assert "killed while it ran" in ended.err, ended.err
        assert ended.code in (1, 2), ended.err
    else:
        assert ended.code == 0, ended.err


def strike(world: World, child: Child, kill: Kill, rng: random.Random) -> bool:
    """Kill the victim, if it is there."""
    if not child.alive():
        return False
    if kill.victim == "everything":
        os.killpg(child.pid, signal.SIGKILL)
        return True
    there = processes(child)
    if kill.victim == "driver":
        return _killed([child.pid])
    if kill.victim == "fork server":
        return _killed(there["server"])
    caught = content(world.faults / "trapped")
    workers = there["worker"]
    worker = [pid for pid in workers if str(pid) == caught] or (workers and [rng.choice(workers)])
    hit = _killed(worker)
    if hit and kill.victim == "worker twice":
        (world.faults / "go").touch()
        eventually(lambda: not child.alive() or set(processes(child)["worker"]) - {*worker}, "no second try")
        eventually(lambda: rng.random() < 0.2, "chance decides when exactly")
        _killed(processes(child)["worker"])
    return hit


def _killed(pids: list[int]) -> bool:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
    return bool(pids)


def processes(child: Child) -> dict[str, list[int]]:
    """What runs beside the driver: fork servers and workers."""
    found: dict[str, list[int]] = {"server": [], "worker": [], "tracker": []}
    for pid in child.group():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text()
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if "resource_tracker" in line:
            found["tracker"].append(pid)
        elif "multiprocessing.forkserver" in line and parent == child.pid:
            found["server"].append(pid)
        elif pid != child.pid:
            found["worker"].append(pid)
    return found


@contextmanager
def trapped(trap: str) -> Iterator[None]:
    """Have runs that start in here stop at an event."""
    if trap:
        os.environ["STUB_TRAP"] = trap
    try:
        yield
    finally:
        os.environ.pop("STUB_TRAP", None)


def content(path: Path) -> str:
    """The text of a file; nothing where there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def written(world: World) -> int:
    """Number of files that the run has made so far.

    It goes on meanwhile and renames directories: ``os.walk`` passes over one that is gone, and rglob raises.
    """
    return sum(len(files) for place in (world.path(), world.cache) for _, _, files in os.walk(place))


def ok(results: Path) -> dict[str, tuple[int, int]]:
    """What `committed` says of the cells that are ok."""
    good = {key for key, status in Store(results).statuses().items() if status == "ok"}
    return {key: at for key, at in committed(results).items() if key in good}


def left_over(world: World) -> list[Path]:
    """What a run that has ended must not leave: files written aside, and claims."""
    places = (world.path(), world.cache)
    return [p for place in places for p in place.rglob("*") if p.name.startswith(".") or p.name == "claims"]
