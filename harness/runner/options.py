"""The options of a run: what ``harness run``, ``harness.run`` and a configuration file all build."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from ..core.frame import FRAMES, PUBLISHED_DATE, FrameName
from ..core.names import TINY
from ..core.optimizers import ADAMW, KINDS
from ..errors import ConfigError, unknown
from ..plugins.settings import as_text
from ..store.urls import as_written
from . import written

DType = Literal["float32", "bfloat16", "float16"]
DTYPES = get_args(DType)
ExecutorName = Literal["local", "ray", "slurm"]
EXECUTORS = get_args(ExecutorName)
OptimizerName = Literal["adamw", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"]
OPTIMIZERS = (ADAMW, *KINDS)
Keep = Literal["none", "best", "all"]
KEEP = get_args(Keep)
Tracker = Literal["none", "wandb", "trackio"]
TRACKERS = get_args(Tracker)
SHELL = {"settings": "--set", "plugins": "--plugin"}
"""Options with another name in a shell, where they are repeated for each value."""


class Rule(str):
    """What an option may be, as the end of a sentence."""

    __slots__ = ()


class Lora(BaseModel):
    """The size of LoRA adapters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    r: int = Field(ge=1, description="rank")
    alpha: int | None = Field(None, ge=1, description="alpha; None is twice the rank")


class Damage(BaseModel):
    """A limit of damage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kl: float = Field(gt=0, allow_inf_nan=False, description="KL(original || model) in nats a token")

    @property
    def label(self) -> str:
        """It as part of the protocol's version."""
        return f"kl<={self.kl:g}"


MOST, FEW = 1_000_000, 1_000
"""The largest number that an option may be, and the largest of seeds, workers or threads."""

COUNT = Rule(f"it must be a whole number from 1 to {MOST}")
MaybeCount = Annotated[int | None, Field(ge=1, le=MOST, strict=True), COUNT]
BUDGET = Rule(f"it must be a number of GiB above 0 and at most {MOST}")
Budget = Annotated[float | None, Field(gt=0, le=MOST, allow_inf_nan=False), BUDGET]
SMALL = Rule(f"it must be a whole number from 1 to {FEW}")
Small = Annotated[int, Field(ge=1, le=FEW, strict=True), SMALL]
MaybeSmall = Annotated[int | None, Field(ge=1, le=FEW, strict=True), SMALL]
Switch = Annotated[bool, Field(strict=True), Rule("it must be true or false")]
Directory = Annotated[Path, Rule("it must be a path")]
MaybeDirectory = Annotated[Path | None, Rule("it must be a path")]
MaybeText = Annotated[str | None, Rule("it must be text")]
NAMES = Rule("it must be names, as a list or separated by commas")
Names = Annotated[tuple[str, ...], BeforeValidator(written.names), NAMES]
Tasks = Annotated[tuple[str, ...] | None, BeforeValidator(written.tasks), NAMES]
Model = Annotated[str, BeforeValidator(written.text), Rule("it must be text")]
MaybeModel = Annotated[str | None, BeforeValidator(written.text), Rule("it must be text")]
Settings = Annotated[
    dict[str, Any],
    BeforeValidator(written.settings),
    Rule("it must be NAME.setting=value, or a mapping of NAME.setting to values"),
]
Data = Annotated[
    dict[str, Path],
    BeforeValidator(written.data),
    Rule("it must be a directory, or a mapping of names to directories"),
]
Adapters = Annotated[Lora | None, BeforeValidator(written.pairs), Rule("write r=16, or r=16,alpha=32")]
SbatchOptions = Annotated[
    dict[str, Any] | None, BeforeValidator(written.pairs), Rule("write NAME=value, separated by commas")
]
DEVICE = Rule("it must be cpu, cuda, cuda:NUMBER or mps")
Device = Annotated[str | None, Field(pattern=r"^(cpu|cuda(:\d{1,3})?|mps)$"), DEVICE]
STOP = Rule("write kl=0.01: the most KL in nats a token, above 0")
Stop = Annotated[Damage | None, BeforeValidator(written.pairs), STOP]
Day = Annotated[str, BeforeValidator(written.day), Rule("write a day, as 2025-04-10")]
Files = Annotated[
    tuple[Path, ...], BeforeValidator(written.paths), Rule("it must be a path, or a list of paths")
]


