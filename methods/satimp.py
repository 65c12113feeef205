"""SatImp: weights by saturation and importance."""

from harness import Field

from ._weighted import WeightedAscent


class SatImp(WeightedAscent):
    """Ascent on tokens neither gone nor trivial: L = gamma E_{D_f} mean_i w_i log pi_i + alpha CE(D_r).

    w_i = pi_i^beta1 (1 - pi_i)^beta2,   pi_i = pi(y_i | x, y_<i),   held constant

    SatImp of 2505.11953 (ICML 2025): the first factor is saturation, the second importance. beta1 = 5,
    beta2 = 1, gamma = .1 in OpenUnlearning. beta2 = 0 is exactly WGA, and both 0 exactly GD.
    """

    name = "satimp"
    paper = "2505.11953"

    class Config(WeightedAscent.Config):
        beta1: float = Field(5.0, ge=0, description="power of pi_i: tokens that are gone count less")
        beta2: float = Field(1.0, ge=0, description="power of 1 - pi_i: tokens that are sure count less")
        gamma: float = Field(0.1, ge=0, description="weight of the forget loss")

    def weights(self, nll, texts):
        """w_i = pi_i^beta1 (1 - pi_i)^beta2."""
        return (-self.config.beta1 * nll).exp() * (-(-nll).expm1()) ** self.config.beta2
