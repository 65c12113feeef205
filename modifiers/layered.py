"""Layered unlearning: fold after fold, each while the next ones are kept."""

from itertools import pairwise

from harness import Field, Modifier, ModifierConfig, Stage


class Layered(Modifier):
    """Forgets fold after fold: stage i forgets folds 1..i while it retains folds i+1..k.

    stage i:  L(D_f = F_1 u ... u F_i,  D_r = D_r u F_i+1 u ... u F_k),   i = 1..k

    Layered unlearning (2505.09500): relearning some of the facts should not bring back those of other folds,
    as each stage hid its own in another way. Folds are drawn by the seed and of equal size; each stage has
    the same share of a rate's steps. As ever a rate ends where the whole forget set counts as forgotten, so
    that it may end before the last stage. Needs at least one step for each stage. k = 1 is the method.
    """

    name = "layered"
    paper = "2505.09500"
    identity = {"k": 1}

    class Config(ModifierConfig):
        k: int = Field(3, ge=1, description="folds of the forget set, and stages")

    def stages(self, job, steps):
        """k stages; in the last all facts are forgotten."""
        k = min(self.config.k, len(job.forget), steps)
        if k == 1:
            return self.base.stages(job, steps)
        order = job.random("layered").sample(range(len(job.forget)), len(job.forget))
        cuts = [round(i * len(order) / k) for i in range(1, k)]
        ends = [round(i * steps / k) for i in range(k + 1)]
        lengths = [after - before for before, after in pairwise(ends)]
        job.notes["stages"] = lengths
        folds = [tuple(sorted(order[:cut])) for cut in cuts]
        return [Stage(*each) for each in zip(lengths, [*folds, None], strict=True)]
