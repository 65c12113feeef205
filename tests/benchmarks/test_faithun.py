"""FaithUn's multiple choice: the prompt, both ways of scoring, the paper's scores and our aggregate."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from random import Random
from statistics import fmean, harmonic_mean

import pytest
import torch
from harness.benchmarks.choices import option_prompt
from harness.benchmarks.faithun import FaithUn, FaithUnMini
from pydantic import ValidationError

from harness.core.types import Fact, Generate, LogLikelihood, Question, Sample, Splits
from harness.engine.evaluation import evaluate
from harness.model.embedded import word_tokenizer
from harness.model.tokens import PromptTokenizer
from harness.plugins.registry import Registry
from harness.scoring import metrics

WORLD = FaithUnMini().load()
PART = Splits({"forget": WORLD["forget"][:8], "retain": WORLD["retain"][:4], "test": WORLD["test"][:8]})
CHAT = "{% for turn in messages %}<ask> {{ turn['content'] }} <tell> {% endfor %}"
SEED = 3


def benchmark(scoring="both", **settings):
    return FaithUnMini(FaithUnMini.Config(scoring=scoring, option_seed=SEED, **settings))


def as_samples(values):
    """Values by split and metric as the samples of one fact."""
    return [Sample(split, metric, "one", value) for (split, metric), value in values.items()]


def measured(chosen, *facts, split="forget"):
    return {m.metric: m for m in chosen.measures(Splits({split: facts}))}


# --- the prompt


def published(question: str, options: list[str]) -> str:
    """The paper's template, word for word."""
    return (
        "Answer the following question by simply selecting a proper answer among the given options. You must "
        "generate only the exact word without an explanation.\nQuestion: " + question + "\n"
        "Options: " + ", ".join(options) + "\nYour Answer:"
    )


def test_the_prompt_is_the_published_one():
    prompt = option_prompt(Question("Who?", "Ada", ("Bo", "Cleo")), 0)
    options = prompt.text.split("Options: ")[1].split("\n")[0].split(", ")
    assert sorted(options) == ["Ada", "Bo", "Cleo"]
    assert prompt.text == published("Who?", options)
    assert prompt.literal


def test_the_order_of_options_depends_on_the_question_and_the_seed_and_nothing_else():
    fact = WORLD["forget"][0]
    moved = Fact("elsewhere", fact.question, fact.answer, fact.options)
    prompts = {
        seed: measured(FaithUnMini(FaithUnMini.Config(option_seed=seed)), fact)["accuracy"].requests[0].prompt
        for seed in range(12)
    }
    assert len(set(prompts.values())) > 2
    for seed, prompt in prompts.items():
        chosen = FaithUnMini(FaithUnMini.Config(option_seed=seed))
        assert measured(chosen, moved, split="test")["accuracy"].requests[0].prompt == prompt


def test_the_gold_option_stands_in_every_place_equally_often():
    places = [0, 0, 0]
    for measure in FaithUnMini().measures(WORLD):
        if measure.metric == "accuracy":
            request = measure.requests[0]
            options = request.prompt.text.split("Options: ")[1].split("\n")[0].split(", ")
            places[options.index(request.continuation)] += 1
    n = sum(places)
    assert all(abs(count - n / 3) < 3.5 * (n * 2 / 9) ** 0.5 for count in places)


# --- scoring


def test_likelihood_asks_for_the_three_options_gold_first_without_the_end_token():
    fact = WORLD["forget"][0]
    requests = measured(benchmark("likelihood"), fact)["accuracy"].requests
    shown = [fact.answer, *fact.options[:2], fact.answer, *fact.options[2:4], fact.answer, *fact.options[4:]]
    assert [request.continuation for request in requests] == shown
    assert not any(request.end for request in requests)


def test_both_ways_of_scoring_share_their_prompts():
    asked = defaultdict(set)
    for measure in benchmark("both").measures(WORLD):
        if "accuracy" in measure.metric:
            for request in measure.requests:
                asked[type(request)].add(request.prompt)
    assert asked[Generate] == asked[LogLikelihood]


@pytest.mark.parametrize(
    ("scoring", "families"),
    [
        ("likelihood", ("accuracy",)),
        ("generated", ("generated_accuracy",)),
        ("both", ("generated_accuracy", "accuracy")),
    ],
)
def test_threshold_attacks_and_scores_follow_the_scoring(scoring, families):
    chosen = benchmark(scoring)
    assert chosen.forget_metric == families[0]
    assert chosen.retain_metric == ("retain", families[0])
    assert chosen.curve_metrics == (*families, "exact_match")
    found = {m.metric for m in chosen.measures(WORLD)} - {"exact_match", "probability", "extraction_strength"}
    kinds = ("", "_paraphrase", "_multi_hop", "_same_answer")
    assert found == {family + kind for family in families for kind in kinds}
    numbers = {(split, family): 0.5 for split in ("forget", "test") for family in families}
    numbers["forget", families[0]] = 0.25
    assert chosen.aggregates(as_samples(numbers)) == {"UA": 0.25, "TA": 0.5}


