"""Values of facts under several seeds, crossed: as the arrays that statistics are made of.

Nearly always all methods were asked the same facts under the same seeds. Then an array is made once, and what
is of one shape is computed at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from functools import cached_property, lru_cache
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

import numpy as np

BySeed = Mapping[int, Mapping[str, float]]
"""Per seed, per fact id, the value of one metric."""

T = TypeVar("T")

Clusters = Mapping[str, str]
"""Per fact id, what it is grouped by. A fact that is not in it, and each without any, is its own cluster."""


class Facts(NamedTuple):
    """Facts as they come, and as they are kept: sorted, each once."""

    names: tuple[str, ...]
    position: Mapping[str, int]
    last: np.ndarray | None
    """Where each of them came last; None where all came once and in this order."""


@lru_cache(1 << 14)
def facts_of(names: tuple[str, ...]) -> Facts:
    """One object for equal names."""
    last = {fact: place for place, fact in enumerate(names)}
    ordered = tuple(sorted(last))
    places = None if ordered == names else np.array([last[fact] for fact in ordered], dtype=int)
    return Facts(_one(ordered), {fact: place for place, fact in enumerate(ordered)}, places)


class Values(Mapping[str, float]):
    """The value of each fact under one seed: ``facts``, sorted, and ``array`` [facts]."""

    __slots__ = ("_facts", "array")

    def __init__(self, facts: Facts, values: np.ndarray) -> None:
        """As they come; of a fact that comes twice the last value counts."""
        self._facts = facts
        self.array: np.ndarray = values if facts.last is None else values[facts.last]

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts, as ``array`` has them: one object for equal ones."""
        return self._facts.names

    def joined(self, other: Values) -> Values:
        """With the values of another, which count where both have one."""
        facts = facts_of((*self.facts, *other.facts))
        return Values(facts, np.concatenate([self.array, other.array]))

    def less(self, other: Values) -> Values:
        """The differences from another, of the facts that both have."""
        if self.facts is other.facts:
            return Values(facts_of(self.facts), self.array - other.array)
        both = tuple(fact for fact in self.facts if fact in other)
        return Values(facts_of(both), np.array([self[fact] - other[fact] for fact in both], dtype=float))

    def filled(self, value: float) -> Values:
        """The same facts with one value."""
        return Values(facts_of(self.facts), np.full(len(self), value))

    def __contains__(self, fact: object) -> bool:
        return fact in self._facts.position

    def __getitem__(self, fact: str) -> float:
        return float(self.array[self._facts.position[fact]])

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def items(self) -> ItemsView[str, float]:
        """Its facts and their values, at once."""
        return dict(zip(self.facts, self.array.tolist(), strict=True)).items()

    def values(self) -> ValuesView[float]:
        """Its values, at once."""
        return dict(self.items()).values()


class Sampled(dict[int, Values]):
    """The values of each seed, which do not change once they were looked at."""

    @cached_property
    def whole(self) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray] | None:
        """The facts, the seeds and the values [seeds, facts], sorted; None where seeds have other facts."""
        seeds = tuple(sorted(self))
        facts = self[seeds[0]].facts if seeds else ()
        if not facts or any(values.facts is not facts for values in self.values()):
            return None
        return facts, _one(seeds), np.array([self[seed].array for seed in seeds])

    def less(self, other: Sampled) -> Sampled:
        """The differences of each seed and fact that both have."""
        both = {seed: values.less(other[seed]) for seed, values in self.items() if seed in other}
        return Sampled({seed: values for seed, values in both.items() if values})


@lru_cache(1 << 14)
def _one(names: T) -> T:
    """One object for all that are equal: whether two are is nearly always asked of equal ones."""
    return names


def aligned(*samples: BySeed) -> np.ndarray:
    """[samples, seeds, facts] over all their seeds and facts, NaN where one has no value.

    Sorted: no sum depends on the order they came in. Raises ValueError when there is no value at all.
    """
    if _shared(samples) is not None:
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
    shared = _shared(samples)
    facts = shared[0] if shared else _facts(samples)
    own = [(clusters or {}).get(fact, fact) for fact in facts]
    places = {name: place for place, name in enumerate(sorted({*own}))}
    return None if len(places) == len(facts) else np.array([places[name] for name in own])


def one_of(clusters: Sequence[Clusters]) -> Clusters:
    """What the facts of all are grouped by: nearly always one object."""
    first = clusters[0] if clusters else {}
    if all(own is first for own in clusters):
        return first
    return {fact: own for each in clusters for fact, own in each.items()}


def _shared(samples: Sequence[BySeed]) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Facts and seeds, where all samples have the same; None where they do not."""
    first = None
    for each in samples:
        whole = each.whole if isinstance(each, Sampled) else None
        if whole is None or (first and (whole[0] is not first[0] or whole[1] is not first[1])):
            return None
        first = whole[:2]
    return first


def _facts(samples: Sequence[BySeed]) -> list[str]:
    return sorted(set().union(*(own for each in samples for own in each.values())))


AT_ONCE = 1 << 16
"""Values of one array at the most, unless one item has more: a processor's cache holds some of these."""


def alike(
    samples: Sequence[Sequence[BySeed]], clusters: Sequence[Clusters | None]
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray | None]]:
    """What is of one shape and has its clusters in the same places, as one array.

    Yields the places among ``samples``, the values [places, samples, seeds, facts] as :func:`aligned` has
    them, and the clusters as :func:`numbered` has them. Where there are many, some of them at a time.
    """
    shapes: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    others: dict[int, np.ndarray] = {}
    numbers: dict[tuple[int, int], np.ndarray | None] = {}
    of_shape: dict[tuple[Any, ...], np.ndarray | None] = {}
    for place, (own, by) in enumerate(zip(samples, clusters, strict=True)):
        shared = _shared(own)
        if shared is None:
            others[place], of = aligned(*own), numbered(by, *own)
            size: tuple[int, ...] = others[place].shape
        else:
            known = id(shared[0]), id(by)
            if known not in numbers:
                numbers[known] = numbered(by, *own)
            of, size = numbers[known], (len(own), *map(id, shared))
        shape = size, None if of is None else of.tobytes()
        of_shape[shape] = of
        shapes[shape].append(place)
    for shape, places in shapes.items():
        values = (others[places[0]] if places[0] in others else aligned(*samples[places[0]])).size
        step = max(1, AT_ONCE // values)
        for part in (places[begin : begin + step] for begin in range(0, len(places), step)):
            y = [others[i] if i in others else [each.whole[2] for each in samples[i]] for i in part]  # type: ignore[attr-defined]
            yield part, np.array(y), of_shape[shape]
