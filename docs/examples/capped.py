"""A modifier that keeps forgetting from outrunning retaining."""

from harness import Field, Modifier, ModifierConfig, models


class Capped(Modifier):
    """Caps the forget gradient at a multiple of the retain gradient's length.

    g = min(1, most |g_r| / |g_f|) g_f + g_r
    """

    name = "capped"
    identity = {"most": None}

    class Config(ModifierConfig):
        most: float | None = Field(
            1.0, ge=0, description="longest forget gradient, over the retain gradient's"
        )

    @classmethod
    def refuses(cls, method, config):
        """Over what has no retain gradient."""
        if not method.retains:
            return f"'{method.name}' has no retain term to measure by"
        return None

    def step_gradients(self, step, by_name=False):
        """The two gradients, the first one shortened."""
        if self.config.most is None:
            return self.base.step_gradients(step, by_name)
        forget, retain = self.forget_and_retain(step)
        longest = self.config.most * models.norm(retain.values())
        length = models.norm(forget.values())
        if length > longest:
            forget = {theta: g * (longest / length) for theta, g in forget.items()}
        return {"forget": forget, "retain": retain}
