"""A Ray cluster on this machine that a test starts, in a process of its own: Ray's threads bear no fork.

The process is told by lines what to do: ``add {environment as JSON}`` adds a machine with one CPU, and
``kill N`` kills the one that was added as the N-th, as a machine dies. It answers each with a line.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)


class Nodes:
    """The cluster: a head without a CPU, and what is added to it."""

    def __init__(self, **environment: str) -> None:
        self.environment = environment
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd="/",  # which its machines have as their directory
            env={**os.environ, "RAY_raylet_start_wait_time_s": "240", "RAY_USAGE_STATS_ENABLED": "0"},
            start_new_session=True,
        )
        self.address = self._answer()
        self.added, self.alive = 0, set[int]()

    def add(self, **environment: str) -> int:
        """Add a machine whose tasks have these variables; its number."""
        self._ask(f"add {json.dumps(self.environment | environment)}")
        self.alive.add(self.added)
        self.added += 1
        return self.added - 1

    def kill(self, number: int) -> None:
        """Have a machine die."""
        self._ask(f"kill {number}")
        self.alive.remove(number)

    def have(self, count: int) -> None:
        """Have so many machines that fit."""
        while len(self.alive) < count:
            self.add()

    def kill_all(self) -> None:
        """Have all machines die."""
        for number in sorted(self.alive):
            self.kill(number)

    def close(self) -> None:
        """End all."""
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _ask(self, line: str) -> str:
        print(line, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> str:
        answer = self.process.stdout.readline().strip()
        assert answer, "the cluster has ended"
        return answer


def serve() -> None:
    """Be the process."""
    from ray.cluster_utils import Cluster

    answers, sys.stdout = sys.stdout, sys.stderr  # what Ray prints is no answer
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small()})
    print(cluster.address, file=answers, flush=True)
    nodes = []
    for line in sys.stdin:
        what, _, argument = line.partition(" ")
        if what == "add":
            nodes.append(cluster.add_node(num_cpus=1, env_vars=json.loads(argument), **small()))
        else:
            cluster.remove_node(nodes[int(argument)], allow_graceful=False)
        print("done", file=answers, flush=True)
    cluster.shutdown()


def small() -> dict[str, Any]:
    """What a machine is told: little memory, and ports, for which else it waits only 15 seconds."""
    with ExitStack() as held:
        free = [held.enter_context(socket.socket()) for _ in PORTS]
        for one in free:
            one.bind(("", 0))
        ports = [one.getsockname()[1] for one in free]
    memory = {"include_dashboard": False, "object_store_memory": 100 * 2**20}
    return memory | dict(zip(PORTS, ports, strict=True))


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    serve()
