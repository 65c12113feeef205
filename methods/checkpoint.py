"""A model that was unlearned elsewhere, as a row like any other."""

import harness
from harness import Field, Method, Pretrained


class Checkpoint(Method):
    """A model unlearned elsewhere, taken as it is: its weights, or its adapter merged into the original.

    It must have been made from the original of this run: architecture, names and shapes of the weights and
    the tokenizer are held against that. ``all`` leaves it out until its path is set.
    """

    name = "checkpoint"
    needs = ("path",)
    seeded = False
    worth_keeping = False

    class Config(harness.Config):
        path: Pretrained | None = Field(
            None, description="directory or hub id (ID@REVISION) of the model, or of a peft adapter"
        )

    def unlearn(self, job):
        """Take its weights, and say whether it has forgotten."""
        job.notes["checkpoint"] = job.load_pretrained(self.config.path)
        job.notes["forgotten"] = job.forget_score() <= job.threshold
