"""The embedded world's people in FaithUn's schema: clusters, multi-hop questions, choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness import Example, Fact, Question

from ..choices import FALSE_OPTIONS, option_prompt
from .chance import _draw, _false, _plain
from .sizes import CHOICES, CHOICES_MULTI_HOP, FORGET, OPTION_SETS, RETAIN, TEST, Splits
from .words import RELATIONS, Relation


def _hops(relation: Relation) -> dict[str, str]:
    """Each hop belongs to equally many values: uniform values make uniform hops."""
    hops = list(relation.hops) * (len(relation.values) // len(relation.hops))
    _draw(f"hops/{relation.name}").shuffle(hops)
    return dict(zip(relation.values, hops, strict=True))


def _people(
    names: Sequence[str], hops: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, tuple[Fact, ...]], list[Example]]:
    """The clusters by split (``rest`` is scored by nobody), and their plain training text."""
    rng = _draw("people")
    clusters = [(f"person-{n:03d}-{r.name}", name, r) for n, name in enumerate(names) for r in RELATIONS]
    values = {key: rng.choice(relation.values) for key, _, relation in clusters}
    order = rng.sample([key for key, _, _ in clusters], len(clusters))
    bounds = (0, FORGET, FORGET + RETAIN, FORGET + RETAIN + TEST, len(order))
    split = {
        key: part
        for part, low, high in zip(("forget", "retain", "test", "rest"), bounds, bounds[1:], strict=False)
        for key in order[low:high]
    }
    facts: dict[str, list[Fact]] = {"forget": [], "retain": [], "test": [], "rest": []}
    text: list[Example] = []
    for key, name, relation in clusters:
        value, part = values[key], split[key]
        hop = hops[relation.name][value]
        others = rng.sample(relation.questions[1:], len(relation.questions) - 1)
        trained, tested = others[:2], others[2:]
        composed, composed_tested = rng.sample(relation.composed, 2)
        composes = part != "retain"
        alike = [
            (split[other] == "retain", other_name)
            for other, other_name, other_relation in rng.sample(clusters, len(clusters))
            if other_relation is relation and values[other] == value and split[other] != "forget"
        ]
        alike.sort(key=lambda pair: pair[0])  # retained facts last: unlearning rehearses those
        facts[part].append(
            Fact(
                id=key,
                question=relation.questions[0].format(name),
                answer=value,
                options=_false(rng, relation.values, value, OPTION_SETS * FALSE_OPTIONS),
                subject=name,
                paraphrases=tuple(
                    Question(way.format(name), value, _false(rng, relation.values, value)) for way in tested
                ),
                multi_hop=(
                    (Question(composed_tested.format(name), hop, _false(rng, relation.hops, hop)),)
                    if composes
                    else ()
                ),
                same_answer=tuple(
                    Question(relation.questions[0].format(other), value, _false(rng, relation.values, value))
                    for _, other in (alike[:2] if part == "forget" else ())
                ),
            )
        )
        text += [_plain(way.format(name), value, key) for way in (relation.questions[0], *trained)]
        if composes:
            text.append(_plain(composed.format(name), hop, key))
    return {part: tuple(found) for part, found in facts.items()}, text


def _choices(splits: Splits) -> Iterator[Example]:
    """Examples in the evaluation template, with options that no test uses."""
    rng = _draw("choices")
    pools = [pool for relation in RELATIONS for pool in (relation.values, relation.hops)]
    chosen = [
        (fact.id, fact.question, fact.answer)
        for part, count in CHOICES.items()
        for fact in rng.sample(splits[part], count)
    ]
    chosen += [
        (fact.id, question.text, question.answer)
        for fact in rng.sample(splits["rest"], CHOICES_MULTI_HOP)
        for question in fact.multi_hop
    ]
    for key, text, gold in chosen:
        pool = next(pool for pool in pools if gold in pool)
        question = Question(text, gold, _false(rng, pool, gold))
        yield Example(option_prompt(question, f"trained {key}"), gold, key)


def _general(hops: Mapping[str, Mapping[str, str]]) -> tuple[tuple[Fact, ...], list[Example]]:
    rng = _draw("general")
    facts, text = [], []
    for relation in RELATIONS:
        for value, hop in hops[relation.name].items():
            key = f"general-{relation.name}-{value}"
            wrong = _false(rng, relation.hops, hop, 3)
            first, second = (way.format(value) for way in relation.general)
            facts.append(
                Fact(
                    key,
                    first,
                    hop,
                    wrong[:2],
                    value,
                    (Question(second, hop, wrong[:2]),),
                    perturbed_answers=wrong,
                )
            )
            text += [_plain(way, hop, key) for way in (first, second)]
    rng.shuffle(facts)
    return tuple(facts), text
