"""Which cells there are, and what their keys depend on: what decides a number, and nothing else."""

from __future__ import annotations

import json
import shutil

import pytest

import harness.engine.targets
import harness.runner.planner
from harness.core.fingerprint import HARNESS, engine_fingerprint
from harness.engine.source import Source
from harness.runner import resolve
from harness.runner.options import RunOptions
from harness.runner.plan import Plan
from harness.runner.resolve import resolved
from support.site import install, on_path
from support.stub import TOWNS

MINE = """
import harness
from harness.core.base import Attack, Method


class Mine(Method):
    \"\"\"Does nothing.\"\"\"

    name = "mine"

    def unlearn(self, job):
        pass


class Probe(Attack):
    \"\"\"Asks again.\"\"\"

    name = "probe"

    def attack(self, job):
        job.checkpoint()


@harness.hookimpl
def register_{kind}s(register):
    register("{name}", {cls})
"""


@pytest.fixture
def wanted(world):
    """A run of two benchmarks, one of them from files; nothing of it is ever computed."""
    folder = world.folder / "towns"
    folder.mkdir()
    (folder / "facts.json").write_text(json.dumps(TOWNS))
    return {
        "methods": "gd,npo",
        "attacks": "private-data,instruction",
        "benchmarks": "stub,stub-files",
        "model": world.model,
        "seeds": 2,
        "data": folder,
        "results": world.folder / "results",
        "cache": world.folder / "cache",
    }


def plan_of(wanted):
    """What is to be done."""
    return resolved(RunOptions.of(wanted)).plan


def replace(wanted, **options):
    """The same run with other options."""
    return {**wanted, **options}


def keys(wanted):
    """By name, the key of every cell."""
    plan = plan_of(wanted)
    found = {
        (
            group.benchmark.name,
            group.method.name,
            cell.attack.name if cell.attack else "none",
            cell.variant,
            cell.seed,
        ): cell.key
        for group in plan.groups
        for cell in group.cells
    }
    assert len(found) == len(set(found.values())) == len(plan.cells), "no two cells share a key"
    return found


def moved(before, after):
    """The names of cells whose key is another one."""
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def only(before, *parts):
    """The names of cells in which all of ``parts`` occur."""
    return {name for name in before if set(parts) <= set(name)}


def test_a_cell_for_each_method_attack_variant_and_seed(wanted):
    plan = plan_of(wanted)
    methods, attacks, seeds, benchmarks = 5, 1 + 2 + 1, 2, 2
    assert len(plan.cells) == methods * attacks * seeds * benchmarks
    unseeded, seeded = 2, 3
    assert len(plan.groups) == (unseeded + seeded * seeds) * benchmarks


def test_all_seeds_of_a_method_without_a_seed_share_one_model(wanted):
    plan = plan_of(wanted)
    seeds = {
        (group.benchmark.name, group.method.name, group.seed): {cell.seed for cell in group.cells}
        for group in plan.groups
    }
    assert seeds["stub", "none", 0] == seeds["stub", "retrain", 0] == {0, 1}
    assert seeds["stub", "gd", 0] == {0}
    assert seeds["stub", "gd", 1] == {1}


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (["stub.threshold=0.03"], ["stub"]),
        (["stub-files.epochs=3"], ["stub-files"]),
        (["gd.gamma=0.5"], ["gd"]),
        (["npo.beta=0.2"], ["npo"]),
        (["refusal.refusal=No."], ["refusal"]),
        (["gd.epochs=3"], ["gd"]),
        (["instruction.items=5"], ["instruction"]),
        (["private-data.pool=unanswered"], ["private-data"]),
        (["instruction.learning_rates=1e-3"], ["instruction"]),
    ],
)
def test_a_setting_is_in_the_keys_of_its_plugin_and_in_no_other(wanted, settings, parts):
    before = keys(wanted)
    assert moved(before, keys(replace(wanted, settings=settings))) == only(before, *parts)


def test_a_setting_that_says_the_default_changes_nothing(wanted):
    same = replace(wanted, settings=["gd.gamma=1", "gd.epochs=60", "instruction.items=1000"])
    assert moved(keys(wanted), keys(same)) == set()


def test_one_changed_fact_is_in_the_keys_of_its_benchmark_and_in_no_other(wanted, world):
    before = keys(wanted)
    (world.folder / "towns" / "facts.json").write_text(json.dumps(["Paris", *TOWNS[1:]]))
    harness.runner.planner.loaded.cache_clear()
    assert moved(before, keys(wanted)) == only(before, "stub-files")


