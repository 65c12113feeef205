"""What others submit is written, looked at as data, and shown with a badge; what is forged is found."""

from __future__ import annotations

import json
import re
import shutil

import pyarrow.parquet as pq
import pytest

from harness.leaderboard import again as drawing
from harness.leaderboard import submissions as rules
from harness.store.intervals import mean_interval
from harness.store.submission import opened
from support.command import harness_cli
from support.submitted import committed, forge, results


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """A directory with one submission, and the cells of maintainers beside it."""
    folder = tmp_path_factory.mktemp("submitted")
    cells = committed(folder / "theirs")
    ended = harness_cli(
        *("submit", "--results", results(folder / "results")),
        *("--out", folder / "submissions" / "mine", "--cells", cells),
    )
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def place(submitted, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(submitted, tmp_path / "copy")
    return tmp_path / "copy"


def check(place, *more):
    return harness_cli(
        "leaderboard", "submissions", place / "submissions", "--cells", place / "theirs/cells", *more
    )


def test_what_was_submitted_keeps_the_rules_and_says_what_it_is(submitted):
    ended = check(submitted)
    assert (ended.code, ended.err) == (0, "")
    assert "mine: 16 cells keep the rules; badge: self-reported." in ended.out
    manifest = json.loads((submitted / "submissions/mine/submission.json").read_text())
    assert manifest["methods"] == ["mine", "none", "refusal", "retrain"]
    assert manifest["plugins"] == {"strange": ["0.1"], "unlearning-harness": ["0.1.0"]}
    assert set(manifest["files"]) == {
        str(path.relative_to(submitted / "submissions/mine"))
        for path in (submitted / "submissions/mine").rglob("*.*")
        if path.name != "submission.json"
    }


def test_the_board_shows_its_rows_with_a_badge_and_those_of_maintainers_as_they_are(place):
    out = place / "board"
    assert check(place, "--out", out).code == 0
    board = pq.read_table(out / "leaderboard.parquet").to_pylist()
    assert {(row["method"], row["badge"]) for row in board} == {
        ("mine", "self-reported"),
        *((name, "maintainer") for name in ("none", "retrain", "refusal", "gd")),
    }
    assert "| mine | self-reported |" in (out / "README.md").read_text()
    [data] = re.findall(r'id="data">(.*?)</script>', (out / "index.html").read_text(), re.DOTALL)
    assert "badge" in [column["name"] for column in json.loads(data)["columns"]]
    pages = {path.name: path.read_bytes() for path in out.iterdir()}
    assert harness_cli("leaderboard", "pages", "--out", out).code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == pages

    forge(place / "submissions/mine", value_by_hand, consistent=False)
    assert check(place, "--out", out).code == 1
    without = pq.read_table(out / "leaderboard.parquet")
    assert "badge" not in without.column_names
    numbers = ("signature", "score", "recovery", "forget_before", "worst", "verdict")
    theirs = [tuple(row[name] for name in numbers) for row in board if row["method"] != "mine"]
    assert theirs == [tuple(row[name] for name in numbers) for row in without.to_pylist()]


def test_a_badge_holds_for_the_content_that_it_was_given_for(place):
    content = opened(place / "submissions/mine").content
    badges = place / "submissions/badges.json"
    badges.write_text(json.dumps({"mine": {"badge": "reproduced", "content": content}}))
    assert "badge: reproduced." in check(place).out
    badges.write_text(json.dumps({"mine": {"badge": "reproduced", "content": "0" * 64}}))
    ended = check(place)
    assert (ended.code, "was given for another content" in ended.err) == (1, True)
    badges.write_text(json.dumps({"mine": {"badge": "trusted", "content": content}}))
    assert (check(place).code, "must be reproduced or maintainer" in check(place).err) == (2, True)


def of(method, attack):
    return lambda row: (row["method"], row["attack"]) == (method, attack)


def scored(row, known):
    """Have the cell answer so many facts, and all that follows from it right."""
    for sample in row["samples"]:
        if sample["split"] == "forget":
            sample["value"] = float(int(sample["fact_id"][1:]) < known)
    low, high = mean_interval([float(i < known) for i in range(20)])
    for metric in row["metrics"]:
        if metric["split"] == "forget":
            metric.update(value=known / 20, low=low, high=high)


def value_by_hand(row):
    if of("mine", "private-data")(row):
        row["metrics"][-1]["value"] = 0.1


def key_of_another_configuration(row):
    if row["method"] == "mine":
        row["method_config"] = '{"alpha":0.5}'


def other_facts(row):
    row["data_fingerprint"] = "e" * 64


def renamed(row):
    if row["method"] == "mine":
        row["method"], row["method_plugin"] = "npo2", "unlearning-harness 0.1.0"


def name_of_ours(row):
    if row["method"] == "mine":
        row["method"] = "npo"


def html(row):
    if row["method"] == "mine":
        row["method"] = "<img src=x onerror=alert(1)>"


def way_out(row):
    if row["method"] == "mine":
        row["method"] = "../../../mine"


def control_that_never_knew(row):
    if of("none", "none")(row):
        scored(row, 4)


def control_under_attack(row):
    if of("none", "private-data")(row):
        scored(row, 3)


@pytest.mark.parametrize(
    ("edit", "consistent", "says"),
    [
        (value_by_hand, False, "the cell [0-9a-f]{12}: "),
        (key_of_another_configuration, False, "its key does not follow from the columns of its row"),
        (
            other_facts,
            True,
            r"asks other facts \(eeeeeeeeeeee\) than other cells on world with the same",
        ),
        (renamed, True, "the method 'npo2' says that it comes from unlearning-harness, which has none"),
        (name_of_ours, True, "the method 'npo' has a name of unlearning-harness, and comes from strange 0.1"),
        (html, True, "'<img src=x .* is no name of a plugin, as the method of the cell"),
        (way_out, True, "'../../../mine' is no name of a plugin, as the method of the cell"),
        (control_that_never_knew, True, "world none none seed 0 is not above chance"),
        (
            control_under_attack,
            True,
            "of world none private-data p=0.1 seed 0 is 0.15, and 1 in the committed cells",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_forged_is_found_from_the_data_alone(place, edit, consistent, says):
    forge(place / "submissions/mine", edit, consistent)
    ended = check(place)
    assert ended.code == 1
    assert re.search(says, " ".join(ended.err.split())), ended.err
    assert {path.name for path in place.parent.iterdir()} == {"copy"}


def test_settings_that_no_configuration_has_are_found_although_the_key_follows(place):
    run = next((place / "submissions/mine/runs").iterdir())
    run.write_text(run.read_text().replace("settings: {}", "settings: {mine.alpha: 1.0}"))
    forge(place / "submissions/mine", key_of_another_configuration)
    ended = check(place)
    assert (ended.code, "no configuration in runs/ makes the cell world mine none seed 0" in ended.err) == (
        1,
        True,
    )


def test_without_controls_beside_it_a_method_says_nothing(tmp_path):
    alone = results(tmp_path / "results", ("mine",))
    ended = harness_cli("submit", "--results", alone, "--out", tmp_path / "mine", "--cells", tmp_path / "no")
    assert ended.code == 1
    assert "world mine private-data p=0.1 has no 'none' beside it; run with controls" in ended.err


def test_numbers_that_all_agree_with_each_other_are_not_found_without_making_them_again(place):
    """What digests and rules cannot do, and the documentation says so: see the test of --run-plugins."""

    def lower(row):
        if of("mine", "private-data")(row):
            scored(row, 3)

    forge(place / "submissions/mine", lower)
    assert check(place).code == 0


@pytest.fixture
def run_by_stranger(world, monkeypatch):
    """A real run of a stranger, submitted. Its model knows nothing, and the rule that says so is off."""
    kept = [rule for rule in rules.RULES if rule.__name__ != "_original_knows"]
    monkeypatch.setattr(rules, "RULES", kept)
    ended = world.run("sick", "nudge", "stub")
    assert ended.code == 0, ended.err
    ended = harness_cli(
        *("submit", "--results", world.path(), "--methods", "sick"),
        *("--out", world.folder / "submissions/sick", "--cells", world.folder / "none"),
    )
    assert ended.code == 0, ended.err
    return world.folder / "submissions"


def all_retained(row):
    """A forgery that agrees with itself: all facts to be kept are known."""
    if of("sick", "none")(row):
        for sample in row["samples"]:
            if sample["split"] == "retain":
                sample["value"] = 1.0
        for metric in row["metrics"]:
            if metric["split"] == "retain":
                low, high = mean_interval([1.0] * metric["n"])
                metric.update(value=1.0, low=low, high=high)


def test_code_runs_and_a_drawn_cell_is_made_again_only_when_that_is_asked_for(run_by_stranger, world):
    rows = [
        row
        for cell in opened(run_by_stranger / "sick").cells().stored().values()
        for row in cell.row.to_pylist()
    ]
    seed = next(seed for seed in range(99) if drawing.sample(rows, 1, seed)[0]["stage"] == "evaluation")
    arguments = ("leaderboard", "submissions", run_by_stranger, "--cells", world.folder / "none")
    again = ("--run-plugins", "--model", world.model, "--cache", world.cache, "--seed", seed)
    ended = harness_cli(*arguments, *again)
    assert ended.code == 0, ended.err
    assert "its code runs now, with your rights" in ended.out.lower()
    assert ", 0 disagree" in ended.out
    [entry] = re.findall(r"for badges.json: (\{.*\})", " ".join(ended.out.split()))
    (run_by_stranger / "badges.json").write_text(entry)

    world.switch("sick")  # from here on the code of the submission fails where it runs
    ended = harness_cli(*arguments, "--requirements", world.folder / "pip.txt")
    assert (ended.code, "badge: reproduced" in ended.out) == (0, True)
    assert (world.folder / "pip.txt").read_text() == "stub_plugin==1.0\n"
    ended = harness_cli(*arguments, *again)
    assert (ended.code, "not reproduced" in ended.err) == (1, True)
    (world.faults / "sick").unlink()

    (run_by_stranger / "badges.json").unlink()
    forge(run_by_stranger / "sick", all_retained)
    assert harness_cli(*arguments).code == 0  # no rule finds it
    ended = harness_cli(*arguments, *again)
    assert (ended.code, "not reproduced" in ended.err) == (1, True)
