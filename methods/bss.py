"""BS-S: bootstrapping on the model's own answers."""

from typing import Literal

from harness import Field, Method, MethodConfig, answer_tokens, losses

from .bst import belief_loss


class BSS(Method):
    """Gradient ascent on the true answers and on answers sampled from the model.

    L = (1 - lambda) L(D_f) + lambda L(D^_f) + alpha CE(D_r)

    BS-S of 2510.19422 (ICLR 2026). D^_f holds N answers to each forget prompt, drawn at temperature 1, anew
    every two epochs (on-policy) or once (off-policy), and kept per forget fact. L is gradient ascent or BS-T,
    which the paper found the best base.
    """

    name = "bss"
    paper = "2510.19422"

    class Config(MethodConfig):
        lambda_: float = Field(0.5, ge=0, le=1, alias="lambda", description="weight of the sampled answers")
        n: int = Field(3, ge=1, description="N, sampled answers per forget prompt")
        base: Literal["bst", "ga"] = Field("bst", description="L: BS-T, or plain gradient ascent")
        policy: Literal["on", "off"] = Field("on", description="draw anew every resample epochs, or once")
        resample: int = Field(2, ge=1, description="epochs between draws when on-policy")
        max_new_tokens: int = Field(64, ge=1, description="longest sampled answer, tokens")
        belief: float = Field(0.2, ge=0, le=1, description="lambda of BS-T as the base")
        k: int = Field(20, ge=1, description="tokens in a belief of BS-T as the base")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")

    def new_epoch(self, job, epoch):
        """Draw N answers to every forget prompt when they are due."""
        if epoch and (self.config.policy == "off" or epoch % self.config.resample):
            return
        self.tokens, longest = job.tokens, self.config.max_new_tokens
        prompts = [fact.prompt for fact in job.forget]
        sampled = job.sample(prompts, self.config.n, longest, "bss", str(epoch))
        heads = [head for head, _ in job.tokens.encode([(prompt, "") for prompt in prompts])]
        # An answer that was cut off did not end: it gets no end token.
        self.samples = [
            [(head, answer if len(answer) == longest else (*answer, *job.tokens.tail)) for answer in answers]
            for head, answers in zip(heads, sampled, strict=True)
        ]
        every = [sample for samples in self.samples for sample in samples]
        self.tokens_per_fact = answer_tokens(every) / len(self.samples)

    def loss(self, model, batch):
        """(1 - lambda) L(D_f) + lambda L(D^_f) + alpha CE(D_r)."""
        x, lambda_ = batch.forget, self.config.lambda_
        belief = self.config.belief if self.config.base == "bst" else 0.0
        yield "forget", (1 - lambda_) * belief_loss(model, x, belief, self.config.k)
        # A micro-batch does not know what the rest of its step sampled; with the mean over D^_f parts add up.
        share = self.tokens_per_fact * x.step_items
        for n in range(self.config.n):
            answers = [self.samples[i][n] for i in x.index.tolist()]
            texts = self.tokens.collate(answers, range(len(answers)), x.step_items, 1).to(x.index.device)
            yield "sampled", lambda_ * belief_loss(model, texts, belief, self.config.k) / share
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)