def test_one_byte_of_the_base_model_is_in_every_key(wanted, world):
    other = world.folder / "model"
    shutil.copytree(world.model, other)
    weights = other / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    before = keys(wanted)
    assert moved(before, keys(replace(wanted, model=str(other)))) == set(before)


def test_the_number_format_is_in_every_key(wanted):
    before = keys(wanted)
    assert moved(before, keys(replace(wanted, dtype="bfloat16"))) == set(before)


def test_the_protocol_is_in_every_key(wanted, monkeypatch):
    before = keys(wanted)
    monkeypatch.setattr(harness.runner.planner, "PROTOCOL", "0")
    assert moved(before, keys(wanted)) == set(before)


@pytest.mark.parametrize("name", ["model/losses.py", "core/keys.py"])
def test_the_source_of_the_engine_is_in_every_key(wanted, world, monkeypatch, name):
    copy = world.folder / "harness"
    shutil.copytree(HARNESS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = keys(wanted)
    (copy / name).write_text((copy / name).read_text() + "# another engine\n")
    for module in (harness.runner.planner, harness.engine.targets):
        monkeypatch.setattr(module, "engine_fingerprint", lambda: engine_fingerprint(copy))
    assert moved(before, keys(wanted)) == set(before)


@pytest.mark.parametrize(("kind", "name", "cls"), [("method", "mine", "Mine"), ("attack", "probe", "Probe")])
def test_the_source_of_a_plugin_is_in_its_own_keys_and_in_no_other(wanted, world, kind, name, cls):
    source = MINE.format(kind=kind, name=name, cls=cls)
    wanted = replace(wanted, **{f"{kind}s": f"{wanted[f'{kind}s']},{name}"})
    found = []
    for version, text in enumerate([source, source, source + "# a comment counts, too\n"]):
        with on_path(install(world.folder / f"site{version}", text, "mine_plugin")):
            found.append(keys(wanted))
    assert moved(found[0], found[1]) == set()
    assert moved(found[0], found[2]) == only(found[0], name) != set()


def test_the_version_of_a_distribution_is_in_the_keys_of_its_plugins(wanted, world):
    source = MINE.format(kind="method", name="mine", cls="Mine")
    wanted = replace(wanted, methods="gd,mine")
    found = []
    for version in ("1.0", "1.1"):
        with on_path(install(world.folder / version, source, "mine_plugin", version)):
            found.append(keys(wanted))
    assert moved(*found) == only(found[0], "mine")


def test_more_seeds_and_methods_add_cells_and_change_none(wanted):
    more = keys(replace(wanted, seeds=3, methods="gd,npo,ssiuu"))
    before = keys(wanted)
    assert before.items() < more.items()
    assert len(more) == len(before) * 6 // 5 * 3 // 2


def test_a_variant_asked_for_alone_is_the_same_cell(wanted):
    alone = keys(replace(wanted, attacks="private-data:p=0.3"))
    assert alone.items() < keys(wanted).items()
    assert {variant for *_, variant, _ in alone} == {"", "p=0.3"}


def test_no_key_depends_on_a_place(wanted, world, monkeypatch):
    before = keys(wanted)
    for name in ("model", "towns"):
        shutil.copytree(world.model if name == "model" else world.folder / "towns", world.folder / "b" / name)
    monkeypatch.chdir(world.folder / "b")
    elsewhere = replace(
        wanted,
        model="model",
        data=["stub-files=towns"],
        results=world.folder / "b" / "other",
        cache=world.folder / "b" / "cache",
        jobs=3,
        threads=2,
        micro_batch=1,
    )
    assert moved(before, keys(elsewhere)) == set()


def test_planning_makes_nothing(wanted, world):
    before = sorted(world.folder.rglob("*"))
    plan_of(wanted)
    assert sorted(world.folder.rglob("*")) == before


def test_benchmarks_that_train_alike_share_their_targets(wanted):
    plan = plan_of(replace(wanted, benchmarks="stub,stub-two", data=[]))
    assert {group.benchmark.name for group in plan.groups} == {"stub", "stub-two"}
    assert len({group.target for group in plan.groups}) == 1
    assert sorted(target.role for target in plan.recipes.values()) == ["original", "retrain"]


def test_seeds_take_turns_on_targets_that_are_trained_independently(wanted):
    plan = plan_of(replace(wanted, benchmarks="stub", data=[], seeds=5, targets=2))
    assert sorted(target.name for target in plan.recipes.values()) == [
        "original",
        "original 2",
        "retrain",
        "retrain 2",
    ]
    by_seed = {cell.seed: group for group in plan.groups if group.method.name == "gd" for cell in group.cells}
    assert [by_seed[seed].replicate for seed in range(5)] == [0, 1, 0, 1, 0]
    assert {group.target for group in plan.groups if group.replicate} == {by_seed[1].target}
    assert by_seed[0].target == by_seed[4].target != by_seed[1].target
    assert len({group.family for group in plan.groups}) == 1
    # A method without a seed makes one model of each target.
    shared = [group for group in plan.groups if group.method.name == "none"]
    assert sorted(sorted({cell.seed for cell in group.cells}) for group in shared) == [[0, 2, 4], [1, 3]]


def test_more_targets_leave_the_keys_of_the_first_as_they_are(wanted):
    one = plan_of(replace(wanted, benchmarks="stub", data=[], seeds=3))
    three = plan_of(replace(wanted, benchmarks="stub", data=[], seeds=3, targets=3))
    same = {cell.key for cell in one.cells} & {cell.key for cell in three.cells}
    assert same == {cell.key for cell in one.cells if cell.seed == 0}


def test_a_model_that_is_taken_as_it_is_has_no_replicates(wanted):
    one = plan_of(replace(wanted, benchmarks="stub-bare", data=[]))
    two = plan_of(replace(wanted, benchmarks="stub-bare", data=[], targets=2))
    assert [cell.key for cell in one.cells] == [cell.key for cell in two.cells]


def test_a_limit_of_damage_makes_another_protocol(wanted):
    free = plan_of(replace(wanted, benchmarks="stub", data=[]))
    plan = plan_of(replace(wanted, benchmarks="stub", data=[], stop="kl=0.01"))
    assert {group.protocol for group in plan.groups} == {f"{harness.store.schema.PROTOCOL}, kl<=0.01"}
    assert not {cell.key for cell in plan.cells} & {cell.key for cell in free.cells}


def test_another_optimiser_makes_another_protocol_and_other_savings_of_memory_do_not(wanted, monkeypatch):
    monkeypatch.setattr(resolve, "check_installed", lambda kind: None)
    free = plan_of(replace(wanted, benchmarks="stub", data=[]))
    plan = plan_of(replace(wanted, benchmarks="stub", data=[], optimizer="adamw_8bit"))
    assert {group.protocol for group in plan.groups} == {f"{harness.store.schema.PROTOCOL}, adamw_8bit"}
    assert not {cell.key for cell in plan.cells} & {cell.key for cell in free.cells}
    less = {"offload": True, "checkpointing": True, "deterministic": True, "device": "cpu"}
    same = plan_of(replace(wanted, benchmarks="stub", data=[], **less))
    assert [cell.key for cell in same.cells] == [cell.key for cell in free.cells]


def test_another_training_makes_other_targets(wanted):
    plan = plan_of(
        replace(wanted, benchmarks="stub,stub-two", data=[], settings=["stub-two.epochs=3"]),
    )
    assert len(plan.recipes) == 4


def test_what_cannot_be_run_is_left_out_with_a_sentence(wanted):
    plan = plan_of(replace(wanted, benchmarks="stub-bare", data=[]))
    assert plan.left_out == [
        "instruction on stub-bare: the benchmark has no split 'instruct'.",
        "retrain on stub-bare: no model can be trained without its forget set.",
    ]
    assert {group.method.name for group in plan.groups} == {"none", "refusal", "gd", "npo"}
    assert {cell.attack.name for cell in plan.cells if cell.attack} == {"private-data"}
    assert not any(group.trained_models for group in plan.groups)


def test_a_variant_that_lacks_something_is_left_out_alone(wanted):
    plan = plan_of(replace(wanted, benchmarks="stub", data=[], attacks="prompt"))
    assert plan.left_out == ["prompt paraphrase on stub: no forget fact has a paraphrase."]
    assert {cell.variant for cell in plan.cells if cell.attack} == {"prefix", "in-context"}


def test_only_a_method_that_reads_the_twin_waits_for_it(wanted):
    plan = plan_of(wanted)
    assert {group.method.name for group in plan.groups if group.twin} == {"retrain"}


@pytest.mark.parametrize(
    ("model", "benchmark", "parameters", "unlearn", "attack"),
    [
        (None, "stub", 7 * 10**9, harness.engine.protocol.PUBLISHED, [1e-5, 5e-6, 1e-6]),
        (None, "stub", 135 * 10**6, harness.engine.protocol.SMALL, [5e-5]),
        (None, "stub", 10**4, harness.engine.protocol.EMBEDDED, [1e-3, 5e-4, 1e-4]),
        ("tiny", "tofu-mini", 0, harness.engine.protocol.EMBEDDED, [1e-3, 5e-4, 1e-4]),
    ],
)
def test_settings_left_open_are_those_of_the_models_size(
    wanted, monkeypatch, model, benchmark, parameters, unlearn, attack
):
    monkeypatch.setattr("harness.model.loading.count", lambda *given: parameters)
    chosen = replace(wanted, model=model or wanted["model"], benchmarks=benchmark, data=[])
    plan = plan_of(replace(chosen, methods="gd", attacks="private-data:p=0.1"))
    [group, *_] = [group for group in plan.groups if group.method.name == "gd"]
    config = json.loads(group.method.config)
    assert config["learning_rates"] == list(unlearn.learning_rates)
    assert (config["epochs"], config["batch_size"]) == (unlearn.epochs, unlearn.batch_size)
    [attacked, *_] = [cell for cell in group.cells if cell.attack and cell.attack.kind == "attack"]
    assert json.loads(attacked.attack.config)["learning_rates"] == attack


@pytest.fixture
def compared(wanted):
    """A run of one benchmark that compares with the twin and one that does not."""
    return replace(wanted, benchmarks="stub,stub-compared", data=[])


def reference(wanted):
    """The reference of all groups of the benchmark that compares."""
    plan = plan_of(wanted)
    assert {group.reference for group in plan.groups if group.benchmark.name == "stub"} == {None}
    [found] = {group.reference for group in plan.groups if group.benchmark.name == "stub-compared"}
    return found


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"settings": ["stub-compared.epochs=3"]}, True),
        ({"settings": ["stub-compared.threshold=0.5"]}, True),
        ({"dtype": "bfloat16"}, True),
        ({"settings": ["stub.epochs=3"]}, False),
        ({"settings": ["gd.gamma=0.5"]}, False),
        ({"methods": "npo", "seeds": 1, "jobs": 2, "micro_batch": 1}, False),
    ],
)
def test_the_samples_of_a_twin_are_keyed_by_what_decides_them(compared, change, moves):
    assert (reference(replace(compared, **change)).key != reference(compared).key) == moves