class RunOptions(BaseModel):
    """Everything that a run may be told, each with its default and description: they stand nowhere else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: Names = Field(
        ("all",),
        description="Methods, separated by commas, or 'all'; 'all,-dpo' leaves one out.",
    )
    attacks: Names = Field(
        ("all",), description="Attacks, or 'all', or 'none'; NAME:VARIANT for one; -NAME leaves one out."
    )
    benchmarks: Names = Field(("faithun-mini", "tofu-mini"), description="Benchmarks, or 'all'.")
    analyses: Names = Field(
        ("none",), description="Analyses of each unlearned model, separated by commas, or 'all', or 'none'."
    )
    model: Model = Field(
        TINY, description="'tiny' (embedded), 'smollm2' (a package's), a directory, a GGUF file, or a hub id."
    )
    original: MaybeModel = Field(
        None, description="In place of --model: one that knows the facts, taken as it is. DIR or ID@REVISION."
    )
    retrain: MaybeModel = Field(
        None, description="The twin of --original that never saw the forget set. DIR or ID@REVISION."
    )
    seeds: Small = Field(3, description="Number of seeds.")
    targets: Small = Field(
        1, description="Independently trained targets, where a benchmark trains them; seeds take turns."
    )
    stop: Stop = Field(
        None,
        description="Stop unlearning by damage: kl=0.01 is at most so much KL(original || model) a token.",
    )
    settings: Settings = Field({}, description="NAME.setting=value, repeatable; see harness show.")
    data: Data = Field({}, description="Directory of a benchmark's files; NAME=DIR if there are several.")
    results: Directory = Field(Path("results"), description="Where the cells are kept.")
    any_source: Switch = Field(
        False, description="Take cells in --results as done that another version of the code has made."
    )
    cache: MaybeDirectory = Field(None, description="Where targets are kept. [default: $HARNESS_CACHE]")
    keep: Annotated[Keep, Rule(f"it must be one of {', '.join(KEEP)}")] = Field(
        "none",
        description="Unlearned models to keep in --cache: none, best (of each method one seed) or all.",
    )
    keep_budget: Budget = Field(
        None, description="GiB that kept models may take in all. [default: what is free]"
    )
    jobs: MaybeSmall = Field(
        None,
        description="Worker processes. [default: one for each GPU, or for each core; what a cluster takes]",
    )
    track: Annotated[Tracker, Rule(f"it must be one of {', '.join(TRACKERS)}")] = Field(
        "none",
        description="Tell wandb or trackio of each unlearned model: curves, costs and final numbers.",
    )
    executor: Annotated[ExecutorName, Rule(f"it must be one of {', '.join(EXECUTORS)}")] = Field(
        "local", description="What runs the work: local (this machine), ray, or slurm."
    )
    ray_address: MaybeText = Field(
        None,
        description="HOST:PORT of a Ray cluster. [default: that of this machine; one is begun if need be]",
    )
    slurm: SbatchOptions = Field(None, description="Options of sbatch: partition=gpu,mem=64G,time=240.")
    threads: MaybeSmall = Field(
        None, description="Threads of each worker, on a CPU. [default: the cores it has; 1 for a small model]"
    )
    device: Device = Field(
        None, description="cpu, cuda, cuda:1 or mps. [default: the first GPU, or one for each worker]"
    )
    dtype: Annotated[DType, Rule(f"it must be one of {', '.join(DTYPES)}")] = Field(
        "float32", description="float32, bfloat16 or float16 (which scores, but trains nothing)."
    )
    frame: Annotated[FrameName, Rule(f"it must be one of {', '.join(FRAMES)}")] = Field(
        "auto",
        description="How a model is asked: its chat template, 'plain' (Question: ... Answer:), or as "
        "'openunlearning' does. [default: the template if there is one]",
    )
    date: Day = Field(
        PUBLISHED_DATE.isoformat(), description="The day that chat templates may write into prompts."
    )
    revision: MaybeText = Field(None, description="Revision of a hub model (--model).")
    trust_remote_code: Switch = Field(False, description="Run code that comes with a model.")
    micro_batch: MaybeCount = Field(None, description="Split steps to save memory.")
    checkpointing: Switch = Field(
        False, description="Compute activations a second time instead of keeping them: less memory."
    )
    offload: Switch = Field(
        False, description="Keep snapshots of weights in the machine's memory instead of the GPU's."
    )
    optimizer: Annotated[OptimizerName, Rule(f"it must be one of {', '.join(OPTIMIZERS)}")] = Field(
        ADAMW,
        description="AdamW of methods and attacks: adamw, adamw_8bit, paged_adamw_32bit or paged_adamw_8bit.",
    )
    deterministic: Switch = Field(
        False, description="Use kernels that repeat themselves to the bit, where there are such."
    )
    lora: Adapters = Field(None, description="Train LoRA adapters: r=16 or r=16,alpha=32. Needs peft.")
    controls: Switch = Field(True, description="Add none, retrain and refusal to every table.")
    utility: Tasks = Field(
        None,
        description="lm-eval tasks, separated by commas, or 'none'. "
        "[default: all of --utility-tasks, or those of the embedded worlds]",
    )
    utility_limit: MaybeCount = Field(
        None, description="Items of each lm-eval task, the first ones. [default: all]"
    )
    utility_tasks: MaybeDirectory = Field(None, description="Directory of your own lm-eval tasks (YAML).")
    trust_code: Switch = Field(False, description="Run Python code that files of --utility-tasks name.")
    dry_run: Switch = Field(False, description="Show the plan and stop.")
    plugins: Files = Field((), description="A Python file with plugins, repeatable.")

    @classmethod
    def of(cls, given: Mapping[str, Any], file: Path | None = None) -> RunOptions:
        """The options with these values. Raises ConfigError with all that is wrong, a line for each.

        Where they come from a ``file`` it is named; otherwise they are called what they are in a shell.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            lines = dict.fromkeys(_sentence(problem, given, file) for problem in error.errors())
            raise ConfigError("\n".join(lines)) from None

    def over(self, base: RunOptions) -> RunOptions:
        """These options, and ``base`` for what was not given; settings and data win one by one."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        for name in given.keys() & {"settings", "data"}:
            given[name] = getattr(base, name) | given[name]
        return base.model_copy(update=given)


def in_shell(name: str) -> str:
    """An option as it is written in a shell."""
    return SHELL.get(name, f"--{name.replace('_', '-')}")


def as_command(options: RunOptions) -> str:
    """The line of a shell that does a run with these options, those that were given."""
    words = ["harness", "run"]
    for name in RunOptions.model_fields:
        value, flag = getattr(options, name), in_shell(name)
        if name not in options.model_fields_set or name == "dry_run" or value is None:
            continue
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif name == "slurm":
            words += [flag, as_text([f"{key}={part}" for key, part in value.items()])]
        elif isinstance(value, Mapping):
            pairs = ((f"{key}=" if key else "") + as_text(part) for key, part in value.items())
            words += [word for pair in pairs for word in (flag, pair)]
        elif name == "plugins":
            words += [word for path in value for word in (flag, str(path))]
        elif isinstance(value, Lora):
            words += [flag, as_text([f"{key}={part}" for key, part in value if part is not None])]
        elif name == "results":
            words += [flag, as_written(value)]
        else:
            words += [flag, as_text(value) or "none"]
    return shlex.join(words)


def _sentence(problem: ErrorDetails, given: Mapping[str, Any], file: Path | None) -> str:
    name = str(problem["loc"][0])
    where = f"{file}: " if file else ""
    if name not in RunOptions.model_fields:
        return where + unknown("option named", name, RunOptions.model_fields)
    if problem["type"] == written.SENTENCE:
        return where + problem["msg"]
    [rule] = [part for part in RunOptions.model_fields[name].metadata if isinstance(part, Rule)]
    value = written.as_written(given[name])
    return f"{where}{f'{name}:' if file else in_shell(name)} {value}: {rule}."
