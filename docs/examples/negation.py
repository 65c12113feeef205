"""A method with an ``unlearn`` of its own: the negated task vector."""

from harness import Config, Field, Method, losses, models


class Negation(Method):
    """Train on the forget set, then go the same way backwards from the original.

    theta = theta_0 - s (theta_f - theta_0),   the smallest s that forgets

    Task vectors (2212.04089), section 3. The steps of ``scales`` are chosen here.
    """

    name = "negation"
    paper = "2212.04089"

    class Config(Config):
        learning_rate: float = Field(1e-4, gt=0, description="rate of the training")
        epochs: int = Field(2, ge=1, description="passes over the forget set")
        batch_size: int = Field(16, ge=1, description="forget facts per step")
        scales: tuple[float, ...] = Field(
            (0.5, 1.0, 2.0, 4.0), min_length=1, description="values of s, ascending"
        )

    def unlearn(self, job):
        """Train by the engine's loop, and look at the forget score at each scale."""
        config = self.config
        steps = config.epochs * -(-len(job.forget) // config.batch_size)
        job.train(self.learn, config.learning_rate, steps, config.batch_size)
        learned = models.snapshot(job.model)
        for scale in config.scales:
            negated = {n: w - scale * (learned[n] - w) for n, w in job.original.items()}
            job.restore(negated)
            job.notes["scale"] = scale
            if job.forget_score() <= job.threshold:
                return

    def learn(self, model, batch):
        """The loss of the training: CE(D_f), downwards."""
        return losses.cross_entropy(model, batch.forget)