@pytest.mark.parametrize("part", ["protocol", "engine", "benchmark", "data", "dtype", "target"])
def test_each_part_of_the_key_of_a_twins_samples_counts(compared, monkeypatch, part):
    before = reference(compared)

    def other(value, real=harness.runner.planner.key):
        return real({**value, part: "another"} if "samples" in value else value)

    monkeypatch.setattr(harness.runner.planner, "key", other)
    assert reference(compared).key != before.key


def test_every_cell_is_keyed_by_the_twin_that_says_what_is_forgotten(compared, monkeypatch):
    before = keys(compared)

    def other(value, real=harness.runner.planner.key):
        return real({**value, "more": 1} if "samples" in value else value)

    monkeypatch.setattr(harness.runner.planner, "key", other)
    mine = {name for name in before if name[0] == "stub-compared"}
    assert moved(before, keys(compared)) == mine != set()


def test_all_that_is_left_to_do_waits_for_the_twin(compared):
    plan = plan_of(compared)
    mine = [group for group in plan.groups if group.benchmark.name == "stub-compared"]
    twin = mine[0].reference.target
    evaluated = {cell.key for group in mine for cell in group.cells if cell.attack is None}
    left = [group for group in plan.missing(evaluated) if group.benchmark.name == "stub-compared"]
    assert left
    assert all(twin in group.trained_models for group in (*mine, *left))


def test_what_is_left_to_do_keeps_the_rest_of_its_group(wanted):
    plan = plan_of(replace(wanted, benchmarks="stub", data=[]))
    done = {cell.key for group in plan.groups for cell in group.cells[:2]}
    left = plan.missing(done)
    assert {cell.key for group in left for cell in group.cells} == {c.key for c in plan.cells} - done
    assert {group.key for group in left} == {group.key for group in plan.groups}
    assert plan.missing({cell.key for cell in plan.cells}) == []


@pytest.mark.parametrize(
    ("parameters", "groups", "jobs", "threads"),
    [
        (135_000_000, 1, 8, 8),
        (135_000_000, 3, 8, 2),
        (135_000_000, 20, 8, 1),
        (135_000_000, 20, 2, 4),
        (135_000_000, 0, 4, 8),
        (500_000, 1, 8, 1),
        (None, 1, 8, 1),
    ],
)
def test_workers_of_a_large_model_share_the_cores(monkeypatch, parameters, groups, jobs, threads):
    monkeypatch.setattr("harness.runner.resolve.cores", lambda: 8)
    plan = Plan(Source("org/model", parameters=parameters), groups=[None] * groups)
    assert resolve.threads(plan, jobs) == threads
