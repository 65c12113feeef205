"""SIMU: selective influence machine unlearning, and its control with random neurons."""

from typing import Literal

import torch
from torch.nn import functional as F

from harness import IGNORED, Field, losses, models, neurons, sharding

from ._sophia import Sophia
from .gd import GradientDifference


class Simu(GradientDifference):
    """Second-order gradient difference on attention and on the neurons critical for the forget set.

    Att(l,k) = (1/m) sum_{j=1..m} sum_i beta^k_{l,i} dP_i(a_j)/da_j,   critical: Att > t max_k Att per layer

    SIMU (2510.07822). Stage 1 scores neurons k of layer l by scaling their activation beta to
    a_j = (j/m) beta; a sample i is one answer token. P is the token's probability, as in the method's
    ancestor DEPN (open: with cross-entropy the sign would turn). Stage 2 is GD with Sophia; trained are all
    attention projections and the critical columns of the last feed-forward map, and masked entries see
    neither moments nor weight decay. Neurons critical for the retain set as well ("dual") stay in the mask,
    as the paper found better.
    """

    name = "simu"
    shards = True
    lora = False
    paper = "2510.07822"

    class Config(GradientDifference.Config):
        alpha: float = Field(2.0, ge=0, description="weight of the retain loss (SOUL on TOFU)")
        m: int = Field(5, ge=1, description="steps of the integrated attribution; the paper has 3 or 5")
        t: float = Field(0.1, ge=0, le=1, description="threshold, as a share of the layer's maximum (open)")
        dual: Literal["keep", "drop"] = Field("keep", description="neurons critical for both sets")
        hessian: Literal["gauss-newton", "squared"] = Field(
            "gauss-newton",
            description="Sophia-G: sampled labels every 10 steps; or SOUL: the gradient squared",
        )
        optimizer: Literal["sophia"] = Field(  # type: ignore[assignment]
            "sophia", description="second-order, by what hessian says"
        )
        rho: float = Field(0.04, gt=0, description="scale of the curvature")
        weight_decay: float = Field(0.1, ge=0, description="decoupled weight decay")

    def prepare(self, job):
        """Stage 1: find the critical neurons."""
        self.notes, self.generator = job.notes, job.generator
        self.chosen = self.choose(job)
        job.notes["critical_share"] = self.chosen.float().mean().item()

    def choose(self, job):
        """Bool (L, units): the neurons that train."""
        critical = self.critical(job, job.encode(job.forget))
        if self.config.dual == "drop":
            critical &= ~self.critical(job, job.encode(job.retain))
        return critical

    def critical(self, job, data):
        """Bool (L, units): Att > t max_k Att of the layer."""
        scores = torch.zeros(())
        for texts in job.runs(neurons.one_token_each(data), 64):
            scores = scores + neurons.integrated_influence(job.model, texts, self.config.m).cpu()
        return scores > self.config.t * scores.amax(dim=1, keepdim=True)

    def start(self, model):
        """Begin counting steps."""
        self.step, self.estimates = 0, {}

    def trainable(self, model):
        """Attention projections, and the last feed-forward maps (of those, the critical columns)."""
        self.masks = neurons.masks(model, self.chosen.to(next(model.parameters()).device), into=False)
        attention = []
        for block in models.blocks(model):
            part = neurons.feed_forward(block)
            modules = models.linear_modules(block).values()
            others = [module for module in modules if module is not part.out and module not in part.into]
            attention += [parameter for module in others for parameter in module.parameters()]
        return [*attention, *self.masks]

    def optimizer(self, parameters, lr):
        """Sophia that leaves everything but the critical neurons as it is."""
        self.sophia = Sophia(parameters, lr, rho=self.config.rho, weight_decay=self.config.weight_decay)
        neurons.mask_steps(self.sophia, self.masks)
        self.sophia.register_step_post_hook(self._note)
        return self.sophia

    def _note(self, *args):
        if self.sophia.seen:
            self.notes["clipped_share"] = self.sophia.clipped / self.sophia.seen

    def loss(self, model, batch):
        """GD's loss; every tenth step also Sophia-G's estimate, from labels drawn from the model."""
        if self.config.hessian == "gauss-newton" and self.step % 10 == 0:
            self._estimate(model, batch)
        yield from super().loss(model, batch)

    def _estimate(self, model, batch):
        """Add up the gradient of the cross-entropy with sampled labels over the step's micro-batches."""
        trained = [p for p in model.parameters() if p.requires_grad]
        for part, texts in (("forget", batch.forget), ("retain", batch.retain)):
            logits, labels = losses.answer_logits(model, texts)
            chosen = labels != IGNORED
            pi = losses.full_precision(logits.detach()).softmax(dim=-1).cpu()
            drawn = [
                self._draw(pi[row][chosen[row].cpu()], part, index)
                for row, index in enumerate(texts.index.tolist())
            ]
            flat, target = losses.full_precision(logits[chosen]), torch.cat(drawn).to(logits.device)
            loss = F.cross_entropy(flat, target, reduction="sum") / texts.step_tokens
            for parameter, gradient in zip(trained, sharding.gradients(loss, trained), strict=True):
                before = self.estimates.get(parameter)
                self.estimates[parameter] = gradient if before is None else before + gradient
        self.drawn = batch.forget.step_tokens

    def _draw(self, pi, part, index):
        """A label for each answer token of one text, the same however a step is cut into micro-batches."""
        generator = self.generator("simu", part, str(self.step), str(index))
        return torch.multinomial(pi, 1, generator=generator)[:, 0]

    @torch.no_grad()
    def after_backward(self, model):
        """Hand the curvature to Sophia: B g^2 of the sampled labels, or the square of the gradient."""
        if self.config.hessian == "squared":
            self.estimates, self.drawn = {p: p.grad for p in model.parameters() if p.grad is not None}, 1
        masked = {p: self.drawn * g.square() * self.masks.get(p, 1) for p, g in self.estimates.items()}
        self.sophia.observe(masked)
        self.estimates = {}
        self.step += 1


class SimuRandom(Simu):
    """SIMU with as many neurons in each layer, chosen at random: does localisation matter?

    The control that 2505.16252 asks for.
    """

    name = "simu-random"
    paper = "2505.16252"

    def choose(self, job):
        """As many neurons in each layer as are critical, at random."""
        critical, generator = super().choose(job), job.generator("simu-random")
        return torch.stack([row[torch.randperm(len(row), generator=generator)] for row in critical])
