"""What all tasks of a run share, and how a worker loads a model under test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.events import Event, Tell
from ..core.memory import NO_SAVINGS, MemorySavings
from ..core.types import Sample
from ..engine import note
from ..engine.pair import Pair
from ..engine.source import Source
from ..engine.targets import trained_path
from ..errors import HarnessError
from ..plugins.registry import Registry
from ..plugins.uninstalled import Uninstalled
from ..store.scores import read_samples
from .plan import Group, Reference, Spec, Target, Task
from .planner import loaded
from .ranks import Rank

if TYPE_CHECKING:
    from torch import nn

    from ..engine.under_test import ModelUnderTest


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What all tasks of a run share."""

    source: Source
    results: Path
    cache: Path
    threads: int = 1
    micro_batch: int | None = None
    most_damage: float | None = None
    """KL(original || model) in nats a token beyond which unlearning stops; None sets no limit."""
    plugins: tuple[Uninstalled, ...] = ()
    """Plugins that are not installed."""
    keep: str = "none"
    """Which unlearned models are kept: ``none``, ``best`` of each method's seeds, or ``all``."""
    pair: Pair | None = None
    """The models that are taken as they are, where there are such: ``source`` is its original."""
    savings: MemorySavings = NO_SAVINGS
    """How training needs less memory."""
    device: str = ""
    """``cpu``, ``cuda``, ``cuda:1`` or ``mps``; nothing is the first GPU there is, or else the CPU."""
    deterministic: bool = False
    """Whether only kernels run that repeat themselves to the bit."""
    elsewhere: bool = False
    """Whether tasks are done on other machines, which may have other plugins than this one."""
    rank: Rank | None = None
    """Which of the processes that hold a model together this is; None where one holds it alone."""

    @property
    def leads(self) -> bool:
        """Whether this process writes what was found: the only one, or the first."""
        return self.rank is None or self.rank.leads

    def meet(self, moment: str, worked: bool) -> frozenset[bool]:
        """Whether it worked for all processes that hold the model, as :meth:`Rank.meet` says it."""
        return self.rank.meet(moment, worked) if self.rank else frozenset({worked})

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where all models come from that the run was given."""
        return self.pair.sources if self.pair else (self.source,)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a worker's process that decide what it computes on."""
        chosen = {}
        if self.device == "cpu":
            chosen = {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
        if self.deterministic:  # what cuBLAS needs to repeat itself
            chosen["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        return chosen

    def placed(self, results: Path, cache: Path) -> WorkerContext:
        """The same, in other directories."""
        source, pair = replace(self.source, cache=cache), self.pair
        if pair:
            pair = Pair(*(replace(each, cache=cache) for each in pair.sources))
        return replace(self, results=results, cache=cache, source=source, pair=pair)

    def needs(self, task: Task) -> list[str]:
        """What a task reads of the cache, as paths in there: trained models, converted ones, and scores."""
        converted = {f"models/{source.converted.name}" for source in self.sources if source.file}
        if isinstance(task, Group):
            scores = {f"twins/{reference.key}.parquet" for reference in task.references}
            return sorted({f"targets/{key}" for key in task.trained_models} | scores | converted)
        if isinstance(task, Reference):
            screening = {f"twins/{task.screening.key}.parquet"} if task.screening else set()
            return sorted(({f"targets/{task.target}"} if task.trained else set()) | screening | converted)
        return sorted(converted) if isinstance(task, Target) else []

    def path(self, role: str, recipe: str, trained: bool) -> Path:
        """Where a model is: in the cache if its recipe trains it, and else where it comes from."""
        return trained_path(self.cache, recipe) if trained else self._taken(role).local()

    def check(self, role: str, path: Path, trained: bool, model: nn.Module) -> str:
        """The fingerprint of the weights that were loaded. Raises ModelError where they are others."""
        if trained:
            return note.check(path, model)
        from ..model import models

        return self._taken(role).check(path, model) or models.weights_fingerprint(model)

    def _taken(self, role: str) -> Source:
        """Where a model comes from that is taken as it is."""
        return self.pair.retrain if self.pair and self.pair.retrain and role == "retrain" else self.source

    def screen(self, subject: ModelUnderTest, screening: Reference | None) -> None:
        """Have the subject asked only what the original answers, where that was found out.

        Raises HarnessError where its scores are not there.
        """
        if screening is None:
            return
        from ..engine.screening import apply

        samples = self.samples(screening)
        subject.splits, subject.screened = apply(subject.benchmark, subject.splits, samples)

    def samples(self, reference: Reference) -> list[Sample]:
        """What a model scores. Raises HarnessError where that is not there."""
        path = reference.path(self.cache)
        if (samples := read_samples(path)) is None:
            who = "retrain twin" if reference.role == "retrain" else "original model"
            raise HarnessError(
                f"The scores of the {who} are not in {path}: it could not be scored, or the file "
                "was removed. Run again to have it scored."
            )
        return samples

    def load(
        self, spec: Spec, registry: Registry, path: Path, tell: Tell, task: str, twin: Path | None = None
    ) -> ModelUnderTest:
        """The model in ``path`` with the benchmark it is tested on; its progress is told under ``task``."""
        from ..engine.under_test import ModelUnderTest
        from ..model import loading, models, sharding
        from ..model.tokens import PromptTokenizer

        benchmark, splits = loaded(spec, registry)
        source = self.source
        # A GPU need not have room for the whole model: it is spread from the memory of the CPU.
        device = "cpu" if self.rank else None
        model, tokenizer = loading.load(path, source.dtype, source.trust_remote_code, device)
        if self.rank:
            model = sharding.shard(model, models.blocks(model))
        return ModelUnderTest(
            model,
            PromptTokenizer(tokenizer, source.frame),
            benchmark,
            splits,
            source.protocol,
            retrain=twin,
            noted=self.pair is None,
            dtype=source.dtype,
            trust_remote_code=source.trust_remote_code,
            micro_batch=self.micro_batch,
            most_damage=self.most_damage,
            savings=self.savings,
            advance=lambda what, done, total, value=None: tell(Event(task, what, done, total, value=value)),
        )
