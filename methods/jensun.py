"""JensUn: unlearning by the Jensen-Shannon divergence."""

import torch

from harness import Field, HarnessError, Method, MethodConfig, Prompt, losses

from ._answers import answer_logprobs, places
from ._divergence import js, js_to_one


class JensUn(Method):
    """Bring forget answers to a fixed text, and hold retain answers, by a divergence that is at most log 2.

    L = gamma E_{D_f} mean_i JS(pi_i || onehot(t_i)) + alpha E_{D_r} mean_i JS(pi_i || pi_{0,i})

    JensUn (2509.02820), gamma = alpha = 1. t repeats the tokens of "No idea" over the answer. The authors'
    code gives each position mass 1 at every token of t; here it has one, as in the paper.
    """

    name = "jensun"
    paper = "2509.02820"

    class Config(MethodConfig):
        target: str = Field("No idea", min_length=1, description="the text that is repeated over an answer")
        gamma: float = Field(1.0, ge=0, description="weight of the forget loss")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")

    def prepare(self, job):
        """Keep the weights of pi_0 and the target's tokens."""
        self.original = job.original
        [(_, target)] = job.tokens.encode([(Prompt(job.forget[0].question), self.config.target)])
        if not target:
            raise HarnessError(f"jensun.target={self.config.target!r} has no token: give it a word.")
        self.target = torch.tensor(target)

    def loss(self, model, batch):
        """JS to the target on forget answers, and to pi_0 on retain answers."""
        logits, labels = losses.answer_logits(model, batch.forget)
        target = self.target.to(labels.device)[places(labels) % len(self.target)]
        log_p = answer_logprobs(logits, labels)[range(len(target)), target]
        yield "forget", self.config.gamma * js_to_one(log_p).sum() / batch.forget.step_tokens
        logits, labels = losses.answer_logits(model, batch.retain)
        before = losses.reference_logits(model, self.original, batch.retain)
        apart = js(answer_logprobs(logits, labels), answer_logprobs(before, labels))
        yield "retain", self.config.alpha * apart.sum() / batch.retain.step_tokens
