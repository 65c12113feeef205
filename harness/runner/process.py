"""A process of its own for each task: started by a fork server, heard until it ends, and deaf to Ctrl-C.

The fork server has the libraries loaded and runs nothing, so a process costs some hundredths of a second and
begins as every other: what a plugin does to it ends with it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from ..core.events import Event
from ..errors import HarnessError
from .context import WorkerContext
from .executor import Ended, Order, Running
from .record import explain

START = "spawn" if sys.platform == "darwin" else "forkserver"
"""How multiprocessing starts a process. macOS does not bear a fork after its frameworks are loaded."""

LIBRARIES = (
    "harness.runner.worker",
    "harness.runner.group",
    "harness.runner.preloaded",
    "accelerate",
    "pandas",
    "pyarrow.pandas_compat",
    "peft",
    "scipy.stats",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
)
"""What the fork server loads before it starts a process."""

UTILITY = ("lm_eval.evaluator", "lm_eval.tasks", "lm_eval.models.huggingface", "datasets")
"""The same, where lm-eval is measured."""

TRIES = 10
"""Times that a process is tried to be started."""

FORK_SERVER_LOST = 255
"""The exit code multiprocessing gives where the fork server was killed and cannot tell."""


class TaskProcess(Running):
    """One task in a process of its own.

    It has these variables beside its environment, and begins in this directory where there is such.
    """

    def __init__(
        self,
        context: WorkerContext,
        order: Order,
        environment: Mapping[str, str] | None = None,
        directory: str = "",
    ) -> None:
        super().__init__()
        self.silent = False
        start: Any = get_context(START)
        if START == "forkserver":
            # The plugins that come with the harness, as far as this run uses them, are loaded there, too.
            own = [name for name in sys.modules if name.startswith("harness.")]
            start.set_forkserver_preload([*LIBRARIES, *(UTILITY if order.utility else ()), *own])
        self.channel, end = start.Pipe(duplex=False)
        self.process = start.Process(target=_work, args=(context, order, environment or {}, directory, end))
        # The fork server takes over which signals are blocked, and so do its children: Ctrl-C is for the
        # parent. The resource tracker that it needs would let them through, unless it is there already.
        resource_tracker.ensure_running()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _apart_from_main():
                self._start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        end.close()

    def _start(self) -> None:
        """Start it, by a new fork server where the old one is killed at this moment. Raises HarnessError."""
        for _ in range(TRIES):
            try:
                return self.process.start()
            except (OSError, EOFError) as error:
                reason = str(error)
                time.sleep(0.1)  # the old one may not quite have ended
        raise HarnessError(f"A process could not be started ({reason}): free memory, or use fewer --jobs.")

    def _news(self) -> Iterator[Event | Ended]:
        while not self.silent and self.channel.poll():
            try:
                message = self.channel.recv()
            except Exception:  # it has ended, perhaps in the middle of a word
                self.silent = True
            else:
                yield message

    def places(self) -> Iterator[Any]:
        """What to wait for: news, or its end."""
        yield self.process.sentinel
        if not self.silent:
            yield self.channel

    @property
    def over(self) -> bool:
        return not self.process.is_alive()

    @property
    def code(self) -> int:
        self.process.join()
        code = self.process.exitcode or 0
        return -signal.SIGKILL if code == FORK_SERVER_LOST else code

    def close(self) -> None:
        if pid := self.process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.join()
        self.channel.close()


@contextlib.contextmanager
def _apart_from_main() -> Iterator[None]:
    """Have processes that are started in here import nothing but this package.

    Else each would first run the script again that this process runs, up to and into its call of
    ``harness.run``, unless its author knew to guard that by ``if __name__ == "__main__"``.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _work(
    context: WorkerContext, order: Order, environment: Mapping[str, str], directory: str, channel: Connection
) -> None:
    """Do one task, and end without looking back: threads that a plugin has left cannot hold it."""
    os.environ.update({**environment, **context.environment})
    if directory:
        with contextlib.suppress(OSError):  # another machine need not have it
            os.chdir(directory)
    gc.freeze()  # what was loaded before is not looked through again, and so stays shared in memory
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, name="follow", daemon=True).start()
    from .worker import Worker

    lock = threading.Lock()

    def tell(message: Event | Ended) -> None:
        with lock, contextlib.suppress(OSError):  # nobody listens any more: the parent has ended
            channel.send(message)

    try:
        Worker(context, tell).do(order)
    except BaseException as error:
        tell(Ended(_portable(error)))
    else:
        tell(Ended())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _follow() -> None:
    """End this process when its parent has ended, however that ended."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """An error as it can be sent: itself, or its text; SystemExit and its like would end the parent."""
    if not isinstance(error, Exception):
        return HarnessError(explain(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return HarnessError(f"{type(error).__name__}: {error}")
    return error
