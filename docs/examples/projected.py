"""A method that keeps the gradients of its terms apart."""

from harness.methods.gd import GradientDifference


class Projected(GradientDifference):
    """Gradient difference without the part of the ascent that harms the retain set.

    g = g_r + g_f - min(0, <g_f, g_r>) / |g_r|^2 g_r
    """

    name = "projected-gd"

    def combine(self, model, gradients):
        """Set each gradient from those of the terms ``forget`` and ``retain``."""
        forget, retain = gradients["forget"], gradients["retain"]
        overlap = sum((forget[p] * retain[p]).sum() for p in retain)
        length = sum(retain[p].square().sum() for p in retain)
        factor = (-overlap).clamp(min=0) / length.clamp(min=1e-12)
        for parameter in retain:
            parameter.grad = forget[parameter] + (1 + factor) * retain[parameter]
