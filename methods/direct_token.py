"""Direct token ascent: only the tokens that carry the fact, the others held. Inspired by DTO."""

import torch
from torch.nn import functional as F

from harness import IGNORED, Field, Method, MethodConfig, Prompt, losses

from ._answers import answer_logprobs
from ._weighted import token_nll


class DirectToken(Method):
    """Ascent on the answer tokens that the question brings about; the answer's others stay. No retain set.

    L = gamma E_{D_f} mean_{i in T} log pi_i + alpha E_{D_f} mean_{i not in T} KL(pi_{0,i} || pi_i)

    T holds, of all answer tokens, the share rho whose context gain log pi_0(y_i | x, y_<i) - log pi_0(y_i |
    y_<i) is highest. Off the first term's gradient its component along the second's is taken.

    Inspired by Direct Token Optimization (2510.00125), whose score of a token, share and weights are not
    public: this is not that method. rho = 1 is exactly GA.
    """

    name = "direct-token"
    paper = "2510.00125"

    class Config(MethodConfig):
        rho: float = Field(0.5, gt=0, le=1, description="share of the answer tokens that are targets")
        gamma: float = Field(1.0, ge=0, description="weight of the ascent on targets")
        alpha: float = Field(1.0, ge=0, description="weight of the divergence at the other tokens")

    def prepare(self, job):
        """Choose the targets by context gain, with the answers' ends in the last column (N, K)."""
        self.original, data = job.original, job.encode(job.forget)
        [(alone, _)] = job.tokens.encode([(Prompt(""), "")])
        gain = token_nll(job, [(alone, answer) for _, answer in data]) - token_nll(job, data)
        lengths = torch.tensor([len(answer) for _, answer in data], device=gain.device)
        places = torch.arange(gain.shape[1], 0, -1, device=gain.device)
        gain = gain.masked_fill(places > lengths[:, None], -torch.inf)
        count = max(1, round(self.config.rho * int(lengths.sum())))
        self.targets = torch.zeros_like(gain, dtype=torch.bool)
        self.targets.view(-1)[gain.flatten().topk(count).indices] = True
        self.share = count / int(lengths.sum())
        job.notes["target_share"] = self.share

    def loss(self, model, batch):
        """The ascent on targets, and the divergence from pi_0 at the other tokens."""
        x = batch.forget
        # A micro-batch does not know the rest of its step; with the share among all facts, parts add up.
        count = x.step_tokens * self.share
        nll = losses.token_nll(*losses.answer_logits(model, x))
        targets = self.targets[x.index, -nll.shape[1] :]
        yield "forget", -self.config.gamma * (nll * targets).sum() / count
        if self.share == 1:
            return
        logits, labels = losses.answer_logits(model, x)
        before = losses.reference_logits(model, self.original, x)
        others = labels.masked_fill(targets, IGNORED)
        now, before = (answer_logprobs(z, others) for z in (logits, before))
        kl = F.kl_div(now, before, reduction="sum", log_target=True)
        yield "others", self.config.alpha * kl / (x.step_tokens - count)

    @torch.no_grad()
    def combine(self, model, gradients):
        """Take the component along the second term's gradient off the first's, and add both."""
        forget, others = gradients["forget"], gradients.get("others", {})
        square = sum(g.double().square().sum() for g in others.values())
        along = sum((forget[p].double() * g.double()).sum() for p, g in others.items() if p in forget)
        kept = 1 - along / square if others and square > 0 else 1.0
        for parameter, g in forget.items():
            parameter.grad = g + kept * others[parameter] if parameter in others else g
