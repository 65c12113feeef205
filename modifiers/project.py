"""Forget only in directions that do not touch what is retained."""

from typing import Literal

from harness import Field, HarnessError, Method, Modifier, ModifierConfig, models


class Project(Modifier):
    """Takes out of the forget gradient what points against the retain gradient.

    g = g_f - share <g_f, g_r> / |g_r|^2 g_r + g_r

    Gradient surgery (PCGrad, 2001.06782, algorithm 1), of one of the two gradients: to forget, nothing is
    done to the retain loss to first order. As there, where the two are in conflict, <g_f, g_r> < 0; or at
    every step (``when=always``), where the part that forgets and retains at once is taken out as well. g_r is
    the gradient of the term ``retain``, g_f that of all others, and the product is over all weights that
    train. share = 0 is the method. The note ``projected`` is the share of steps at which it acted.
    """

    name = "project"
    paper = "2001.06782"
    identity = {"share": 0.0}

    class Config(ModifierConfig):
        share: float = Field(
            1.0, ge=0, le=1, description="share of the component along g_r that is taken out"
        )
        when: Literal["conflict", "always"] = Field(
            "conflict", description="at steps at which the two gradients point apart, or at every step"
        )

    @classmethod
    def refuses(cls, method, config):
        """Over what has no retain gradient, or combines its gradients itself."""
        if not method.retains:
            return f"'{method.name}' has no retain term, off whose gradient one could project"
        if method.combine is not Method.combine:
            return f"'{method.name}' combines the gradients of its terms itself"
        return None

    def prepare(self, job):
        """Keep the notes."""
        super().prepare(job)
        self.notes = job.notes

    def start(self, model):
        """Count from the beginning."""
        super().start(model)
        self.steps = self.acted = 0

    def step_gradients(self, step, by_name=False):
        """g_f - share <g_f, g_r> / |g_r|^2 g_r, and g_r."""
        if self.config.share == 0:
            return self.base.step_gradients(step, by_name)
        forget, retain = self.forget_and_retain(step)
        if not retain:
            raise HarnessError(
                f"The loss of '{self.method.name}' gave no term named \"retain\", off whose gradient project "
                "could project: give it one, or leave +project out."
            )
        product, length = models.dot(forget, retain), models.norm(retain.values())
        acts = length > 0 and (product < 0 or self.config.when == "always")
        if acts:
            along = self.config.share * product / length**2
            forget = {
                theta: g - along * retain[theta] if theta in retain else g for theta, g in forget.items()
            } | {theta: -along * g for theta, g in retain.items() if theta not in forget}
        self.steps, self.acted = self.steps + 1, self.acted + acts
        self.notes["projected"] = self.acted / self.steps
        return {"forget": forget, "retain": retain}
