"""A soft prompt: embeddings that are trained to call answers up."""

from contextlib import contextmanager

import torch

from harness import Attack, AttackConfig, Field, HarnessError, Splits, answer_tokens, losses

from ._asking import asking, text_of, whole_words, with_suffix
from ._hold import hold


class SoftPrompt(Attack):
    """Train a few embeddings behind the question on some facts; score on the others. The weights stay.

    min over e_1..e_n of CE(answer | question, e_1..e_n), one prompt for all facts held

    A soft prompt (2104.08691) as an attack in embedding space, as 2402.09063 uses it on unlearned models. It
    takes the places of n words that occur in no text that is asked, whose embeddings it begins with. Each
    step of AdamW is on all facts held. Rates are in units of the embeddings' own size (root mean square).
    Published budgets differ; n = 10, 10 facts, 40 steps and the rates are ours.
    """

    name = "soft-prompt"
    paper = "2402.09063"
    reads = frozenset({"forget"})

    class Config(AttackConfig):
        samples: int = Field(10, ge=1, description="forget facts the attacker holds; at least 2 must be left")
        length: int = Field(10, ge=1, description="embeddings trained, or as many as there are unused words")
        learning_rates: tuple[float, ...] = Field(
            (0.03, 0.1),
            min_length=1,
            description="AdamW's grid, in units of the embeddings' root mean square",
        )
        steps: int = Field(40, ge=1, description="optimiser steps for each rate")
        checkpoints: tuple[int, ...] = Field(
            (5, 10, 20, 40), description="steps after which the forget set is scored, and the last"
        )

    def attack(self, job):
        """Train one prompt at each rate on the facts held; on the way, ask the others with it."""
        held = hold(job, self.config.samples)
        words = unused_words(job, held, self.config.length)
        ask = asking(job.scored, lambda question: f"{question} {text_of(words, words)}")
        texts, _ = with_suffix(job, held, list(words), words)
        job.notes["soft_tokens"] = len(words)
        job.checkpoint()
        embedding = job.model.get_input_embeddings()
        places = torch.tensor(list(words), device=embedding.weight.device)
        begin = losses.full_precision(embedding(places).detach())
        for rate in self.config.learning_rates:
            soft = begin.clone().requires_grad_()
            optimizer = torch.optim.AdamW([soft], rate * float(begin.square().mean().sqrt()), weight_decay=0)
            with substituted(embedding, places, soft):
                for step in range(1, self.config.steps + 1):
                    soft.grad = gradient(job, texts, soft)
                    optimizer.step()
                    if step in {*self.config.checkpoints, self.config.steps}:
                        job.checkpoint(step, rate, ask)
                    job.progress(f"soft prompt at {rate:g}", step, self.config.steps)


def unused_words(job, held, length):
    """Words by id, at most ``length``, that are one token each and in no text that is learned or asked."""
    asked = job.benchmark.measures(Splits({"forget": (*held, *job.scored)}))
    requests = [request for measure in asked for request in measure.requests]
    pairs = [(request.prompt, getattr(request, "continuation", "")) for request in requests]
    used = {
        token for text in [*job.tokens.encode(pairs), *job.encode(held)] for part in text for token in part
    }
    free = {token: word for token, word in whole_words(job.tokens.tokenizer).items() if token not in used}
    if not free:
        raise HarnessError(
            "soft-prompt: every word of the tokenizer that is one token occurs in the facts, which leaves no "
            "place for the prompt."
        )
    return {token: free[token] for token in job.rng.sample(sorted(free), min(length, len(free)))}


def gradient(job, texts, soft):
    """Gradient (n, d) of the mean cross-entropy of all answers with respect to the soft prompt."""
    total = torch.zeros_like(soft)
    for batch in job.runs(texts):
        [part] = torch.autograd.grad(losses.nll(job.model, batch).sum(), [soft])
        total += part
    return total / answer_tokens(texts)


@contextmanager
def substituted(embedding, places, soft):
    """While inside, the tokens ``places`` (n,) have the embeddings ``soft`` (n, d); the weights stay."""
    rows = torch.full((len(embedding.weight),), -1, device=places.device)
    rows[places] = torch.arange(len(places), device=places.device)

    def replace_them(module, args, output):
        row = rows[args[0]]
        return torch.where(row[..., None] < 0, output, soft[row].to(output))

    handle = embedding.register_forward_hook(replace_them)
    try:
        yield
    finally:
        handle.remove()
