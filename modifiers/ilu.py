"""ILU: unlearning that fine-tuning on something else does not undo."""

from typing import Literal

import torch

from harness import IGNORED, Field, Modifier, ModifierConfig, answer_tokens, losses


class ILU(Modifier):
    """Regularises for invariance: fine-tuning on unrelated data should find nothing to gain at once.

    L = L_base + lambda (d/dw CE(w z; D) at w = 1)^2

    ILU (2506.01339, ICML 2025) with the penalty of invariant risk minimisation (IRMv1, 1907.02893). D is a
    fine-tuning set that has nothing to do with the forget set. Open, and chosen here as in IRMv1: w is a
    scalar before the logits z, so that the derivative is mean_t <softmax(z_t) - onehot(y_t), z_t> over D's
    answer tokens. The paper has lambda between .05, too weak, and .1, which hurts. The gradient is added to
    that of the term ``retain``. lambda = 0 is the method. D is the benchmark's ``instruct``, which the attack
    ``instruction`` trains on as well: against that attack the method has seen the attacker's data.
    """

    name = "ilu"
    paper = "2506.01339"
    identity = {"lambda": 0.0}
    reads = frozenset({"instruct"})

    class Config(ModifierConfig):
        lambda_: float = Field(0.1, ge=0, alias="lambda", description="weight of the penalty")
        data: Literal["instruct", "retain"] = Field("instruct", description="split that is D")
        batch_size: int = Field(16, ge=1, description="facts of D at each step")

    def lacks(self, splits):
        """D is needed."""
        if not splits.get(self.config.data):
            return f"the benchmark has no split '{self.config.data}' (ilu.data)"
        return super().lacks(splits)

    def prepare(self, job):
        """Encode D."""
        super().prepare(job)
        self.job = job
        self.data = job.encode(job.retain if self.config.data == "retain" else job.data["instruct"])

    def start(self, model):
        """Begin D's order anew."""
        super().start(model)
        self.rng, self.order = self.job.random("ilu"), []

    def step_gradients(self, step, by_name=False):
        """The base's, plus 2 lambda s ds/dtheta of the slope s in w."""
        gradients = self.base.step_gradients(step, by_name)
        if self.config.lambda_ == 0:
            return gradients
        texts = [self.data[i] for i in self.next_facts()]
        tokens, parts = answer_tokens(texts), list(self.job.runs(texts))
        with torch.no_grad():  # a part does not know the others, and the square is of their sum
            s = sum(slope(step.model, part) for part in parts) / tokens
        added = gradients.setdefault("retain" if by_name else "", {})
        for part in parts:
            term = 2 * self.config.lambda_ * s * slope(step.model, part) / tokens
            for theta, g in step.gradient(term).items():
                added[theta] = added[theta] + g if theta in added else g
        return gradients

    def next_facts(self):
        """Positions of the next facts of D, which is shuffled anew each time round."""
        count = min(self.config.batch_size, len(self.data))
        while len(self.order) < count:
            self.order += self.rng.sample(range(len(self.data)), len(self.data))
        taken, self.order = self.order[:count], self.order[count:]
        return taken


def slope(model, texts):
    """d/dw sum_t CE(w z_t, y_t) at w = 1: sum over answer tokens of <softmax(z_t) - onehot(y_t), z_t>."""
    logits, labels = losses.answer_logits(model, texts)
    z, y = losses.full_precision(logits[labels != IGNORED]), labels[labels != IGNORED]
    return (z.softmax(dim=-1) * z).sum() - z.gather(-1, y[:, None]).sum()
