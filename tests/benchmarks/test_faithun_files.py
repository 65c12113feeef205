"""FaithUn's files: every plausible shape gives the same clusters, and whatever is wrong is named."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from harness.benchmarks.faithun import FaithUn, FaithUnMini
from harness.benchmarks.world import world

from harness.core.types import Splits
from harness.engine.evaluation import evaluate
from harness.errors import DataError
from harness.model.embedded import word_tokenizer
from harness.model.tokens import PromptTokenizer
from harness.store.store import Store
from support.command import harness_cli
from support.paths import DATA
from support.results import rows
from support.saved import save_model

needs_splits = pytest.mark.skipif(
    not (DATA / "faithun").is_dir(), reason=f"no FaithUn files in {DATA}/faithun"
)
INDEX_FILES = ("forget_set_split.txt", "retaining_set_split.txt", "test_set_split.txt")


def asked(text: str, answer: str, field: str = "question", wrong=("Wrong", "Other")) -> dict:
    return {field: text, "answers": [answer, f"{answer} (alias)"], "false_answer_options": list(wrong)}


def entity(style: str = "lists", field: str = "question") -> dict:
    base = [asked("Where born?", "Ulm", field), asked("Which job?", "Baker", field)]
    again = [
        [asked(f"Birthplace {k}?", "Ulm", field) for k in (1, 2)],
        [asked("Job, please?", "Baker", field)],
    ]
    hop = [[asked("Country of birth?", "Germany", field)], [asked("Tool of the job?", "Oven", field)]]
    same = [[asked("Where was B born?", "Ulm", field)], [asked("Job of C?", "Baker", field)]]
    sections = {"hop1_unlearn": base, "hop1_test": again, "hop2_test": hop, "same_object": same}
    if style == "mapping":
        return {name: dict(zip(("P19", "P106"), content, strict=True)) for name, content in sections.items()}
    if style == "flat":
        flat = {
            name: [item for group in sections[name] for item in group]
            for name in ("hop1_test", "same_object")
        }
        return {"hop1_unlearn": base, **flat, "hop2_test": [group[0] for group in hop]}
    return sections


def single(*questions: dict) -> dict:
    """An entity with base questions and nothing else."""
    return {"hop1_unlearn": list(questions), "hop1_test": [], "hop2_test": [], "same_object": []}


def write(directory: Path, content, splits: tuple[str, str, str] | None = ("0", "1", "2\n3")) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (directory / "FaithUn_Dataset.json").write_text(text, encoding="utf-8")
    if splits is not None:
        (directory / "splits").mkdir(exist_ok=True)
        for name, numbers in zip(INDEX_FILES, splits, strict=True):
            (directory / "splits" / name).write_text(numbers + "\n", encoding="utf-8")
    return directory


def loaded(data: Path | None, clusters: int = 4, **settings) -> Splits:
    benchmark = FaithUn(FaithUn.Config(clusters=clusters, **settings))
    benchmark.data = data
    return benchmark.load()


# --- shapes


@pytest.mark.parametrize("field", ["question", "query", "prompt"])
@pytest.mark.parametrize("style", ["lists", "mapping", "flat"])
def test_every_plausible_shape_gives_the_same_clusters(tmp_path, style, field):
    splits = loaded(write(tmp_path, {"Q1": entity(style, field), "Q2": entity(style, field)}))
    assert {name: len(facts) for name, facts in splits.items()} == {"forget": 1, "retain": 1, "test": 2}
    [forget], [retain] = splits["forget"], splits["retain"]
    assert (forget.id, forget.question, forget.answer, forget.aliases, forget.options) == (
        "cluster-0", "Where born?", "Ulm", ("Ulm (alias)",), ("Wrong", "Other"),
    )  # fmt: skip
    assert [question.text for question in forget.paraphrases] == ["Birthplace 1?", "Birthplace 2?"]
    assert [question.answer for question in retain.multi_hop] == ["Oven"]
    assert [question.text for question in retain.same_answer] == ["Job of C?"]


def test_a_single_question_and_a_single_answer_may_stand_without_a_list(tmp_path):
    body = {"hop1_unlearn": asked("Where born?", "Ulm") | {"answers": "Ulm"}, "hop2_test": {}}
    body |= {"hop1_test": [asked("Birthplace?", "Ulm")], "same_object": []}
    others = [single(asked(f"Number {n}?", "Ulm")) for n in range(2)]
    splits = loaded(write(tmp_path, {"Q1": body, "Q2": others[0], "Q3": others[1]}, ("0", "1", "2")), 3)
    [fact] = splits["forget"]
    assert (len(fact.paraphrases), fact.subject, fact.aliases) == (1, "Q1", ())


def test_clusters_are_numbered_in_the_order_of_the_file(tmp_path):
    entities = {name: single(*(asked(f"{name} {k}?", "Ulm") for k in range(3))) for name in ("Q9", "Q1")}
    splits = loaded(write(tmp_path, entities, ("4", "1", "0\n3")), 6)
    found = [(fact.id, fact.question) for facts in splits.values() for fact in facts]
    assert found == [
        ("cluster-4", "Q1 1?"),
        ("cluster-1", "Q9 1?"),
        ("cluster-0", "Q9 0?"),
        ("cluster-3", "Q1 0?"),
    ]


def test_of_more_false_options_two_are_drawn_by_question_and_seed_wherever_they_stand(tmp_path):
    questions = [asked(f"Number {n}?", "Ulm", wrong=[f"W{k}" for k in range(9)]) for n in range(3)]

    def offered(order, **settings):
        content = {"Q1": single(*(questions[n] for n in order))}
        splits = loaded(write(tmp_path, content, ("0", "1", "2")), 3, **settings)
        return {fact.question: fact.options for facts in splits.values() for fact in facts}

    first = offered((0, 1, 2))
    assert first == offered((2, 0, 1))
    assert len(set(first.values())) > 1
    assert all(len(set(options)) == 2 for options in first.values())
    assert first != offered((0, 1, 2), option_seed=1)


def test_the_embedded_world_in_the_authors_files_is_the_same_benchmark(tmp_path, tiny, make_subject):
    """faithun reads an export of faithun-mini: the same facts, and the same scores of one model."""
    data, names = export(tmp_path)
    mini, real = FaithUnMini(), FaithUn(FaithUn.Config(clusters=600, scoring="likelihood", max_new_tokens=8))
    real.data = data
    facts, read = shown_once(mini.load()), real.load()
    for split in ("forget", "retain", "test"):
        assert [replace(f, id=names[f.id]) for f in read[split]] == sorted(
            facts[split], key=lambda fact: fact.id
        )
    tokens = PromptTokenizer(word_tokenizer(world().training.vocabulary))
    model = tiny(vocab_size=len(tokens.tokenizer), max_position_embeddings=512)

    def scores(benchmark, splits, identity):
        part = Splits({name: splits[name] for name in ("forget", "retain", "test")})
        found = evaluate(make_subject(benchmark, model, tokens=tokens, splits=part))
        return {(s.split, s.metric, identity(s.fact_id)): s.value for s in found.samples}, [
            m.value for m in found.metrics if m.split == "all"
        ]

    values, aggregates = scores(mini, facts, str)
    assert len(aggregates) == 8
    assert (values, pytest.approx(aggregates)) == scores(real, read, names.__getitem__)


def test_a_run_on_the_authors_files_ends_with_the_scores_of_the_paper(tmp_path):
    words = ["Question: Answer:", *world().training.vocabulary]
    model = save_model(tmp_path / "model", words, max_position_embeddings=512)
    data, _ = export(tmp_path)
    ended = harness_cli(
        *(
            "run",
            "--model",
            model,
            "--benchmarks",
            "faithun",
            "--data",
            data,
            "--set",
            "faithun.clusters=600",
        ),
        *("--set", "faithun.max_new_tokens=2", "--methods", "none", "--attacks", "none", "--no-controls"),
        *("--seeds", 1, "--jobs", 1, "--results", tmp_path / "results", "--cache", tmp_path / "cache"),
    )
    assert ended.code == 0, ended.err
    [row] = rows(tmp_path / "results")
    notes = json.loads(row["notes"])
    assert (row["status"], notes["forget_metric"]) == ("ok", "generated_accuracy")
    assert (notes["threshold"], notes["threshold_rule"]) == (1 / 3, "chance")
    found = {m["metric"] for m in Store(tmp_path / "results").metrics().to_pylist() if m["split"] == "all"}
    assert found == {"UA", "UA+", "MA_f", "TA", "SA", "MA_t", "utility", "faithfulness"}


def shown_once(splits):
    """Base questions with two of their false options: the authors' files are read so."""
    return {
        name: tuple(replace(fact, options=fact.options[:2]) for fact in facts)
        for name, facts in splits.items()
    }


