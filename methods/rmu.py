"""RMU: representation misdirection for unlearning."""

import torch

from harness import Field, Method, MethodConfig, losses, models, neurons


class RMU(Method):
    """Push the hidden states of forget texts to a random vector, and hold those of retain texts.

    L = MSE(h_l(x_f), c u) + alpha MSE(h_l(x_r), h_l^0(x_r)),   u uniform in [0,1)^d, normalised to length 1

    RMU of WMDP (2403.03218), section 4. Only the last feed-forward map (``down_proj``) of layers l-2..l
    trains, and nothing above layer l runs; h^0 needs only the old matrices of those layers. Published for 32
    layers: l = 7, c = 20 (6.5 for Zephyr), alpha 100 to 1200, rate 5e-5. Both follow the model here (open):
    l by relative depth, c as a multiple of the median length of h_l on the forget set: 20, the published c
    where h_l has length 1. Means are over all tokens of a text, as there, prompt included.
    """

    name = "rmu"
    shards = True
    lora = False
    paper = "2403.03218"
    rate_scale = 5.0  # 5e-5: three matrices have to do it

    class Config(MethodConfig):
        depth: float = Field(7 / 32, ge=0, lt=1, description="l as a share of the layers; at least layer 2")
        strength: float = Field(20.0, gt=0, description="c as a multiple of the median length of h_l")
        alpha: float = Field(20.0, ge=0, description="weight of the retain loss")

    def prepare(self, job):
        """Choose l, draw u, and keep the old matrices."""
        layers = models.blocks(job.model)
        self.layer = min(max(round(self.config.depth * len(layers)), 2), len(layers) - 1)
        low = max(0, self.layer - 2)
        last = [neurons.feed_forward(layer).out for layer in layers[low : self.layer + 1]]
        self.trained = [module.get_parameter("weight") for module in last]
        self.old = [weight.detach().clone() for weight in self.trained]
        length = self.typical_length(job)
        _, width = neurons.sizes(neurons.feed_forward(layers[self.layer]).out)
        u = torch.rand(width, generator=job.generator("rmu")).to(self.old[0])
        self.target = self.config.strength * length * u / u.norm()
        job.notes.update(layer=self.layer, c=self.config.strength * length, typical_length=length)

    @torch.no_grad()
    def typical_length(self, job):
        """Median length of h_l over the tokens of the forget set: a first token's is often a hundredfold."""
        lengths = []
        for texts in job.runs(job.encode(job.forget)):
            states = neurons.hidden(job.model, texts, self.layer)[texts.attention_mask.bool()]
            lengths.append(states.norm(dim=-1))
        return torch.cat(lengths).median().item()

    def trainable(self, model):
        """The last feed-forward maps of layers l-2..l."""
        return self.trained

    def loss(self, model, batch):
        """MSE(h_l(x_f), c u) + alpha MSE(h_l(x_r), h_l^0(x_r))."""
        forget = neurons.hidden(model, batch.forget, self.layer) - self.target
        yield "forget", mean_square(forget, batch.forget)
        with torch.no_grad(), models.restored(self.trained, self.old):
            before = neurons.hidden(model, batch.retain, self.layer)
        retain = neurons.hidden(model, batch.retain, self.layer) - before
        yield "retain", self.config.alpha * mean_square(retain, batch.retain)


def mean_square(difference, texts):
    """Mean square of (B, T, d) over dimensions and a text's tokens, then over the texts of the step."""
    inside = texts.attention_mask
    each = (losses.full_precision(difference).pow(2).mean(dim=-1) * inside).sum(dim=1) / inside.sum(dim=1)
    return each.sum() / texts.step_items
