"""SAM: forget where the loss is flat."""

from harness import Field, Method, Modifier, ModifierConfig, models


class SAM(Modifier):
    """Forgets where the loss is flat: its gradient is taken where the loss is worst nearby.

    g = g_f(theta + rho g_f(theta) / |g_f(theta)|) + g_r(theta)

    Sharpness-aware minimisation: Fan et al. (2502.05374, ICML 2025), there over NPO, after 2010.01412. A
    forget loss that is low around the weights, and not at them alone, is one that relearning finds harder to
    leave. g_f is the gradient of all terms but ``retain``, g_r that of ``retain``; the length is over all
    weights that train.
    rho = 0 is the method. Each step computes all gradients twice. A step of length rho is lost in bfloat16,
    so that the second time all weights are in float32.
    """

    name = "sam"
    paper = "2502.05374"
    buffers = 2  # the gradient of the other terms, and the weights that are displaced
    identity = {"rho": 0.0}

    class Config(ModifierConfig):
        rho: float = Field(0.01, ge=0, description="length of the step to where the gradient is taken")

    @classmethod
    def refuses(cls, method, config):
        """Over what stops its forward pass early, chooses what trains, or keeps what a step computed."""
        if not method.lora:
            return (
                f"the definition of '{method.name}' chooses which weights train or stops the forward pass "
                "early, and the sharpness of that is not the sharpness that relearning all weights meets"
            )
        if method.after_backward is not Method.after_backward or method.combine is not Method.combine:
            return f"'{method.name}' edits the gradients of a step itself, and sam computes them twice"
        return None

    def step_gradients(self, step, by_name=False):
        """g_f(theta + rho g_f / |g_f|) + g_r(theta)."""
        rho = self.config.rho
        if rho == 0:
            return self.base.step_gradients(step, by_name)
        forget, retain = self.forget_and_retain(step)
        length = models.norm(forget.values())
        if length > 0:
            up = {theta: g * (rho / length) for theta, g in forget.items()}
            with models.displaced(step.model, up):
                forget, _ = self.forget_and_retain(step)
        return {"forget": forget, "retain": retain}