def export(directory: Path) -> tuple[Path, dict[str, str]]:
    """faithun-mini in the authors' schema, and the id there of each cluster here."""

    def question(text, answer, options):
        return {"question": text, "answers": [answer], "false_answer_options": list(options)}

    splits = {name: world().faithun[name] for name in ("forget", "retain", "test", "rest")}
    owner = {fact.id: name for name, facts in splits.items() for fact in facts}
    content: dict[str, dict] = {}
    chosen, names = defaultdict(list), {}
    facts = sorted((fact for facts in splits.values() for fact in facts), key=lambda fact: fact.id)
    for number, fact in enumerate(facts):
        body = content.setdefault(fact.id.rpartition("-")[0], {"name": fact.subject})
        sections = {
            "hop1_test": fact.paraphrases,
            "hop2_test": fact.multi_hop,
            "same_object": fact.same_answer,
        }
        base = question(fact.question, fact.answer, fact.options[:2])
        body.setdefault("hop1_unlearn", {})[fact.id] = base
        for name, questions in sections.items():
            body.setdefault(name, {})[fact.id] = [question(q.text, q.answer, q.options) for q in questions]
        chosen[owner[fact.id]].append(str(number))
        names[f"cluster-{number}"] = fact.id
    written = write(directory, content, tuple("\n".join(chosen[name]) for name in list(splits)[:3]))
    return written, names


