"""Tasks as jobs of Slurm, by submitit: those that are ready at one time are one array.

All machines see the results directory. What a job tells is appended to a file there. The jobs of a run end
with it, however it ends: its directory is gone then, or its sign of life is old.
"""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...core.aside import aside
from ...core.events import Event
from ...errors import ConfigError, HarnessError, one_line
from ..context import WorkerContext
from ..executor import Ended, Executor, Order, Remote, Unfit
from ..places import JOBS
from .node import Assignment, Died, assigned, perform

ABSENT = (
    "--executor slurm: submitit is not installed. Install it with: pip install 'unlearning-harness[slurm]'"
)

MOST = 500
"""Jobs that wait or run at a time: an array of Slurm holds 1,000 as a rule, and each has a claim."""

PATIENCE = 600.0
"""Seconds after which a run without a sign of life is taken to have ended."""

HEAD = 8
"""Bytes before a message that say how long it is."""

LOOK = 0.2
"""Seconds between two looks at what jobs have told."""

TRIES = 25
"""Times that the directory of a run is tried to be removed."""

MINUTES = 24 * 60
"""How long a job may take, unless the settings say; what it has not done then is another job."""


class SlurmExecutor(Executor):
    """Submits jobs with the ``settings`` of sbatch, of which at most ``jobs`` are there at a time.

    ``cluster=local`` among them has processes of this machine in place of jobs.
    """

    def __init__(self, context: WorkerContext, jobs: int | None, settings: Mapping[str, Any]) -> None:
        submitit = _imported()
        settings = dict(settings)
        cluster = settings.pop("cluster", "slurm")
        if cluster not in ("slurm", "local"):
            raise ConfigError(f"--slurm cluster={cluster}: it must be slurm or local.")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise ConfigError(
                "--executor slurm: there is no sbatch on this machine. Run the command where jobs are "
                "submitted, or try it with processes of this machine: --slurm cluster=local."
            )
        self.context, self.jobs = context, jobs
        self.failures = submitit.core.utils.FailedJobError
        self.folder = aside(context.results.absolute() / JOBS / "run")
        self.alive = self.folder / "alive"
        self.folder.mkdir(parents=True)
        self.alive.touch()
        self.waiting: list[SlurmTask] = []
        self.number = 0
        self.submitit = submitit.AutoExecutor(self.folder / "submitit", cluster=cluster)
        # In sbatch's own step python has all that the job was given; a step of srun would ask for it again.
        own = {"slurm_use_srun": False, "slurm_array_parallelism": self.slots}
        asked = {name.replace("-", "_"): value for name, value in settings.items()}
        self.submitit.update_parameters(
            name="harness",
            timeout_min=MINUTES,
            cpus_per_task=context.threads,
            slurm_additional_parameters=asked,
            **own,
        )

    @property
    def slots(self) -> int:
        return self.jobs or MOST

    def start(self, order: Order) -> SlurmTask:
        self.number += 1
        task = SlurmTask(order, self.folder / f"{self.number}.events")
        self.waiting.append(task)
        return task

    def wait(self, running: Iterable[SlurmTask], seconds: float | None) -> bool:
        self._submit()
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            with suppress(OSError):
                os.utime(self.alive)
            if any(task.has_news() for task in running):
                return True
            time.sleep(LOOK)
        return False

    def close(self) -> None:
        for _ in range(TRIES):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                break
            time.sleep(LOOK)  # a job that has just ended may have written there meanwhile
        with suppress(OSError):
            self.folder.parent.rmdir()

    def _submit(self) -> None:
        """Submit what waits as one array. Raises HarnessError where Slurm refuses it."""
        if not self.waiting:
            return
        try:
            with self.submitit.batch():
                for task in self.waiting:
                    assignment = assigned(self.context, task.order)
                    task.job = self.submitit.submit(job, assignment, task.events, self.alive)
        except (self.failures, OSError) as error:
            raise HarnessError(
                f"Slurm takes no jobs ({one_line(error)}): give what it asks for by --slurm NAME=VALUE, the "
                "options of sbatch."
            ) from error
        self.waiting = []


class SlurmTask(Remote):
    """A task as a job, and what it has told."""

    def __init__(self, order: Order, events: Path) -> None:
        super().__init__()
        self.order, self.events = order, events
        self.job: Any = None
        self.read = 0
        """Bytes of the file that were understood."""

    def has_news(self) -> bool:
        """Whether there is something to hear, or it has ended."""
        return self._size() > self.read or self.job.done()

    def _news(self) -> Iterator[Event | Ended]:
        over = self.job is not None and self.job.done()  # asked before the last look: what it told is there
        for message in self._messages():
            if isinstance(message, Died):
                self.died = message.code
            elif isinstance(message, Ended) and isinstance(message.error, Unfit):
                yield Ended(
                    HarnessError(f"Job {self.job.job_id} cannot be done where it ran: {message.error}.")
                )
            else:
                yield message
        if over and not self.over:
            said = (self.job.stderr() or "").strip().splitlines()
            self.reason = f"job {self.job.job_id} ended as {self.job.state}" + (
                f": {said[-1]}" if said else ""
            )

    def _messages(self) -> Iterator[Any]:
        """What the file has beyond what was read of it; of a message that is half there, nothing."""
        if self._size() <= self.read:
            return
        with self.events.open("rb") as file:
            file.seek(self.read)
            content = file.read()
        while len(content) >= HEAD and len(content) >= HEAD + (size := int.from_bytes(content[:HEAD])):
            told, content = pickle.loads(content[HEAD : HEAD + size]), content[HEAD + size :]
            self.read += HEAD + size
            yield from told

    def _size(self) -> int:
        try:
            return self.events.stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        if self.job is not None and not self.over:
            self.job.cancel(check=False)


def job(assignment: Assignment, events: Path, alive: Path) -> None:
    """What a job does: its task, as long as the run lives that wants it."""
    lives = _life(alive)
    with events.open("ab") as file:
        for told in perform(assignment):
            if told:
                content = pickle.dumps(told)
                file.write(len(content).to_bytes(HEAD) + content)
                file.flush()
            if not lives():
                return


def _life(alive: Path) -> Callable[[], bool]:
    """Whether the file is there and was touched within these seconds, by the clock of this machine."""
    touched, seen = -1.0, time.monotonic()

    def lives() -> bool:
        nonlocal touched, seen
        try:
            now = alive.stat().st_mtime
        except OSError:
            return False
        if now != touched:
            touched, seen = now, time.monotonic()
        return time.monotonic() - seen < PATIENCE

    return lives


def _imported() -> Any:
    """submitit. Raises ConfigError where it is not installed."""
    try:
        import submitit
    except ImportError as error:
        raise ConfigError(ABSENT) from error
    return submitit
