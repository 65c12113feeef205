"""Faults that a test switches on and off while a run goes on."""

import os
import sys
import time
from pathlib import Path

TRAP = "STUB_TRAP"
"""The variable that says where a process stops: an event of Python's audit, a part of its path, a number."""


def fault(name):
    """The file by which a test switches a fault on, or None."""
    path = Path(os.environ.get("STUB_FAULTS", "/nowhere")) / name
    return path if path.exists() else None


def trap():
    """Have the process stop that comes to an event of a file as the so-many-th of all processes.

    It says that it is there by the file ``trapped``, and stays until it is killed or there is a file ``go``.
    """
    event, part, number = os.environ[TRAP].split(" ")
    folder = os.environ["STUB_FAULTS"]
    count = os.open(f"{folder}/count", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def hook(name, args):
        if name != event or part not in str(args[0]):
            return
        os.write(count, b".")
        if os.fstat(count).st_size < int(number):
            return
        try:
            os.write(os.open(f"{folder}/trapped", os.O_WRONLY | os.O_CREAT | os.O_EXCL), b"%d" % os.getpid())
        except FileExistsError:
            return  # another process is in it
        while not os.path.exists(f"{folder}/go"):
            time.sleep(0.005)

    sys.addaudithook(hook)
