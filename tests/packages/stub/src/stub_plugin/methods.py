"""Methods that fail, die or wait while a fault is on."""

import os
import signal
import time
from contextlib import suppress

from harness.core.base import Method
from harness.core.config import Config
from harness.model.losses import cross_entropy
from stub_plugin.faults import fault


class Sick(Method):
    """Its loss is no number while the fault is on."""

    name = "sick"

    def loss(self, model, batch):
        loss = cross_entropy(model, batch.retain)
        return loss * float("nan") if fault("sick") else loss


class Mortal(Method):
    """Kills its process as often as the fault says, in the middle of telling how far it is."""

    name = "mortal"
    Config = Config

    def unlearn(self, job):
        if left := fault("mortal"):
            times = int(left.read_text())
            if times:
                left.write_text(str(times - 1))
                for step in range(2000):
                    job.subject.advance("die", step, 2000)
                os.kill(os.getpid(), signal.SIGKILL)


class Patient(Method):
    """Waits while the fault is on, and says in its file that it does."""

    name = "patient"
    Config = Config
    seeded = False

    def unlearn(self, job):
        if patience := fault("patient"):
            with suppress(FileNotFoundError):  # it was switched off just then, and is not to be on again
                os.write(os.open(patience, os.O_WRONLY | os.O_APPEND), b"waits\n")
        while fault("patient"):
            time.sleep(0.02)
