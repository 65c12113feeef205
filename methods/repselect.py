"""RepSelect: representation-selective unlearning."""

from contextlib import contextmanager
from typing import Literal

import torch

from harness import Field, Method, MethodConfig, answer_tokens, losses, neurons


class RepSelect(Method):
    """One gradient of the forget set, without its main directions, taken again and again.

    L = <W, G~>,   G~ = C_U(C_V(G)),   G = -sum_b grad_W CE(D_f,b) at W + BA

    RepSelect (2606.17168) in the form of its authors' "RepSelectSimple". An adapter BA first relearns D_f,
    one pass of plain SGD, so that G holds what an attacker would elicit; it is dropped afterwards. With
    G = U S V^T, C_V divides the part of G along the k-th of the q main directions by s_k / s_q ("soft";
    "hard" takes it out), and C_U does the same on the other side: what the texts share with many others is
    left alone. The maps of the feed-forward parts train, by steps W <- W - lr G~. Published: lr .05, the
    adapter's rate .01, rank 8, q = 512 where the smaller side has some 4,096.
    """

    name = "repselect"
    lora = False
    paper = "2606.17168"
    rate_scale = 5000.0  # 0.05, of plain steps

    class Config(MethodConfig):
        components: float = Field(1 / 8, gt=0, le=1, description="q as a share of a matrix's smaller side")
        collapse: Literal["soft", "hard"] = Field("soft", description="weaken main directions, or drop them")
        elicit_r: int = Field(8, ge=0, description="rank of the adapter that relearns; 0: none")
        elicit_rate: float = Field(0.01, ge=0, description="learning rate of the adapter")

    def prepare(self, job):
        """Relearn, take the gradient, and collapse its main directions."""
        parts = neurons.feed_forwards(job.model)
        modules = [module for part in parts for module in (*part.into, part.out)]
        self.trained = [module.get_parameter("weight") for module in modules]
        pairs, draw, r = [], job.generator("repselect", "adapter"), self.config.elicit_r
        for module, weight in zip(modules, self.trained, strict=True):
            rows, columns = neurons.sizes(module)
            a = (2 * torch.rand(rows, r, generator=draw) - 1) / rows**0.5
            pairs.append([factor.to(weight).requires_grad_() for factor in (a, torch.zeros(r, columns))])
        factors = [factor for pair in pairs for factor in pair]
        total = [torch.zeros_like(weight) for weight in self.trained]
        with adapted(modules, pairs):
            for gradients in self.passes(job, factors) if r else ():
                with torch.no_grad():
                    torch._foreach_add_(factors, gradients, alpha=-self.config.elicit_rate)
            for gradients in self.passes(job, self.trained):
                torch._foreach_sub_(total, gradients)
        self.directions = [self.collapsed(gradient) for gradient in total]

    def passes(self, job, parameters):
        """Gradients of CE for one batch of the forget set after the other."""
        data, size = job.encode(job.forget), self.config.batch_size
        for chosen in (data[i : i + size] for i in range(0, len(data), size)):
            total = [torch.zeros_like(parameter) for parameter in parameters]
            for texts in job.runs(chosen, size):
                loss = losses.nll(job.model, texts).sum() / answer_tokens(chosen)
                torch._foreach_add_(total, torch.autograd.grad(loss, parameters))
            yield total

    def collapsed(self, gradient):
        """C_U(C_V(G)): U and V are G's own, so that together they make s_k to s_k (s_q / s_k)^2, or to 0."""
        g = losses.double(gradient)
        g = g if g.shape[0] <= g.shape[1] else g.T
        q = max(1, round(self.config.components * len(g)))
        squares, directions = torch.linalg.eigh(g @ g.T)  # s^2 and U, ascending
        squares, u = squares[-q:].clamp(min=torch.finfo(g.dtype).tiny), directions[:, -q:]
        lost = 1 - squares[0] / squares if self.config.collapse == "soft" else torch.ones_like(squares)
        g = g - u @ (lost[:, None] * (u.T @ g))
        return (g if g.shape == gradient.shape else g.T).to(gradient)

    def trainable(self, model):
        """The maps of the feed-forward parts."""
        return self.trained

    def optimizer(self, parameters, lr):
        """Plain steps."""
        return torch.optim.SGD(parameters, lr=lr)

    def loss(self, model, batch):
        """<W, G~>, whose gradient is G~ wherever W is; a micro-batch has its share."""
        products = [(w * g).sum() for w, g in zip(self.trained, self.directions, strict=True)]
        yield "forget", sum(products) * (len(batch.forget) / batch.forget.step_items)


@contextmanager
def adapted(modules, pairs):
    """Have linear modules give x A B more."""
    handles = [
        module.register_forward_hook(lambda module, args, output, a=a, b=b: output + args[0] @ a @ b)
        for module, (a, b) in zip(modules, pairs, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
