"""Direct preference optimisation with a refusal as the preferred answer."""

from torch.nn.functional import logsigmoid

from harness import Field, Method, MethodConfig, losses


class DPO(Method):
    """Direct preference optimisation: the refusal w is preferred to the true answer l.

    L = -(2/beta) mean log sigma(beta [(NLL_w^pi_0 - NLL_w) - (NLL_l^pi_0 - NLL_l)]) + alpha CE(D_r)

    "IdkDPO" in TOFU (2401.06121); the refusal is that of the Ssiuu paper (2509.22263). NLL sums over answer
    tokens. Of the reference model pi_0 two numbers per forget fact are kept. beta = 0.1 was published for
    chat models, which refuse readily. In others, learning to refuse gains NLL_w^pi_0 nats, and that alone
    would satisfy the loss. So unless beta is given, it is 0.1 or, where less, 1 / mean NLL_w^pi_0.
    """

    name = "dpo"
    paper = "2401.06121"

    class Config(MethodConfig):
        beta: float | None = Field(
            None, gt=0, description="inverse temperature, 1/nat; None: 0.1, or 1 / mean NLL_w^pi_0 if less"
        )
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")
        refusal: str = Field("I can't answer the question.", min_length=1, description="the preferred answer")

    def prepare(self, job):
        """Keep NLL^pi_0 of every true answer and of every refusal."""
        self.tokens, self.refusals = job.tokens, job.encode(job.forget, self.config.refusal)
        self.reference_l = losses.reference_nll(job, job.encode(job.forget))
        self.reference_w = losses.reference_nll(job, self.refusals)
        self.beta = self.config.beta or 1 / max(10.0, self.reference_w.mean().item())
        job.notes["beta"] = self.beta

    def loss(self, model, batch):
        """The preference loss on refusal and true answer plus alpha CE(D_r)."""
        for x in batch.forget.parts(3):  # two graphs at once, and refusals may be long: fewer facts
            refused = self.tokens.collate(self.refusals, x.index.tolist(), x.step_items, 1)
            gain_w = self.reference_w[x.index] - losses.nll(model, refused.to(x.index.device))
            gain_l = self.reference_l[x.index] - losses.nll(model, x)
            preferred = logsigmoid(self.beta * (gain_w - gain_l))
            yield "forget", -(2 / self.beta) * preferred.sum() / x.step_items
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)
