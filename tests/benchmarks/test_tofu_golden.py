"""Every number of TOFU against its definition written out once more, on TOFU's own files.

The other side is naive on purpose: it reads the raw records, frames and tokenises texts itself, runs one
whole text at a time in float64 without a cache, and shares nothing with the harness but the model.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from harness.benchmarks.tofu import Tofu
from nltk.stem.porter import PorterStemmer

from harness.model import loading
from harness.model.tokens import PromptTokenizer
from harness.scoring.metrics import by_metric
from harness.scoring.scorer import Scorer
from support.paths import DATA
from support.saved import save_model

pytestmark = pytest.mark.skipif(
    not (DATA / "tofu" / "forget10_perturbed.json").is_file(),
    reason=f"no TOFU in {DATA}; HARNESS_TEST_DATA names its place",
)
LIMIT, WORDS_SAID, PASSES = 6, 10, 9
FILES = {
    "retain_perturbed": "retain_perturbed",
    "real_authors": "real_authors_perturbed",
    "world_facts": "world_facts_perturbed",
}
TOLERANCE = 1e-5
"""The harness takes the logits in float32; published numbers are to be met to 1e-4."""


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line][:LIMIT]


class Naive:
    """The definitions, one fact at a time."""

    def __init__(self, model, tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.stem = PorterStemmer().stem

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    @torch.no_grad()
    def distributions(self, ids: list[int]) -> np.ndarray:
        """log p of every word at every place of a text, (places, words)."""
        logits = self.model(torch.tensor([ids]), use_cache=False).logits[0].numpy().astype(np.float64)
        most = logits.max(axis=1, keepdims=True)
        return logits - most - np.log(np.exp(logits - most).sum(axis=1, keepdims=True))

    def told(self, question: str, answer: str, end: bool) -> tuple[list[int], np.ndarray]:
        """The tokens of the answer, and the distribution from which each would be drawn."""
        prompt = self.ids(f"Question: {question}\nAnswer:")
        whole = self.ids(f"Question: {question}\nAnswer: {answer}") + [self.tokenizer.eos_token_id] * end
        return whole[len(prompt) :], self.distributions(whole)[len(prompt) - 1 : -1]

    def loss(self, question: str, answer: str) -> float:
        """Per token, with the end token."""
        tokens, log_p = self.told(question, answer, end=True)
        return -sum(row[token] for token, row in zip(tokens, log_p, strict=True)) / len(tokens)

    def says(self, question: str) -> str:
        ids = self.ids(f"Question: {question}\nAnswer:")
        written: list[int] = []
        while len(written) < WORDS_SAID:
            best = int(self.distributions(ids + written)[-1].argmax())
            if best == self.tokenizer.eos_token_id:
                break
            written.append(best)
        return self.tokenizer.decode(written)

    def words(self, text: str) -> list[str]:
        found = re.findall("[a-z0-9]+", text.lower())
        return [self.stem(word) if len(word) > 3 else word for word in found]

    def rouge(self, question: str, answer: str) -> float:
        gold, said = self.words(answer), self.words(self.says(question))

        @cache
        def common(i: int, j: int) -> int:
            if not i or not j:
                return 0
            if gold[i - 1] == said[j - 1]:
                return common(i - 1, j - 1) + 1
            return max(common(i - 1, j), common(i, j - 1))

        return common(len(gold), len(said)) / len(gold)

    def hits(self, question: str, answer: str) -> list[bool]:
        tokens, log_p = self.told(question, answer, end=False)
        return [int(row.argmax()) == token for token, row in zip(tokens, log_p, strict=True)]

    def fact(self, split: str, record: dict) -> dict[str, float]:
        question, answer = record["question"], record["answer"]
        right = record.get("paraphrased_answer", answer)
        losses = [self.loss(question, wrong) for wrong in record["perturbed_answer"]]
        c, w = math.exp(-self.loss(question, right)), math.exp(-fmean(losses))
        p = math.exp(-self.loss(question, answer))
        found = {"rouge_l": self.rouge(question, answer), "probability": p}
        if split in ("real_authors", "world_facts"):
            found["probability"] = p / (p + sum(math.exp(-loss) for loss in losses))
        if split != "forget":
            return found | {"truth_ratio": max(0.0, 1 - w / c)}
        hits = self.hits(question, answer)
        said = " ".join(self.says(question).split()).lower().rstrip(".").strip()
        return found | {
            "truth_ratio": min(w / c, c / w),
            "truth_ratio_knowledge": c / (c + w),
            "log_truth_ratio": math.log(w / c),
            "probability_paraphrase": c,
            "exact_match": float(said == answer.lower().rstrip(".").strip()),
            "exact_memorisation": sum(hits) / len(hits),
            "extraction_strength": 1 - min(k for k in range(len(hits) + 1) if all(hits[k:])) / len(hits),
        }

    def membership(self, record: dict) -> dict[str, float]:
        question, answer = record["question"], record["answer"]
        loss = self.loss(question, answer)
        tokens, log_p = self.told(question, answer, end=False)
        own = np.array([row[token] for token, row in zip(tokens, log_p, strict=True)])
        mean = (np.exp(log_p) * log_p).sum(axis=1)
        deviation = np.sqrt((np.exp(log_p) * log_p**2).sum(axis=1) - mean**2)
        count = max(1, int(0.4 * len(tokens)))
        return {
            "mia_loss": loss,
            "mia_zlib": loss / len(zlib.compress(answer.encode("utf-8"))),
            "mia_min_k": -float(np.sort(own)[:count].mean()),
            "mia_min_k_plus_plus": -float(np.sort((own - mean) / deviation)[:count].mean()),
        }


class Case:
    """One forget split: what the harness finds for a model and for its twin, and what the definitions say."""

    def __init__(self, forget: str, folder: Path) -> None:
        number = forget[-2:]
        data = folder / forget
        data.mkdir()
        for path in (DATA / "tofu").glob("*.json"):
            (data / path.name).symlink_to(path)
        # TOFU's holdout is on the hub alone; any texts do that are in neither split.
        strangers = [
            {"question": f"{r['question']} Say.", "answer": r["answer"]}
            for r in read(data / "real_authors.json")
        ]
        (data / f"holdout{number}.json").write_text("\n".join(map(json.dumps, strangers)))
        self.benchmark = Tofu(Tofu.Config(forget=forget, limit=LIMIT, max_new_tokens=WORDS_SAID))
        self.benchmark.data = data
        self.splits = self.benchmark.load()
        self.raw = {
            "forget": read(data / f"{forget}_perturbed.json"),
            "holdout": strangers,
            **{split: read(data / f"{name}.json") for split, name in FILES.items()},
        }
        texts = ["Question: Answer:"]
        for record in (r for records in self.raw.values() for r in records):
            for value in record.values():
                texts += [value] if isinstance(value, str) else value
        place = save_model(folder / f"model-{forget}", texts, hidden_size=32, max_position_embeddings=512)
        kept = self.raw["retain_perturbed"]
        self.own, self.naive = self.score(place, [*self.raw["forget"], *kept])
        self.twin, self.naive_twin = self.score(place, kept)

    def score(self, place: Path, taught: list[dict]):
        """The samples of a model that was taught some facts, half well; and the naive values."""
        model, tokenizer = loading.load(place, "float32")
        tokens = PromptTokenizer(tokenizer)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(PASSES):
            for record in taught:
                whole = tokenizer(f"Question: {record['question']}\nAnswer: {record['answer']}").input_ids
                ids = torch.tensor([[*whole, tokens.end]])
                optimizer.zero_grad()
                model(input_ids=ids, labels=ids).loss.backward()
                optimizer.step()
        model = model.double().eval()
        naive = Naive(model, tokenizer)
        values: dict[tuple[str, str], list[float]] = {}
        for split, records in self.raw.items():
            for record in records:
                numbers = {} if split == "holdout" else naive.fact(split, record)
                if split in ("forget", "holdout"):
                    numbers |= naive.membership(record)
                for metric, value in numbers.items():
                    values.setdefault((split, metric), []).append(value)
        return Scorer(model, tokens).measure(self.benchmark.measures(self.splits)), values


@pytest.fixture(scope="module", params=["forget01", "forget05", "forget10"])
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


PER_FACT = sorted(
    {
        (split, reported.metric)
        for reported in Tofu.reports
        for split in reported.splits
        if reported.splits != ("all",)
    }
)


@pytest.mark.parametrize(("split", "metric"), PER_FACT)
def test_every_fact_has_the_value_of_the_definition(case, split, metric):
    for samples, naive in ((case.own, case.naive), (case.twin, case.naive_twin)):
        found = by_metric(samples)[split, metric]
        assert len(found) == LIMIT
        np.testing.assert_allclose(found, naive[split, metric], rtol=TOLERANCE, atol=TOLERANCE)


def test_nothing_is_measured_that_has_no_definition_here(case):
    assert set(by_metric(case.own)) == set(case.naive) == set(PER_FACT)


def test_the_facts_are_worth_measuring(case):
    """Neither all nor nothing: a formula that is wrong in the middle would show."""
    for metric in ("rouge_l", "exact_memorisation", "probability", "truth_ratio", "extraction_strength"):
        assert len({round(value, 6) for value in case.naive["forget", metric]}) > 2, metric
    assert fmean(case.naive["forget", "exact_memorisation"]) > fmean(
        case.naive_twin["forget", "exact_memorisation"]
    )


def harmonic(values) -> float:
    return len(values) / sum(1 / value for value in values) if all(values) else 0.0


def test_model_utility_is_the_harmonic_mean_of_its_nine_parts(case):
    nine = [
        fmean(case.naive[split, metric])
        for split, metric in product(FILES, ("probability", "rouge_l", "truth_ratio"))
    ]
    assert case.benchmark.aggregates(case.own)["utility"] == pytest.approx(harmonic(nine), abs=TOLERANCE)


def test_mem_is_the_harmonic_mean_of_what_is_not_memorised(case):
    four = ("extraction_strength", "exact_memorisation", "probability_paraphrase", "truth_ratio_knowledge")
    for samples, naive in ((case.own, case.naive), (case.twin, case.naive_twin)):
        expected = harmonic([1 - fmean(naive["forget", metric]) for metric in four])
        assert case.benchmark.aggregates(samples)["mem"] == pytest.approx(expected, abs=TOLERANCE)


def auc(naive, score: str) -> float:
    pairs = list(product(naive["forget", f"mia_{score}"], naive["holdout", f"mia_{score}"]))
    return sum((holdout > forget) + (holdout == forget) / 2 for forget, holdout in pairs) / len(pairs)


@pytest.mark.parametrize("score", ["loss", "zlib", "min_k", "min_k_plus_plus"])
def test_auc_is_the_share_of_pairs_in_order(case, score):
    for samples, naive in ((case.own, case.naive), (case.twin, case.naive_twin)):
        assert case.benchmark.aggregates(samples)[f"auc_{score}"] == pytest.approx(auc(naive, score))


def test_privleak_compares_with_the_twin(case):
    own, twin = auc(case.naive, "min_k"), auc(case.naive_twin, "min_k")
    found = case.benchmark.against_twin(case.own, case.twin)
    if twin == 1:
        assert "privleak" not in found
    else:
        assert found["privleak"] == pytest.approx(100 * ((1 - own) - (1 - twin)) / (1 - twin))


def ks_p(own: list[float], twin: list[float]) -> float:
    """The share of orders of all values in which the two come as far apart, counted as paths."""
    n, m = len(own), len(twin)

    def apart(i: int, j: int) -> int:
        return abs(i * m - j * n)

    seen = max(apart(sum(v <= x for v in own), sum(v <= x for v in twin)) for x in (*own, *twin))

    @cache
    def near(i: int, j: int) -> int:
        if apart(i, j) >= seen:
            return 0
        if not i and not j:
            return 1
        return (near(i - 1, j) if i else 0) + (near(i, j - 1) if j else 0)

    return 1 - near(n, m) / math.comb(n + m, n)


def test_forget_quality_is_the_p_value_of_the_kolmogorov_smirnov_test(case):
    own, twin = (naive["forget", "log_truth_ratio"] for naive in (case.naive, case.naive_twin))
    expected = ks_p(own, twin)
    found = case.benchmark.against_twin(case.own, case.twin)
    assert found["forget_quality"] == pytest.approx(expected, rel=1e-9)
    assert found["log10_forget_quality"] == pytest.approx(math.log10(expected), abs=1e-9)
    assert case.benchmark.against_twin(case.twin, case.twin)["forget_quality"] == 1
