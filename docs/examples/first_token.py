"""How likely the first token of each answer is, before and after unlearning."""

import torch

from harness import Analysis, Finding


class FirstToken(Analysis):
    """The mean probability of the first token of an answer, in both models."""

    name = "first-token"

    def analyse(self, job):
        """One number for each model and set of facts."""
        for name, facts in (("forget", job.forget), ("retain", job.retain)):
            texts = job.encode(facts)
            for which, shown in (
                ("original", job.original),
                ("unlearned", job.unlearned),
            ):
                with shown() as model:
                    probabilities = [
                        first(model, prompt, answer) for prompt, answer in texts
                    ]
                yield Finding(
                    "first token",
                    f"{name} {which}",
                    sum(probabilities) / len(probabilities),
                )


@torch.no_grad()
def first(model, prompt, answer):
    """The probability of the answer's first token after the prompt."""
    [logits] = model(torch.tensor([prompt], device=model.device)).logits
    return float(logits[-1].float().softmax(-1)[answer[0]])
