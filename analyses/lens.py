"""The logit lens: from which layer on a model prefers the answer, before and after unlearning."""

import torch

from harness import Analysis, AnalysisConfig, Field, Finding, HarnessError, lens, models

from ._facts import drawn

LOGITS = 2**27
"""Layers times texts times tokens times words that are read at a time: memory, not results."""


class LogitLens(Analysis):
    """Accuracy of each fact's answer against one distractor, read at every layer.

    accuracy_l = 1/n sum_facts [ NLL_l(y|x) / |y| < NLL_l(y'|x) / |y'| ]

    NLL_l is -log pi summed over answer tokens, from the output h_l of decoder layer l, which goes through the
    final norm and the output matrix as the last layer's does. Figure of Ssiuu (2509.22263, ICLR 2026): chance
    is .5, as the series ``chance`` says, and far below it the answer is over-suppressed: hidden, not erased.
    Figure ``accuracy`` has a series for each set and model, ``forget original`` to ``retain unlearned``.

    Open, and chosen here: y' is the answer of another fact of the same set, one that differs, drawn at random
    and the same for both models and all layers; answers of unlike length are compared by their mean over
    tokens, the end token included; equal values count half. There is no tuned lens: it needs to be trained.
    """

    name = "lens"
    paper = "2509.22263"

    class Config(AnalysisConfig):
        facts: int | None = Field(
            None, ge=1, description="facts of each set, drawn at random; None: as many as are forgotten"
        )

    def analyse(self, job):
        """Read both models on forget and retain facts."""
        yield Finding("accuracy", "chance", 0.5)
        count = self.config.facts or len(job.forget)
        for split, facts in (("forget", job.forget), ("retain", job.retain)):
            rng = job.random("lens", split)
            data = job.encode(drawn(facts, count, rng))
            against = distractors(data, job.encode(facts), rng, split)
            for which, weights in (("original", job.original), ("unlearned", job.unlearned)):
                with weights():
                    gold, other = self.read(job, data), self.read(job, against)
                right = (gold < other).double() + 0.5 * (gold == other)
                for layer, accuracy in enumerate(right.mean(dim=1).tolist()):
                    yield Finding("accuracy", f"{split} {which}", accuracy, x=float(layer), layer=layer)

    def read(self, job, data):
        """NLL per token (L, N) at each layer."""
        longest = max(len(answer) for _, answer in data)
        of_text = len(models.blocks(job.model)) * longest * job.model.config.vocab_size
        size, parts = max(1, LOGITS // of_text), []
        for texts in job.runs(data, size):
            parts.append(lens.layer_nll(job.model, texts).cpu())
            job.progress("logit lens", sum(part.shape[1] for part in parts), len(data))
        lengths = torch.tensor([len(answer) for _, answer in data])
        nll = torch.cat(parts, dim=1) / lengths
        if nll.isnan().any():
            raise HarnessError("lens reads a model whose answers have no likelihood: its numbers are NaN.")
        return nll


def distractors(data, every, rng, split):
    """Each prompt with the answer of another fact that differs from its own.

    Raises HarnessError where all answers are the same.
    """
    answers = list(dict.fromkeys(answer for _, answer in every))
    if len(answers) < 2:
        raise HarnessError(
            f"lens sets an answer against another, and all facts of '{split}' have the same: give it two."
        )
    return [(prompt, rng.choice([a for a in answers if a != answer])) for prompt, answer in data]
