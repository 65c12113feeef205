"""The two ends of the scale: the model untouched, and the model that never knew."""

from harness import Config, Method


class NoUnlearning(Method):
    """The original model, untouched: what an attack gets when nothing was unlearned."""

    name = "none"
    shards = True
    Config = Config
    seeded = False
    worth_keeping = False

    def unlearn(self, job):
        """Leave the model as it is."""


class Retrain(Method):
    """The twin trained without the forget set: what perfect unlearning would look like.

    What an attack brings out of it, the attack itself has taught.
    """

    name = "retrain"
    shards = True
    Config = Config
    needs_twin = True
    seeded = False
    worth_keeping = False

    def unlearn(self, job):
        """Take the twin's weights."""
        job.load_retrained()
