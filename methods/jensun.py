"""JensUn: unlearning by the Jensen-Shannon divergence."""

import math

import torch

from harness import IGNORED, Field, HarnessError, Method, MethodConfig, Prompt, losses


class JensUn(Method):
    """Bring forget answers to a fixed text, and hold retain answers, by a divergence that is at most log 2.

    L = gamma E_{D_f} mean_i JS(pi_i || onehot(t_i)) + alpha E_{D_r} mean_i JS(pi_i || pi_{0,i})

    JensUn (2509.02820), gamma = alpha = 1. t repeats the tokens of "No idea" over the answer. Against a
    one-hot the divergence depends on p = pi_i(t_i) alone: log 2 + (p log p - (1 + p) log(1 + p)) / 2. The
    authors' code gives each position mass 1 at every token of t, which is no distribution; here each has its
    own token, as the paper says. They also train on paraphrases of the forget set, which is left out: attacks
    ask them.
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
        answer = labels != IGNORED
        place = (answer.cumsum(dim=1) - 1)[answer] % len(self.target)
        logprobs = losses.full_precision(logits[answer]).log_softmax(dim=-1)
        log_p = logprobs.gather(1, self.target.to(place.device)[place][:, None])
        yield "forget", self.config.gamma * js_to_one(log_p).sum() / batch.forget.step_tokens
        logits, labels = losses.answer_logits(model, batch.retain)
        before = losses.reference_logits(model, self.original, batch.retain)
        pair = (losses.full_precision(x[labels != IGNORED]).log_softmax(dim=-1) for x in (logits, before))
        yield "retain", self.config.alpha * js(*pair).sum() / batch.retain.step_tokens


def js(log_p, log_q):
    """JS(p || q) in nats of distributions over the last dimension, given their logarithms."""
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(dim=-1) / 2


def js_to_one(log_p):
    """JS in nats of a distribution to all mass on one token, whose probability is p."""
    p = log_p.exp()
    return math.log(2) + (p * log_p - (1 + p) * p.log1p()) / 2
