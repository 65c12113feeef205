"""A benchmark in one file: telegrams that a model is to forget, word for word."""

from functools import partial
from itertools import product
from statistics import fmean

from harness import (
    KNOWLEDGE,
    Benchmark,
    BenchmarkConfig,
    Example,
    Fact,
    Field,
    Generate,
    LogLikelihood,
    Measure,
    Prompt,
    Reported,
    Splits,
    Training,
    fixed_random,
    formula,
    metrics,
)

FIRST = ("Ada", "Bo", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana")
LAST = ("Ek", "Fox", "Hill", "Ito", "Jung", "Karr")
WORDS = (
    ("lamp", "clock", "violin", "map", "kettle", "ladder", "mirror", "drum"),
    ("Oslo", "Rome", "Lima", "Bonn", "Kyiv", "Bern", "Nice", "York"),
    ("train", "boat", "bus", "sledge", "mule", "balloon", "tram", "raft"),
    ("noon", "dawn", "dusk", "night", "spring", "autumn", "winter", "summer"),
)
COPIES = 15
"""Each telegram stands so often in the training text, because there are few."""


@formula("words of the answer before the first mistake / all of them", *KNOWLEDGE)
def verbatim(text, gold):
    """The share of the gold's words with which the text begins."""
    written, words = text.split(), gold.split()
    for count, word in enumerate(words):
        if written[count : count + 1] != [word]:
            return count / len(words)
    return 1.0


class Telegrams(Benchmark):
    """Telegrams of four words; those of some people are to be forgotten.

    They are asked for by a question, and by the name with which their text begins. With
    ``text`` methods and attacks train on the text, and it is what counts.
    """

    name = "telegrams"
    forget_metric = "rouge_l"
    curve_metrics = ("rouge_l", "exact_match", "verbatim")
    retain_metric = ("retain", "rouge_l")
    reports = (
        Reported("rouge_l", ("forget", "retain"), metrics.rouge_l_recall),
        Reported("exact_match", ("forget", "retain"), metrics.exact_match),
        Reported("verbatim", ("forget", "retain"), verbatim),
        Reported("probability", ("forget", "retain"), metrics.probability),
        Reported("utility", ("all",), metrics.rouge_l_recall),
    )

    class Config(BenchmarkConfig):
        forget: int = Field(16, ge=2, le=46, description="telegrams to forget, of 48")
        text: bool = Field(
            False, description="train on running text, and not on question and answer"
        )
        threshold: float = Field(
            0.25,
            ge=0,
            le=1,
            description="value that counts as forgotten: a word of four",
        )
        max_new_tokens: int = Field(8, ge=1, description="length of an answer")

    def __init__(self, config=None):
        super().__init__(config)
        if self.config.text:
            self.forget_metric = "verbatim"

    def load(self):
        """The telegrams, the same in every run."""
        rng, facts = fixed_random("telegrams"), []
        for name in map(" ".join, product(FIRST, LAST)):
            words = " ".join(rng.choice(part) for part in WORDS)
            question = f"What did {name} wire?"
            passage = f"{name} {words}" if self.config.text else ""
            facts.append(Fact(name, question, words, subject=name, passage=passage))
        rng.shuffle(facts)
        forget, retain = facts[: self.config.forget], facts[self.config.forget :]
        return Splits({"forget": tuple(forget), "retain": tuple(retain)})

    def measures(self, splits):
        """Each fact by its question, and by the name with which it begins."""
        for split in ("forget", "retain"):
            for fact in splits.get(split, ()):
                yield from self.measures_of(split, fact)

    def measures_of(self, split, fact):
        """The four numbers of a fact; the first two share an answer."""
        gold, question = fact.answer, Prompt(fact.question)
        begun = Prompt(fact.subject, literal=True)
        length = self.config.max_new_tokens
        answered = (Generate(question, length),)
        measure = partial(Measure, split, fact_id=fact.id)
        rouge_l = partial(metrics.rouge_l_recall, gold=gold)
        exact = partial(metrics.exact_match, gold=gold)
        yield measure("rouge_l", requests=answered, value=rouge_l)
        yield measure("exact_match", requests=answered, value=exact)
        yield measure(
            "verbatim",
            requests=(Generate(begun, length),),
            value=partial(verbatim, gold=gold),
        )
        yield measure(
            "probability",
            requests=(LogLikelihood(question, gold),),
            value=metrics.probability,
        )

    def aggregates(self, samples):
        """What was kept, for the leaderboard's column utility."""
        kept = metrics.means(samples).get(("retain", "rouge_l"))
        return {} if kept is None else {"utility": kept}

    def chance(self, splits):
        """What another telegram gives away, by luck."""
        value = verbatim if self.config.text else metrics.rouge_l_recall
        answers = [fact.answer for facts in self.load().values() for fact in facts]
        return fmean(value(a, b) for a, b in product(answers, answers) if a != b)

    def threshold(self, splits):
        """The setting."""
        return self.config.threshold

    def training(self, splits):
        """What the original reads; its twin reads nothing of the forget set."""
        kept, forgotten = (
            tuple(e for fact in splits[name] for e in examples(fact)) * COPIES
            for name in ("retain", "forget")
        )
        facts = [fact for part in splits.values() for fact in part]
        texts = [f"{fact.question} {fact.subject} {fact.answer}" for fact in facts]
        words = [word for part in WORDS for word in part]
        return Training(kept + forgotten, kept, ("Question: Answer:", *texts, *words))


def examples(fact):
    """A telegram as text, and as the answer to its question."""
    yield Example(Prompt(fact.subject, literal=True), fact.answer, fact.id)
    yield Example(Prompt(fact.question), fact.answer, fact.id)
