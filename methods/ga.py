"""Gradient ascent."""

from harness import Method, losses


class GradientAscent(Method):
    """Gradient ascent on the forget set: L = -CE(D_f).

    Jang et al. 2022 (2210.01504), section 3; TOFU (2401.06121), section 3.3. Nothing holds the rest of the
    model in place.
    """

    name = "ga"
    paper = "2210.01504"
    shards = True
    retains = False

    def loss(self, model, batch):
        """L = -CE(D_f), averaged over answer tokens."""
        return -losses.cross_entropy(model, batch.forget)