def test_the_paper_generates_and_the_embedded_world_compares_likelihoods():
    assert FaithUn().config.scoring == "both"
    assert FaithUn().forget_metric == "generated_accuracy"
    assert FaithUnMini().forget_metric == "accuracy"
    with pytest.raises(ValidationError, match="likelihood"):
        FaithUn.Config(scoring="guess")


@pytest.mark.parametrize("kind", [FaithUn, FaithUnMini])
def test_what_the_class_says_of_its_metrics_is_what_the_defaults_give(kind):
    for name in ("forget_metric", "curve_metrics", "retain_metric"):
        assert getattr(kind, name) == getattr(kind(), name)
    assert Registry().kinds["benchmark"][kind.name].load() is kind


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("New York", True),
        ("  the new-york.\nQuestion: London?", False),  # newyork is one word
        ("The answer is: NEW YORK!", True),
        ("\n\nnew york\nLondon", True),
        ("Big Apple", True),  # another text of the right answer
        ("New York, the Big Apple", True),
        ("New York or London", False),
        ("York", False),
        ("Newer York", False),
        ("London", False),
        ("", False),
        ("...", False),
        ("I can't answer the question.", False),
    ],
)
def test_a_generated_answer_is_right_when_it_names_the_right_option_alone(said, right):
    found = metrics.option_generated(said, ("New York", "The Big Apple"), ("York", "London"))
    assert found == float(right)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Beatles.", "beatles"),
        ("U.S.", "us"),
        ("The A", "the a"),
        ("?!", "?!"),
        ("Ｌima\u00a0II", "lima ii"),
        ("Beyonce\u0301", "beyonc\u00e9"),
    ],
)
def test_bare_text_is_without_case_punctuation_and_articles(text, plain):
    assert metrics.bare(text) == plain


def test_any_right_answer_counts_where_the_model_generates():
    fact = Fact("f", "Who?", "Ada", ("Bo", "Cleo"), aliases=("Countess",))
    found = measured(benchmark(), fact)
    assert found["exact_match"].value("countess.") == 1.0
    assert found["generated_accuracy"].value("Countess") == 1.0
    assert found["generated_accuracy"].value("Bo") == 0.0
    assert [r.continuation for r in found["accuracy"].requests] == ["Ada", "Bo", "Cleo"]


def test_several_paraphrases_count_once_with_their_mean():
    found = measured(benchmark(), WORLD["forget"][0])["generated_accuracy_paraphrase"]
    assert found.value(WORLD["forget"][0].answer, "nothing") == 0.5


# --- the paper's scores and our aggregate


VALUES = {
    ("forget", "accuracy"): 0.5,
    ("forget", "accuracy_paraphrase"): 0.2,
    ("forget", "accuracy_multi_hop"): 0.6,
    ("test", "accuracy"): 0.9,
    ("forget", "accuracy_same_answer"): 0.8,
    ("test", "accuracy_multi_hop"): 0.7,
}


def test_a_reader_finds_the_scores_of_the_paper_and_our_aggregate():
    found = FaithUnMini().aggregates(as_samples(VALUES))
    parts = {"UA": 0.5, "UA+": 0.2, "MA_f": 0.6, "TA": 0.9, "SA": 0.8, "MA_t": 0.7}
    assert {name: found[name] for name in parts} == parts
    assert found["utility"] == pytest.approx(harmonic_mean([0.9, 0.8, 0.7]))
    # Rescaled, 1/2 is a quarter of the way from chance to 1, .2 is below chance, and .6 is two fifths.
    assert found["faithfulness"] == pytest.approx(harmonic_mean([0.75, 1.0, 0.6, 0.9, 0.8, 0.7]))


@pytest.mark.parametrize("absent", VALUES)
def test_an_aggregate_with_a_part_missing_is_missing(absent):
    found = FaithUnMini().aggregates(
        as_samples({key: value for key, value in VALUES.items() if key != absent})
    )
    assert "faithfulness" not in found
    falls = absent[0] == "forget" and absent[1] != "accuracy_same_answer"
    assert ("utility" in found) == falls


def test_one_who_knows_all_and_one_who_knows_nothing_are_not_faithful():
    for value in (0.0, 1.0):
        assert FaithUnMini().aggregates(as_samples(dict.fromkeys(VALUES, value)))["faithfulness"] == 0.0


# --- against a naive implementation: float64, one prompt at a time, no cache


