"""A universal suffix, found word by word with the help of gradients."""

from contextlib import contextmanager

import torch

from harness import Attack, AttackConfig, Field, HarnessError, answer_tokens, losses

from ._asking import asking, text_of, whole_words, with_suffix
from ._hold import hold


class UniversalSuffix(Attack):
    """Search words that, put behind a question, call its answer up, on some facts; score on the others.

    Greedy coordinate gradient (2307.15043): the gradient of CE(answer | question, suffix) with respect to the
    one-hot vector of a word says for each place which other words promise the lowest loss; of candidates that
    differ in one word, drawn from the best, the one of lowest loss over all facts held is kept. The answers
    themselves are what the suffix is to call up, as in 2409.18025. Words are those that stay one token
    wherever they stand, so that the suffix is text. Published budgets are 500 steps of 512 candidates from
    256 words for each place; here 20 steps of 32 from 64, ten words, five facts, and the suffix of the step
    before is always among the candidates.
    """

    name = "gcg"
    paper = "2307.15043"
    reads = frozenset({"forget"})

    class Config(AttackConfig):
        samples: int = Field(5, ge=1, description="forget facts the attacker holds; at least 2 must be left")
        length: int = Field(10, ge=1, description="words of the suffix")
        steps: int = Field(20, ge=1, description="times that a word is changed")
        candidates: int = Field(32, ge=1, description="suffixes whose loss is computed in each step")
        top: int = Field(64, ge=1, description="words for each place that candidates are drawn from")
        checkpoints: tuple[int, ...] = Field(
            (5, 10, 20), description="steps after which the forget set is scored, and the last"
        )

    def attack(self, job):
        """Search one suffix on the facts held; on the way, ask the others with it."""
        held = hold(job, self.config.samples)
        words = whole_words(job.tokens.tokenizer)
        if not words:
            raise HarnessError(
                "gcg: no word of the tokenizer stays one token behind others; none can be put."
            )
        allowed = sorted(words)
        suffix = job.rng.choices(allowed, k=self.config.length)
        job.checkpoint()
        for step in range(1, self.config.steps + 1):
            texts, places = with_suffix(job, held, suffix, words)
            slopes = word_slopes(job, texts, places, suffix, allowed)
            tried = [suffix, *self.candidates(job, suffix, slopes, allowed)]
            found = suffix_losses(job, texts, places, tried)
            suffix = tried[int(found.argmin())]
            job.progress("suffix", step, self.config.steps)
            if step in {*self.config.checkpoints, self.config.steps}:
                job.checkpoint(step, ask=asking(job.scored, lambda q, s=suffix: f"{q} {text_of(s, words)}"))
        job.notes["suffix"] = text_of(suffix, words)

    def candidates(self, job, suffix, slopes, allowed):
        """Suffixes that differ in one word, at a random place, drawn from the best for that place."""
        best = slopes.topk(min(self.config.top, len(allowed)), largest=False).indices.tolist()
        for _ in range(self.config.candidates):
            place = job.rng.randrange(len(suffix))
            yield [*suffix[:place], allowed[job.rng.choice(best[place])], *suffix[place + 1 :]]


def word_slopes(job, texts, places, suffix, allowed):
    """dL/d(one-hot) (n, A): how the loss changes, in first order, with each allowed word at each place.

    L is the mean cross-entropy of all answers. By the chain rule it is E dL/de, E the words' embeddings and e
    what the embedding layer gives at the place.
    """
    embedding = job.model.get_input_embeddings()
    device = embedding.weight.device
    begins = torch.tensor(places, device=device)
    steps = torch.arange(len(suffix), device=device)
    total = torch.zeros((), device=device)
    for batch in job.runs(texts):
        with kept_output(embedding) as kept:
            loss = losses.nll(job.model, batch).sum()
        [gradient] = torch.autograd.grad(loss, kept)
        columns = (batch.attention_mask == 0).sum(dim=1) + begins[batch.index]
        rows = torch.arange(len(batch), device=device)[:, None]
        total = total + losses.full_precision(gradient[rows, columns[:, None] + steps]).sum(dim=0)
    vectors = losses.full_precision(embedding(torch.tensor(allowed, device=device)).detach())
    return total @ vectors.T / answer_tokens(texts)


@torch.no_grad()
def suffix_losses(job, texts, places, tried):
    """Mean cross-entropy (C,) of all answers with each of the suffixes in place of the one there is."""
    rows = [
        ((*prompt[:at], *suffix, *prompt[at + len(suffix) :]), answer)
        for suffix in tried
        for (prompt, answer), at in zip(texts, places, strict=True)
    ]
    each = torch.cat([losses.nll(job.model, batch) for batch in job.runs(rows)])
    return each.view(len(tried), -1).sum(dim=1) / answer_tokens(texts)


@contextmanager
def kept_output(module):
    """Collect what a module gives, as a leaf of the graph."""
    kept = []

    def keep(module, args, output):
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    handle = module.register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()
