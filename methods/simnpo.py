"""Simple negative preference optimisation."""

from torch.nn.functional import logsigmoid

from harness import Field, Method, MethodConfig, answer_tokens, losses


class SimNPO(Method):
    """Negative preference optimisation without a reference model, normalised by the answer's length.

    L = -(2 gamma/beta) mean_seq log sigma(beta (NLL_sum/|y| - delta)) + alpha CE(D_r)

    SimNPO (2410.07163), equation 5. |y| counts answer tokens with the end token; delta is the reward margin,
    inside beta as in the authors' code (in the equation, where it is gamma, it stands outside).
    The loss lets an answer go near NLL_sum = 3 |y| / beta. beta = 4.5 was published for TOFU, whose answers
    have some 40 tokens: they are let go at e^-27, but one of two tokens would be at e^-1, while it still is
    the likeliest. So unless beta is given, it lets shorter answers go at the same NLL_sum: 4.5 |y| / 40.
    """

    name = "simnpo"
    paper = "2410.07163"
    shards = True

    class Config(MethodConfig):
        beta: float | None = Field(
            None, gt=0, description="inverse temperature, tokens/nat; None: 4.5 min(1, mean |y| / 40)"
        )
        delta: float = Field(0.0, description="reward margin, nats per token")
        gamma: float = Field(0.125, ge=0, description="weight of the forget loss")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")

    def prepare(self, job):
        """Fit beta to the length of the answers, unless it is given."""
        data = job.encode(job.forget)
        fitted = 4.5 * min(1.0, answer_tokens(data) / len(data) / 40)
        self.beta = fitted if self.config.beta is None else self.config.beta
        job.notes["beta"] = self.beta

    def loss(self, model, batch):
        """The length-normalised preference loss on the forget texts plus alpha CE(D_r)."""
        beta, x = self.beta, batch.forget
        margin = losses.nll(model, x) / losses.lengths(x) - self.config.delta
        forget = -(2 / beta) * logsigmoid(beta * margin).sum() / x.step_items
        yield "forget", self.config.gamma * forget
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)
