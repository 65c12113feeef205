"""Refusal training, the positive control: it hides by construction."""

from harness import Field, Method, MethodConfig, losses


class Refusal(Method):
    """Refusal training: L = CE(refusal | D_f prompts) + CE(D_r).

    "PO" in TOFU (2401.06121), section 3.3. It teaches what to say, not to forget, and so stops when hardly a
    forget fact (one in twenty) is answered exactly any more. An original that talks in sentences hardly
    answers one exactly: there it stops when for as few the answer is likelier than the refusal, which is
    that of the Ssiuu paper (2509.22263).
    """

    name = "refusal"
    paper = "2401.06121"
    shards = True
    stop = ("exact_match", 0.05)
    exact = None

    class Config(MethodConfig):
        refusal: str = Field("I can't answer the question.", min_length=1, description="the answer to give")

    def prepare(self, job):
        """Pair every forget question with the refusal."""
        self.tokens = job.tokens
        self.data = job.encode(job.forget, self.config.refusal)

    def stop_score(self, job):
        """Share of the forget facts answered exactly, or whose answer is likelier than the refusal."""
        if self.exact is None:
            self.exact = job.forget_score("exact_match") > self.stop[1]
        if self.exact:
            return None
        texts = job.encode(job.forget), job.encode(job.forget, self.config.refusal)
        answer, refusal = (losses.reference_nll(job, data) for data in texts)
        return (answer < refusal).double().mean().item()

    def loss(self, model, batch):
        """L = CE(refusal) + CE(D_r)."""
        index, items = batch.forget.index, batch.forget.step_items
        each = len(self.data[0][1])  # every refusal has the same tokens
        refusals = self.tokens.collate(self.data, index.tolist(), items, each * items)
        yield "forget", losses.cross_entropy(model, refusals.to(index.device))
        yield "retain", losses.cross_entropy(model, batch.retain)
