"""Negative preference optimisation."""

from typing import Literal

from torch.nn.functional import logsigmoid

from harness import Field, Method, MethodConfig, losses, validator


class NPO(Method):
    """Negative preference optimisation with a retain term.

    L = -(2/beta) mean_seq log sigma(beta (NLL_sum - NLL_sum^pi_0)) + alpha CE(D_r)

    NPO (2404.05868), equation 3. NLL_sum is the sum over answer tokens, not their mean. Of the reference
    model pi_0 only one number per forget fact is kept. As beta -> 0 the forget term tends to gradient ascent
    on NLL_sum. The retain term is CE(D_r), or KL(pi_0 || pi) on D_r, or is left out. The KL is taken over the
    answer tokens, as CE is, or over all tokens, those of the prompt included.
    """

    name = "npo"
    paper = "2404.05868"
    shards = True

    class Config(MethodConfig):
        beta: float = Field(0.1, gt=0, description="inverse temperature of the preference loss")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")
        retain: Literal["ce", "kl", "kl-all", "none"] = Field(
            "ce", description="retain loss: CE; KL to pi_0 over answer tokens, or over all; or none"
        )

        @validator
        def kl_needs_the_weights_under_their_names(self):
            if self.retain in ("kl", "kl-all") and self.lora_r is not None:
                raise ValueError(
                    f"retain={self.retain} needs the weights of pi_0 under their names: leave LoRA out"
                )
            return self

    def prepare(self, job):
        """Keep NLL_sum^pi_0 of every forget fact."""
        self.original = job.original
        self.reference = losses.reference_nll(job, job.encode(job.forget))

    def loss(self, model, batch):
        """The preference loss on the forget texts plus the retain term."""
        beta, x = self.config.beta, batch.forget
        gain = losses.nll(model, x) - self.reference[x.index]
        yield "forget", -(2 / beta) * logsigmoid(beta * gain).sum() / x.step_items
        if self.config.retain == "ce":
            yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)
        elif self.config.retain != "none":
            prompts = self.config.retain == "kl-all"
            yield "retain", self.config.alpha * losses.kl_to(model, self.original, batch.retain, prompts)