# --- what is wrong is named


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1: not JSON"),
        ('{"Q1": 1, "Q1": 2}', "the key 'Q1' stands twice"),
        ([], "expected an object of entities such as 'Q76', found an empty list"),
        ({"Q1": {"hop1": []}}, r"entity Q1: expected an object with 'hop1_unlearn', found .*\['hop1'\]"),
        (
            {"Q1": {"hop1_unlearn": [{"text": "?"}]}},
            r"entity Q1: hop1_unlearn\[0\].*question, query, prompt.*\['text'\]",
        ),
        ({"Q1": single({"question": " "})}, r"hop1_unlearn\[0\]: expected a non-empty text in 'question'"),
        (
            {"Q1": single({"question": "?"})},
            r"texts in 'answers', found an object with the keys \['question'",
        ),
        ({"Q1": single({"question": "?", "answers": [7]})}, "texts in 'answers', found list of 1"),
        (
            {"Q1": single({"question": "?", "answers": ["x"]})},
            "expected a list of non-empty texts in 'false_answer_options', found an object with the keys",
        ),
        (
            {"Q1": single(asked("?", "x", wrong=["One", "one."]))},
            r"Q1: hop1_unlearn\[0\]: expected at least 2 different 'false_answer_options', found \['One'",
        ),
        ({"Q1": single(asked("?", "wrong"))}, r"\['wrong'\] are both 'answers' and 'false_answer_options'"),
        ({"Q1": single(asked("?", "x", wrong=["a", "x (Alias)"]))}, r"\['x alias'\] are both"),
        ({"Q1": entity() | {"hop2_test": [asked("?", "x")]}}, "cannot tell to which of the 2"),
        (
            {"Q1": entity() | {"hop1_test": [asked("?", "Ulm"), asked("?", "Cook")]}},
            "cannot tell to which of the 2",
        ),
        ({"Q1": entity() | {"hop2_test": "x"}}, "expected a list or an object of questions in 'hop2_test'"),
        (
            {"Q1": {"hop1_unlearn": [asked("?", "x")], "hop1_test": [], "hop2_tests": [], "same_object": []}},
            r"expected 'hop2_test' in the entities, found none; their keys are \[.*'hop2_tests'",
        ),
        ({"Q1": entity()}, "expected 4 base questions .* found 2; .* set 'clusters'"),
        ({"Q1": entity(), "Q2": entity(), "Q3": entity()}, "expected 4 base questions .* found 6"),
    ],
)
def test_what_fits_no_shape_is_reported_with_the_keys_found(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as error:
        loaded(write(tmp_path, content))
    assert "FaithUn_Dataset.json" in str(error.value)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            ("0", "0", "1"),
            "retaining_set_split.txt, line 1: cluster 0 stands in forget_set_split.txt already",
        ),
        (("0\n2\n0", "1", "3"), "forget_set_split.txt, line 3: cluster 0 stands in this file already"),
        (("0", "1", "2\n4"), "test_set_split.txt, line 2: expected a cluster number from 0 to 3, found '4'"),
        (("0", "-1", "2"), "retaining_set_split.txt, line 1: expected a cluster number from 0 to 3"),
        (("zero", "1", "2"), "forget_set_split.txt, line 1: expected a cluster number"),
        (("0", "1", ""), "test_set_split.txt: the file holds no cluster number"),
    ],
)
def test_broken_index_files_are_named_with_their_line(tmp_path, splits, message):
    with pytest.raises(DataError, match=message):
        loaded(write(tmp_path, {"Q1": entity(), "Q2": entity()}, splits))


