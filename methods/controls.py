"""The two ends of the scale: the model untouched, and the model that never knew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.base import Method
from harness.core.config import Config

if TYPE_CHECKING:
    from harness.engine.unlearning import UnlearningJob


class NoUnlearning(Method):
    """The original model, untouched: what an attack gets when nothing was unlearned."""

    name = "none"
    Config = Config
    seeded = False

    def unlearn(self, job: UnlearningJob) -> None:
        """Leave the model as it is."""


class Retrain(Method):
    """The twin trained without the forget set: what perfect unlearning would look like.

    What an attack brings out of it, the attack itself has taught.
    """

    name = "retrain"
    Config = Config
    needs_twin = True
    seeded = False

    def unlearn(self, job: UnlearningJob) -> None:
        """Take the twin's weights."""
        job.load_retrained()
