"""The base classes of methods, attacks and analyses. Each docstring is the manual.

No heavy import here: plugins are listed without loading torch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .batch import Batch, Stage
from .benchmark import Plugin
from .config import AnalysisConfig, Config, MethodConfig
from .jobs import AnalysisJob, AttackJob, Gradients, Step, UnlearningJob
from .optimizers import adamw
from .types import Finding, Splits

if TYPE_CHECKING:
    import torch


class Method(Plugin):
    """Turns the original model into an unlearned one.

    Most methods are :meth:`loss` alone. The engine runs the shared protocol around it: for each learning
    rate of the grid, lowest first, start from the original, step until the benchmark's forgetting threshold
    is reached, and keep the first rate that reaches it within the budget.
    """

    Config: ClassVar[type[Config]] = MethodConfig

    needs_twin: ClassVar[bool] = False
    """True when it reads the retrain twin; it is left out where a benchmark cannot make one."""

    seeded: ClassVar[bool] = True
    """False when the result does not depend on the seed; its seeds then share one unlearned model."""

    worth_keeping: ClassVar[bool] = True
    """False when its model is there already, as that of the controls is: ``--keep`` keeps none of it."""

    lora: ClassVar[bool] = True
    """False when the definition says which parameters train, or looks at each of them."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Settings that are None by default and without which it cannot run: ``all`` leaves it out until then."""

    rate_scale: ClassVar[float] = 1.0
    """The method's published learning rate over the 1e-5 of the shared grid."""

    stop: ClassVar[tuple[str, float] | None] = None
    """Metric of split ``forget`` and value at which to stop instead of the benchmark's threshold."""

    shards: ClassVar[bool] = False
    """True where it was tested with a model that is spread over several processes: weights are DTensors then.

    Each class says so for itself: one that derives from it may do what needs them whole.
    """

    retains: ClassVar[bool] = True
    """False when no term of its loss holds what should stay, so that none is called ``retain``."""

    reads: ClassVar[frozenset[str]] = frozenset()
    """Splits it may see beside ``forget`` and ``retain``, in ``job.data``."""

    buffers: ClassVar[float] = 0.0
    """Tensors as large as all that trains that a step keeps beside weights, gradient and the optimiser's: a
    plan says how much memory a cell takes."""

    def loss(self, model: torch.nn.Module, batch: Batch) -> Any:
        """Return the scalar to minimise on ``batch.forget`` and ``batch.retain``, or yield its terms.

        Terms are added up; one may carry a name, ``yield "forget", term``. Each is differentiated before the
        next is computed, so that only one graph of activations is in memory at a time. Normalise by
        ``step_items`` or ``step_tokens``, not by the batch's shape: they count the whole optimisation step,
        so that gradient accumulation equals the big batch.
        """
        raise NotImplementedError(f"{type(self).__name__} overrides neither loss() nor unlearn()")

    def prepare(self, job: UnlearningJob) -> None:
        """Compute what the loss needs from the original model. Called once, before any rate is tried."""

    def stop_score(self, job: UnlearningJob) -> float | None:
        """Return what is held against the value of ``stop``; None has the benchmark measure it."""
        return None

    def start(self, model: torch.nn.Module) -> None:
        """Forget what an earlier rate left behind. Called when a rate starts from the original again."""

    def new_epoch(self, job: UnlearningJob, epoch: int) -> None:
        """Prepare a pass over the forget set, the first (0) included: draw samples, choose facts."""

    def stages(self, job: UnlearningJob, steps: int) -> Sequence[Stage]:
        """Return which facts are forgotten at which of a rate's steps. All at each, unless it says else."""
        return [Stage(steps)]

    def step_gradients(self, step: Step, by_name: bool = False) -> Gradients:
        """Return the gradients of a step; ``by_name`` those of each term, and else their sum named ""."""
        return step.gradients(by_name)

    def combine(
        self, model: torch.nn.Module, gradients: Mapping[str, Mapping[torch.nn.Parameter, torch.Tensor]]
    ) -> None:
        """Set the gradients of a step from those of its terms, by the terms' names.

        Overriding it has them kept apart, at the cost of their memory; otherwise they are added up.
        """

    def after_backward(self, model: torch.nn.Module) -> None:
        """Edit the gradients of a whole optimisation step, just before the optimiser sees them."""

    def trainable(self, model: torch.nn.Module) -> Iterable[torch.nn.Parameter]:
        """Return the parameters that train."""
        return model.parameters()

    def optimizer(self, parameters: Sequence[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """Return the optimiser. AdamW unless the method says otherwise.

        While it steps, parameters and gradients of a model in bfloat16 are in float32 (masters, rounded back
        afterwards). What it keeps outside ``optimizer.state`` must be made in its ``step`` or in float32.
        """
        return adamw(parameters, lr, self.config.weight_decay)

    def finish(self, job: UnlearningJob) -> bool:
        """Act on the model that the protocol left; return True where it was changed, to be looked at again.

        Not called where the original counts as forgotten already.
        """
        return False

    def lacks(self, splits: Splits) -> str | None:
        """Return why it cannot run on these facts, as a clause, or None if it can. Asked by the plan."""
        return None

    def unlearn(self, job: UnlearningJob) -> None:
        """Change ``job.model`` in place. Override for what is no gradient method."""
        job.run_protocol(self)


class Attack(Plugin):
    """Tries to bring the knowledge back.

    ``reads`` names the splits the attacker may see; the engine hands over nothing else. ``variants`` are the
    published settings that are run as cells of their own, e.g. ``{"p=0.1": {"p": 0.1}}``. An instance may
    read less than its class, where a setting decides.
    """

    reads: frozenset[str] = frozenset()
    rates: ClassVar[tuple[float, ...]] = ()
    """Published learning rates, for 1B-8B models; scaled to the target where the config names none."""

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"": {}}

    shards: ClassVar[bool] = False
    """True where it was tested with a model that is spread over several processes, as of a method."""

    needs_original: ClassVar[bool] = False
    """True for an attacker who also has the model before unlearning; its weights are then kept."""

    @abstractmethod
    def attack(self, job: AttackJob) -> None:
        """Attack ``job.model``, recording the forget score at checkpoints with ``job.checkpoint()``.

        The cell's score is the maximum over checkpoints. Facts used for training are taken out of the
        scored ones with ``job.score_only()`` before the first checkpoint.
        """

    def lacks(self, splits: Splits) -> str | None:
        """Return why it cannot run on these facts, as a clause, or None if it can. Asked by the plan."""
        missing = [name for name in sorted(self.reads) if not splits.get(name)]
        return f"the benchmark has no split '{missing[0]}'" if missing else None


class Analysis(Plugin):
    """Looks into the models for where the knowledge is, before and after unlearning.

    It compares the original with the unlearned model, and is run once for each unlearned model. One that is
    ``attacked`` compares the model after an attack as well, and is run once for each setting of an attack
    that trains.
    """

    Config: ClassVar[type[Config]] = AnalysisConfig

    attacked: ClassVar[bool] = False
    """True when it asks for the model after an attack, too: it is then run for each such attack instead."""

    @abstractmethod
    def analyse(self, job: AnalysisJob) -> Iterable[Finding]:
        """Return, or yield, the numbers of its figures and tables.

        At least one, each finite: what cannot be computed is left out. Weights, facts and the mode of
        ``job.model`` must be afterwards as they were. Raise HarnessError with a sentence for a model without
        the parts that it needs.
        """


def shards(cls: type) -> bool:
    """Whether a class says of itself that it does with a model that is spread over several processes."""
    return vars(cls).get("shards", False) is True
