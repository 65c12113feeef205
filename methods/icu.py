"""ICU: iterative contrastive unlearning."""

import torch
from torch.nn import functional as F

from harness import IGNORED, Field, Method, MethodConfig, answer_tokens, losses, models, neurons

from ._answers import answer_logprobs


class ICU(Method):
    """Ascent on facts not forgotten yet, and for each a retain fact like it that is learnt and held.

    L = -u CE(D_f) + l CE(D_p) + k E_{D_p} mean_i H(pi_{0,i}, pi_i)

    ICU (2407.20271). D_p holds, for each forget fact, the nearest fact that is to be kept; H is the
    cross-entropy over the vocabulary; u = 1, l = .5, k = 1. After each pass the facts that are forgotten are
    left out, their pairs with them. Open, and chosen here: nearest is the retain fact whose mean hidden state
    in the original's last layer has the largest cosine, where the authors search sentence embeddings; a fact
    is forgotten when its forget metric is at or below the benchmark's threshold, where they hold a generated
    continuation of 50 tokens against limits of BERTScore and BLEU.
    """

    name = "icu"
    paper = "2407.20271"

    class Config(MethodConfig):
        unlearn: float = Field(1.0, ge=0, description="u, weight of the ascent on forget facts")
        learn: float = Field(0.5, ge=0, description="l, weight of the cross-entropy of their pairs")
        keep: float = Field(1.0, ge=0, description="k, weight of holding the pairs to the original")

    def prepare(self, job):
        """Pair each forget fact with the retain fact that is most like it."""
        self.original, self.tokens = job.original, job.tokens
        self.data, self.kept = job.encode(job.forget), job.encode(job.retain)
        likeness = self.meanings(job, self.data) @ self.meanings(job, self.kept).T
        self.paired = likeness.argmax(dim=1).tolist()

    @torch.no_grad()
    def meanings(self, job, data):
        """Mean hidden state (N, d) of each text in the last layer, of length 1."""
        last, found = len(models.blocks(job.model)) - 1, []
        for texts in job.runs(data):
            states = losses.full_precision(neurons.hidden(job.model, texts, last))
            found.append((states * texts.attention_mask[..., None]).sum(dim=1))
        return F.normalize(torch.cat(found), dim=1)

    def new_epoch(self, job, epoch):
        """Find the facts that are not forgotten yet."""
        known = job.remembered(job.forget)
        left = [i for i, fact in enumerate(job.forget) if fact.id in known]
        self.left = torch.tensor([fact.id in known for fact in job.forget])
        # A micro-batch does not know the rest of its step; with the shares of all facts, parts add up.
        self.share = max(answer_tokens(self.data, left) / answer_tokens(self.data), 1e-9)
        pairs = answer_tokens(self.kept, [self.paired[i] for i in left])
        self.pair_tokens = max(pairs / len(self.data), 1e-9)

    def loss(self, model, batch):
        """The ascent on facts that are left, and both losses of their pairs."""
        x = batch.forget
        left = self.left.to(x.index.device)[x.index]
        ascent = -(losses.nll(model, x) * left).sum() / (x.step_tokens * self.share)
        yield "forget", self.config.unlearn * ascent
        chosen = [self.paired[i] for i in x.index.tolist()]
        pairs = self.tokens.collate(self.kept, chosen, x.step_items, 1).to(x.index.device)
        logits, labels = losses.answer_logits(model, pairs)
        labels = labels.masked_fill(~left[:, None], IGNORED)
        before = answer_logprobs(losses.reference_logits(model, self.original, pairs), labels)
        held = -(before.exp() * answer_logprobs(logits, labels)).sum()
        learnt = losses.nll_of(logits, labels).sum()
        paired = self.config.learn * learnt + self.config.keep * held
        yield "retain", paired / (x.step_items * self.pair_tokens)
