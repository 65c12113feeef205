"""WGA: weighted gradient ascent."""

from harness import Field

from ._weighted import WeightedAscent


class WGA(WeightedAscent):
    """Gradient ascent on tokens that are still likely: L = gamma E_{D_f} mean_i w_i log pi_i + alpha CE(D_r).

    w_i = pi(y_i | x, y_<i)^beta, held constant.

    WGA of 2502.19301 (ICLR 2025). Plain ascent on log pi has the gradient of pi over pi, so it pushes most
    where nothing is left; the weight takes that back. beta = 1 in OpenUnlearning, 5 in the authors' code,
    which also retains by KL(pi_0 || pi). beta = 0 is exactly GD.
    """

    name = "wga"
    paper = "2502.19301"

    class Config(WeightedAscent.Config):
        beta: float = Field(1.0, ge=0, description="power of a token's probability in its weight")

    def weights(self, nll, texts):
        """w_i = pi_i^beta."""
        return (-self.config.beta * nll).exp()
