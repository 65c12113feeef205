"""Values of facts under several seeds, crossed: as the arrays that statistics are made of.

Nearly always all methods were asked the same facts under the same seeds. Then an array is made once, and what
is of one shape is computed at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import repeat
from typing import Any, TypeVar

import numpy as np

BySeed = Mapping[int, Mapping[str, float]]
"""Per seed, per fact id, the value of one metric."""

T = TypeVar("T")

Clusters = Mapping[str, str]
"""Per fact id, what it is grouped by. A fact that is not in it, and each without any, is its own cluster."""


class Values(dict[str, float]):
    """The value of each fact under one seed, which does not change once it was looked at."""

    @cached_property
    def facts(self) -> tuple[str, ...]:
        """Its facts, sorted."""
        return _one(tuple(sorted(self)))


class Sampled(dict[int, Values]):
    """The values of each seed, which do not change once they were looked at."""

    @cached_property
    def whole(self) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray] | None:
        """The facts, the seeds and the values [seeds, facts], sorted; None where seeds have other facts."""
        seeds = tuple(sorted(self))
        facts = self[seeds[0]].facts if seeds else ()
        if not facts or any(values.facts is not facts for values in self.values()):
            return None
        return facts, _one(seeds), np.array([[self[seed][fact] for fact in facts] for seed in seeds], float)


@lru_cache(1 << 14)
def _one(names: T) -> T:
    """One object for all that are equal: whether two are is nearly always asked of equal ones."""
    return names


def aligned(*samples: BySeed) -> np.ndarray:
    """[samples, seeds, facts] over all their seeds and facts, NaN where one has no value.

    Sorted: no sum depends on the order they came in. Raises ValueError when there is no value at all.
    """
    if _shared(samples):
        return np.array([each.whole[2] for each in samples])  # type: ignore[attr-defined]
    seeds = sorted({seed for each in samples for seed, facts in each.items() if facts})
    facts = _facts(samples)
    if not facts:
        raise ValueError("an interval needs at least one value")
    missing = repeat(np.nan)
    rows = [[[*map(each.get(s, {}).get, facts, missing)] for s in seeds] for each in samples]
    return np.array(rows, dtype=float)


def numbered(clusters: Clusters | None, *samples: BySeed) -> np.ndarray | None:
    """The number of the cluster of each fact, as :func:`aligned` sorts them; None if all are their own."""
    facts = _shared(samples) or _facts(samples)
    own = [(clusters or {}).get(fact, fact) for fact in facts]
    places = {name: place for place, name in enumerate(sorted({*own}))}
    return None if len(places) == len(facts) else np.array([places[name] for name in own])


def _shared(samples: Sequence[BySeed]) -> tuple[str, ...] | None:
    """The facts, where all samples have the same ones under the same seeds; None where they do not."""
    wholes = [each.whole if isinstance(each, Sampled) else None for each in samples]
    first = wholes[0] if wholes else None
    if first is None:
        return None
    same = all(whole and whole[0] is first[0] and whole[1] is first[1] for whole in wholes)
    return first[0] if same else None


def _facts(samples: Sequence[BySeed]) -> list[str]:
    return sorted(set().union(*(own for each in samples for own in each.values())))


def alike(
    samples: Sequence[Sequence[BySeed]], clusters: Sequence[Clusters | None]
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray | None]]:
    """What is of one shape and has its clusters in the same places, as one array.

    Yields the places among ``samples``, the values [places, samples, seeds, facts] as :func:`aligned` has
    them, and the clusters as :func:`numbered` has them.
    """
    shapes: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    values = [aligned(*own) for own in samples]
    of = [numbered(by, *own) for by, own in zip(clusters, samples, strict=True)]
    for place, (y, numbers) in enumerate(zip(values, of, strict=True)):
        shapes[y.shape, None if numbers is None else numbers.tobytes()].append(place)
    for places in shapes.values():
        yield places, np.stack([values[place] for place in places]), of[places[0]]
