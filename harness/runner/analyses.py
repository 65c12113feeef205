"""The analyses of a run: which are made of each unlearned model, and which after its attacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.base import Analysis
from ..core.config import TrainingConfig
from ..plugins.selection import Selection
from ..plugins.settings import Overrides, resolve
from .plan import Spec, spec


@dataclass(frozen=True, slots=True)
class Analyses:
    """The analyses of a run: of unlearned models, and of what attacks that train make of them."""

    before: tuple[Spec, ...] = ()
    after: tuple[Spec, ...] = ()
    training: frozenset[str] = frozenset()
    """Names of the attacks that train."""


NO_ANALYSES = Analyses()


def analyses_of(
    selection: Selection,
    overrides: Overrides,
    attacks: Sequence[Spec],
    benchmark: str,
    left_out: list[str],
) -> Analyses:
    """The analyses with their settings; one that needs an attack that trains is left out without any."""
    before, after = [], []
    classes = {choice.entry.name: choice.entry.load() for choice in selection.attacks}
    trained = (attack.name for attack in attacks if issubclass(classes[attack.name].Config, TrainingConfig))
    training = frozenset(trained)
    for entry in selection.analyses:
        cls: type[Analysis] = entry.load()  # type: ignore[assignment]
        chosen = spec(entry, resolve(cls, overrides.get(entry, {})))
        if not cls.attacked:
            before.append(chosen)
        elif training:
            after.append(chosen)
        else:
            left_out.append(
                f"{cls.name} on {benchmark}: it looks at models after an attack that trains, and none does."
            )
    return Analyses(tuple(before), tuple(after), training)
