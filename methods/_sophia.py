"""Sophia, the second-order optimiser of SIMU and of second-order unlearning (SOUL)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from harness import sharding


class Sophia(torch.optim.Optimizer):
    """theta <- theta - lr clip(m_t / max(rho H_t, eps), 1), with decoupled weight decay.

    m is the moving average of gradients, H that of a diagonal Gauss-Newton estimate (Sophia, 2305.14342,
    algorithm 3). Whoever has an estimate gives it to :meth:`observe`. ``clipped`` and ``seen`` count entries
    that move: those without any moment, such as masked ones, are not seen.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        rho: float = 0.04,
        eps: float = 1e-15,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "betas": betas, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        )
        self.clipped, self.seen = 0, 0

    @torch.no_grad()
    def observe(self, estimates: dict[nn.Parameter, Tensor]) -> None:
        """H <- beta_2 H + (1 - beta_2) estimate."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter in estimates:
                    curvature = self._of(parameter)["H"]
                    curvature.lerp_(estimates[parameter].to(curvature), 1 - group["betas"][1])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self._of(parameter)
                state["m"].lerp_(parameter.grad.to(state["m"]), 1 - group["betas"][0])
                ratio = state["m"] / (group["rho"] * state["H"]).clamp(min=group["eps"])
                self.clipped += int(sharding.whole((ratio.abs() > 1).sum()))
                self.seen += int(sharding.whole((ratio != 0).sum()))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(ratio.clamp(-1, 1), alpha=-group["lr"])

    def _of(self, parameter: nn.Parameter) -> dict[str, Any]:
        state = self.state[parameter]
        if not state:
            # In float32 at least: observe() meets parameters in the model's own format, which may be coarse.
            fine = torch.promote_types(parameter.dtype, torch.float32)
            state["m"], state["H"] = (torch.zeros_like(parameter, dtype=fine) for _ in range(2))
        return state
