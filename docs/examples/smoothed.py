"""A wrapper around methods: their losses on weights with a little noise."""

from contextlib import contextmanager

import torch
from harness.methods.gd import GradientDifference
from harness.methods.simnpo import SimNPO

from harness import Field, Method


class Smoothing(Method):
    """Put it before a method: ``class Mine(Smoothing, TheMethod)``."""

    def prepare(self, job):
        """What the method needs, and the job, for its random numbers."""
        super().prepare(job)
        self.job = job

    def start(self, model):
        """Every learning rate draws the same noise."""
        super().start(model)
        self.step = 0

    def loss(self, model, batch):
        """The method's terms, each differentiated at the weights with noise."""
        with self.noise(model):
            yield from super().loss(model, batch)

    def after_backward(self, model):
        """Micro-batches of a step share their noise; the next step has another."""
        super().after_backward(model)
        self.step += 1

    @contextmanager
    def noise(self, model):
        """Change the weights, and put them back."""
        before = [parameter.detach().clone() for parameter in model.parameters()]
        generator = self.job.generator("smoothing", str(self.step))
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter += self.config.sigma * noise.to(parameter)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, old in zip(model.parameters(), before, strict=True):
                    parameter.copy_(old)


def sigma():
    """The setting that every smoothed method has."""
    return Field(1e-3, ge=0, description="standard deviation of the noise")


class SmoothedGD(Smoothing, GradientDifference):
    """Gradient difference, its gradients taken at weights with Gaussian noise."""

    name = "smoothed-gd"

    class Config(GradientDifference.Config):
        sigma: float = sigma()


class SmoothedSimNPO(Smoothing, SimNPO):
    """SimNPO, its gradients taken at weights with Gaussian noise."""

    name = "smoothed-simnpo"

    class Config(SimNPO.Config):
        sigma: float = sigma()
