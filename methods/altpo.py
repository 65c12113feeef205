"""AltPO: alternate preference optimisation."""

from harness import Field, MethodConfig, Prompt, losses

from .dpo import DPO

INSTRUCTION = "{question} {answer} Now write another answer, plausible, in which every fact is another."


class AltPO(DPO):
    """Direct preference optimisation with answers that the model makes up itself as the preferred ones.

    L = -(2/beta) mean log sigma(beta [(NLL_a^pi_0 - NLL_a) - (NLL_l^pi_0 - NLL_l)]) + alpha CE(D_r)

    AltPO (2409.13474). l is the true answer, and a one of N = 5 alternates to each forget question, sampled
    once from the original at temperature 1 under an instruction that shows question and answer. A pass over
    the forget set takes one alternate of each fact, the next the next. beta as in dpo, 0.1 where answers are
    likely enough. Open, and chosen here: the instruction's words. An alternate that is the true answer pulls
    nowhere; the cell's notes say how many are, ``same_as_true``: a model that follows no instructions makes
    up little.
    """

    name = "altpo"
    paper = "2409.13474"

    class Config(MethodConfig):
        beta: float | None = Field(
            None, gt=0, description="inverse temperature, 1/nat; None: 0.1, or 1 / mean NLL_a^pi_0 if less"
        )
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")
        n: int = Field(5, ge=1, description="N, alternates to each forget question")
        max_new_tokens: int = Field(64, ge=1, description="longest alternate, tokens; the paper has 200")
        instruction: str = Field(INSTRUCTION, description="how to ask, with {question} and {answer}")

    def prepare(self, job):
        """Sample the alternates, and keep NLL^pi_0 of them and of every true answer."""
        self.tokens, longest, data = job.tokens, self.config.max_new_tokens, job.encode(job.forget)
        ask = self.config.instruction.replace
        prompts = [Prompt(ask("{question}", f.question).replace("{answer}", f.answer)) for f in job.forget]
        sampled = job.sample(prompts, self.config.n, longest, "altpo")
        # An alternate that was cut off did not end: it gets no end token.
        ended = [[(*a, *(job.tokens.tail if len(a) < longest else ())) for a in each] for each in sampled]
        facts = list(zip(data, ended, strict=True))
        self.alternates = [[(prompt, each[k]) for (prompt, _), each in facts] for k in range(self.config.n)]
        self.references = [losses.reference_nll(job, each) for each in self.alternates]
        self.reference_l = losses.reference_nll(job, data)
        mean = sum(each.mean().item() for each in self.references) / self.config.n
        self.beta = self.config.beta or 1 / max(10.0, mean)
        same = sum(a == answer for (_, answer), each in facts for a in each)
        job.notes.update(beta=self.beta, same_as_true=same, alternates=len(data) * self.config.n)

    def new_epoch(self, job, epoch):
        """Prefer the next alternate of each fact."""
        k = epoch % self.config.n
        self.refusals, self.reference_w = self.alternates[k], self.references[k]
