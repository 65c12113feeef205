"""UNDO: unlearn, noise, distil."""

import torch

from harness import Field, Modifier, ModifierConfig, losses, models


class UNDO(Modifier):
    """Distils the unlearned model into a student whose weights were damaged.

    theta <- (1 - alpha) theta + alpha beta Xavier,   then min KL(teacher || student) on D_r

    UNDO (2506.06278, NeurIPS 2025): what the teacher only hides is in its weights and not in its answers, so
    that a student that learns the answers again does not get it. The teacher is the unlearned model. The
    paper distils on a large generic corpus. Here it is what the benchmark offers: the retain set and, where
    there are any, its instructions; KL over all tokens of a text. Published are alpha .6, beta .1 for toy
    models and .25, 0 for 2B. Open, and chosen here: matrices are damaged, vectors (norms, biases) stay; the
    rate is the highest of the method's grid, and the passes are as many as it has. alpha = 0 is the method.
    """

    name = "undo"
    paper = "2506.06278"
    identity = {"alpha": 0.0}
    reads = frozenset({"instruct"})

    class Config(ModifierConfig):
        alpha: float = Field(0.6, ge=0, le=1, description="how far the weights are damaged")
        beta: float = Field(0.1, ge=0, description="scale of the noise")
        learning_rate: float | None = Field(
            None, gt=0, description="rate of the distillation; None: the highest of the method's grid"
        )
        epochs: int | None = Field(
            None, ge=1, description="passes over what is distilled on; None: the method's"
        )
        batch_size: int = Field(32, ge=1, description="texts of a step")

    def finish(self, job):
        """Damage the weights, and distil the model as it was before."""
        changed = self.base.finish(job)
        if self.config.alpha == 0:
            return changed
        teacher = models.snapshot(job.model)
        job.notes["undo_teacher_score"] = job.forget_score()
        self.damage(job)
        facts = [*job.retain, *job.data.get("instruct", ())]
        size = min(self.config.batch_size, len(facts))
        epochs = self.config.epochs or job.config.epochs
        rate = self.config.learning_rate or max(job.config.learning_rates)

        def distillation(model, texts):
            return losses.kl_to(model, teacher, texts, prompts=True)

        steps = epochs * -(-len(facts) // size)
        job.train(distillation, rate, steps, size, facts=facts)
        job.notes["undo_steps"] = steps
        return True

    @torch.no_grad()
    def damage(self, job):
        """theta <- (1 - alpha) theta + alpha beta Xavier, of every matrix."""
        alpha, beta = self.config.alpha, self.config.beta
        generator = job.generator("undo")
        for theta in job.model.parameters():
            if theta.ndim == 2:
                bound = (6 / sum(theta.shape)) ** 0.5
                xavier = (2 * torch.rand(theta.shape, generator=generator) - 1) * bound
                theta.mul_(1 - alpha).add_(xavier.to(theta), alpha=alpha * beta)
