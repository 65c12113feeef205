"""SignSGD: steps of one length for every weight."""

from harness import Field, HarnessError, Modifier, ModifierConfig

EPS = 1e-15
"""In place of Adam's 1e-8: smaller than any gradient whose square float32 can hold."""


class SignSGD(Modifier):
    """Has the optimiser step by the sign of the gradient: theta <- theta - lr sign(g).

    m_t = beta_1 m + (1 - beta_1) g,   v_t = beta_2 v + (1 - beta_2) g^2,   beta -> (1 - strength) beta

    SignSGD (1802.04434); that it unlearns so that quantisation to 4 bits brings less back is reported in
    2510.00761. It is Adam without memory, g / sqrt(g^2), and so the betas of the method's own AdamW are
    lowered: strength = 1 is the sign (and the decoupled weight decay, which stays), strength = 0 the method.
    An entry whose gradient is 0 stays.
    """

    name = "signsgd"
    paper = "1802.04434"
    identity = {"strength": 0.0}

    class Config(ModifierConfig):
        strength: float = Field(1.0, ge=0, le=1, description="1: the sign alone; 0: the method's own AdamW")

    @classmethod
    def refuses(cls, method, config):
        """Over another optimiser than AdamW, where a setting says so."""
        other = getattr(config, "optimizer", "adamw")
        if other != "adamw":
            return f"'{method.name}' steps by {other}, and signsgd lowers the betas of AdamW"
        return None

    def optimizer(self, parameters, lr):
        """The base's Adam, which forgets faster."""
        optimizer, s = self.base.optimizer(parameters, lr), self.config.strength
        for group in optimizer.param_groups:
            if not {"betas", "eps"} <= group.keys():
                raise HarnessError(
                    f"'{self.method.name}' steps by {type(optimizer).__name__}, and signsgd lowers the betas "
                    "of Adam: leave +signsgd out."
                )
            group["betas"] = tuple((1 - s) * beta for beta in group["betas"])
            group["eps"] = (1 - s) * group["eps"] + s * EPS
        return optimizer