class Naive:
    """What a model says about one text, with the whole text run again for each token."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model.double(), tokenizer

    def frame(self, text):
        return f"<ask> {text} <tell> " if self.tokenizer.chat_template else text

    def plain(self, question):
        return self.frame(question if self.tokenizer.chat_template else f"Question: {question}\nAnswer:")

    def ids(self, text):
        return self.tokenizer(text, add_special_tokens=False).input_ids

    @torch.no_grad()
    def next(self, ids):
        return torch.log_softmax(self.model(torch.tensor([ids])).logits[0, -1], dim=-1)

    def loglikelihood(self, prompt, answer, end=False):
        known = self.ids(prompt)
        total = 0.0
        rest = [*self.ids(answer), *([self.tokenizer.eos_token_id] if end else [])]
        for token in rest:
            total += float(self.next(known)[token])
            known = [*known, token]
        return total, len(rest)

    def generate(self, prompt, count=8):
        known, said = self.ids(prompt), []
        while len(said) < count:
            token = int(self.next([*known, *said]).argmax())
            if token == self.tokenizer.eos_token_id:
                break
            said.append(token)
        return self.tokenizer.decode(said, skip_special_tokens=True)

    def accuracies(self, text, gold, wrong):
        """(generated, by likelihood) of one question; all options are single words."""
        options = [gold, *wrong]
        Random("|".join((str(SEED), text, *options))).shuffle(options)
        prompt = self.frame(published(text, options))
        said = set(re.findall(r"\w+", self.generate(prompt).lower())) & {o.lower() for o in options}
        likely = {option: self.loglikelihood(prompt, option)[0] for option in options}
        return float(said == {gold.lower()}), float(max(likely, key=likely.get) == gold)


def expected(naive: Naive) -> dict[tuple[str, str], float]:
    found = defaultdict(list)
    for split, facts in PART.items():
        for fact in facts:
            pairs_shown = [fact.options[i : i + 2] for i in range(0, len(fact.options), 2)]
            kinds = {"": tuple(Question(fact.question, fact.answer, shown) for shown in pairs_shown)}
            if split != "retain":
                kinds["_multi_hop"] = fact.multi_hop
            if split == "forget":
                kinds |= {"_paraphrase": fact.paraphrases, "_same_answer": fact.same_answer}
                total, count = naive.loglikelihood(naive.plain(fact.question), fact.answer, end=True)
                found[split, "probability"].append(math.exp(total / count))
            said = naive.generate(naive.plain(fact.question))
            found[split, "exact_match"].append(float(said.lower().strip(" .") == fact.answer.lower()))
            for kind, questions in kinds.items():
                pairs = [naive.accuracies(q.text, q.answer, q.options) for q in questions]
                if pairs:
                    found[split, "generated_accuracy" + kind].append(fmean(pair[0] for pair in pairs))
                    found[split, "accuracy" + kind].append(fmean(pair[1] for pair in pairs))
    return {key: fmean(values) for key, values in found.items()}


def taught(tiny, tokens):
    """A small model that learned to pick the right option, a wrong one, or two of them."""
    model = tiny(vocab_size=len(tokens.tokenizer), initializer_range=0.1, hidden_size=32)
    pairs, rng = [], Random(0)
    for fact in (fact for facts in PART.values() for fact in facts):
        asked = Question(fact.question, fact.answer, fact.options)
        for q in (asked, *fact.paraphrases, *fact.multi_hop, *fact.same_answer):
            answer = rng.choice([q.answer, q.answer, q.options[0], f"{q.answer} {q.options[0]}"])
            pairs.append((option_prompt(q, SEED), answer))
    encoded = [(head, (*tail, tokens.end)) for head, tail in tokens.encode(pairs)]
    texts = tokens.collate(encoded, range(len(encoded)), len(encoded), 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        loss = model(texts.input_ids, texts.attention_mask, labels=texts.labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.mark.parametrize("template", [None, CHAT], ids=["base", "chat"])
def test_every_score_equals_a_naive_implementation(tiny, make_subject, template):
    words = [request.prompt.text for m in benchmark("likelihood").measures(PART) for request in m.requests]
    tokenizer = word_tokenizer(("Question: Answer: ask tell", *words, *(f.answer for f in PART["test"])))
    tokenizer.chat_template = template
    tokens = PromptTokenizer(tokenizer)
    model = taught(tiny, tokens)
    outcome = evaluate(make_subject(benchmark(), model, tokens=tokens, splits=PART))
    naive = expected(Naive(model, tokenizer))
    found = {(m.split, m.metric): m.value for m in outcome.metrics}
    choices = [value for (_, metric), value in naive.items() if "accuracy" in metric]
    assert len(choices) == 2 * (4 + 1 + 2)
    # A model that is always right or wrong, or the same in both ways of scoring, would hide a mistake.
    assert all(0 < value < 1 for value in choices)
    assert naive["forget", "accuracy"] != naive["forget", "generated_accuracy"]
    for key, value in naive.items():
        assert found[key] == pytest.approx(value, abs=1e-5), key
    generated = {
        "UA": naive["forget", "generated_accuracy"],
        "UA+": naive["forget", "generated_accuracy_paraphrase"],
        "MA_f": naive["forget", "generated_accuracy_multi_hop"],
        "TA": naive["test", "generated_accuracy"],
        "SA": naive["forget", "generated_accuracy_same_answer"],
        "MA_t": naive["test", "generated_accuracy_multi_hop"],
    }
    for name, value in generated.items():
        assert found["all", name] == pytest.approx(value)
    gone = [1 - max(0, generated[name] * 1.5 - 0.5) for name in ("UA", "UA+", "MA_f")]
    stay = [generated[name] for name in ("TA", "SA", "MA_t")]
    assert found["all", "utility"] == pytest.approx(harmonic_mean(stay))
    assert found["all", "faithfulness"] == pytest.approx(harmonic_mean([*gone, *stay]))