def test_missing_files_are_asked_for(tmp_path):
    with pytest.raises(DataError, match="--data DIR"):
        loaded(None)
    with pytest.raises(DataError, match=r"FaithUn_Dataset\.json, FaithUnBench\.json"):
        loaded(tmp_path)
    with pytest.raises(DataError, match="expected the published index files"):
        loaded(write(tmp_path, {"Q1": entity()}, None), clusters=2)
    data = write(tmp_path, {"Q1": entity(), "Q2": entity()})
    (data / "splits" / "test_set_split.txt").unlink()
    with pytest.raises(DataError, match=r"test_set_split\.txt: this index file is missing"):
        loaded(data)


def test_instructions_for_the_attacker_come_from_a_file(tmp_path):
    source = tmp_path / "alpaca.json"
    source.write_text(json.dumps([{"instruction": f"Do {n}.", "output": "Done."} for n in range(5)]))
    data = write(tmp_path, {"Q1": entity(), "Q2": entity()})
    assert "instruct" not in loaded(data)
    assert len(loaded(data, instruct=str(source), instruct_size=3)["instruct"]) == 3


# --- the published index files


def numbered(count: int) -> dict:
    return {f"Q{n}": single(asked(f"Question {n}?", f"Answer {n}")) for n in range(count)}


@needs_splits
def test_the_published_index_files_fit_664_clusters(tmp_path):
    place = DATA / "faithun" / "splits"
    splits = loaded(write(tmp_path, numbered(664), None), 664, splits=str(place))
    assert {name: len(facts) for name, facts in splits.items()} == {"forget": 33, "retain": 66, "test": 464}
    for split, name in zip(("forget", "retain", "test"), INDEX_FILES, strict=True):
        assert [fact.id for fact in splits[split]] == [
            f"cluster-{number}" for number in (place / name).read_text().split()
        ]
    assert len({fact.id for facts in splits.values() for fact in facts}) == 33 + 66 + 464


@needs_splits
@pytest.mark.parametrize("count", [663, 665])
def test_the_published_index_files_fit_no_other_number_of_clusters(tmp_path, count):
    data = write(tmp_path, numbered(count), None)
    benchmark = FaithUn(FaithUn.Config(splits=str(DATA / "faithun" / "splits")))
    benchmark.data = data
    with pytest.raises(DataError, match=f"expected 664 base questions .* found {count}"):
        benchmark.load()
