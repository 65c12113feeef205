"""The base class of modifiers, which wrap any gradient method. Its docstring is the manual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import HarnessError
from .base import Method
from .batch import Batch, Stage
from .benchmark import Plugin
from .config import Config, ModifierConfig
from .jobs import Gradients, Step, UnlearningJob
from .types import Splits

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Modifier(Plugin):
    """Changes how a gradient method unlearns, whichever it is: ``npo+mine`` is ``npo``, modified by ``mine``.

    It has a method's hooks. Each hands on to :attr:`base` what it wraps, and a modifier overrides those that
    it changes: how the gradients of a step are made, the loss, the optimiser, the stages, or what becomes of
    the model that is left. In ``npo+a+b`` the base of ``b`` is ``npo+a``.
    """

    Config: ClassVar[type[Config]] = ModifierConfig

    identity: ClassVar[Mapping[str, Any]] = {}
    """Settings with which it changes nothing: the same weights as without it, bit for bit."""

    reads: ClassVar[frozenset[str]] = frozenset()
    """Splits it may see beside ``forget`` and ``retain``, in ``job.data``."""

    buffers: ClassVar[float] = 0.0
    """Tensors as large as all that trains that a step keeps beside those of the method."""

    def __init__(self, config: Any, base: Method | Modifier) -> None:
        super().__init__(config)
        self.base = base

    @property
    def method(self) -> Method:
        """The method at the bottom, without any modifier."""
        return self.base.method if isinstance(self.base, Modifier) else self.base

    @classmethod
    def refuses(cls, method: type[Method], config: Any) -> str | None:
        """Return why it makes no sense over a method with these settings, as a clause; None if it does."""
        return None

    def lacks(self, splits: Splits) -> str | None:
        """Return why it cannot run on these facts, as a clause, or None if it can. Asked by the plan."""
        return self.base.lacks(splits)

    def prepare(self, job: UnlearningJob) -> None:
        """Compute what is needed of the original model. Called once, before any rate is tried."""
        self.base.prepare(job)

    def stop_score(self, job: UnlearningJob) -> float | None:
        """Return what is held against the value of the method's ``stop``."""
        return self.base.stop_score(job)

    def start(self, model: nn.Module) -> None:
        """Forget what an earlier rate left behind. Called when a rate starts from the original again."""
        self.base.start(model)

    def stages(self, job: UnlearningJob, steps: int) -> Sequence[Stage]:
        """Return which facts are forgotten at which of a rate's steps."""
        return self.base.stages(job, steps)

    def new_epoch(self, job: UnlearningJob, epoch: int) -> None:
        """Prepare a pass over the forget set, the first (0) included."""
        self.base.new_epoch(job, epoch)

    def trainable(self, model: nn.Module) -> Iterable[nn.Parameter]:
        """Return the parameters that train."""
        return self.base.trainable(model)

    def loss(self, model: nn.Module, batch: Batch) -> Any:
        """Return or yield the loss of a micro-batch, in terms with names."""
        return self.base.loss(model, batch)

    def step_gradients(self, step: Step, by_name: bool = False) -> Gradients:
        """Return the gradients of a step by the names of the loss's terms, or (not ``by_name``) their sum.

        Ask the base for them, by name where terms are treated differently, as often and with whatever weights
        are needed. :meth:`forget_and_retain` parts them.
        """
        return self.base.step_gradients(step, by_name)

    def after_backward(self, model: nn.Module) -> None:
        """Edit the gradients of a whole optimisation step, just before the optimiser sees them."""
        self.base.after_backward(model)

    def optimizer(self, parameters: Sequence[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """Return the optimiser."""
        return self.base.optimizer(parameters, lr)

    def finish(self, job: UnlearningJob) -> bool:
        """Act on the model that is left; True where it was changed. First the base's turn, then one's own."""
        return self.base.finish(job)

    def forget_and_retain(self, step: Step) -> tuple[dict[nn.Parameter, Tensor], dict[nn.Parameter, Tensor]]:
        """The base's gradient of all that forgets, and that of the term ``retain``, by parameter.

        Raises HarnessError for a loss whose terms have no names, unless the method says that it retains
        nothing.
        """
        gradients = self.base.step_gradients(step, by_name=True)
        if self.method.retains and "" in gradients:
            raise HarnessError(
                f"The loss of '{self.method.name}' does not say which of its terms forgets, as {self.name} "
                'needs it: yield each with a name ("forget", "retain"), or set retains = False.'
            )
        forget: dict[nn.Parameter, Tensor] = {}
        for name, term in gradients.items():
            for parameter, gradient in term.items() if name != "retain" else ():
                forget[parameter] = forget[parameter] + gradient if parameter in forget else gradient
        return forget, gradients.get("retain", {})
