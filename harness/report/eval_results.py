"""What a kept model says of itself on the hub: its card, and its score in the hub's `.eval_results`."""

from __future__ import annotations

import yaml

from ..leaderboard.format import interval
from ..leaderboard.robust import Robust
from .escape import file_name, markdown

DIRECTORY = ".eval_results"
"""The directory of a model's repository in which the hub looks for scores."""

LONGEST = 96
"""Characters of the name of a repository."""


def name(robust: Robust, key: str) -> str:
    """A name of its repository: what the model is, and the beginning of its key."""
    row = robust.row
    words = f"{row['model']} {row['benchmark']} {row['method']} seed {row['seed']}"
    return f"{file_name(words)[: LONGEST - 9].rstrip('-')}-{key[:8]}"


def files(robust: Robust, dataset: str, url: str) -> dict[str, bytes]:
    """By path, what stands beside the weights; without a score where the recovery is not known.

    The hub's scores are single numbers without a direction, so that it is the one of which more is better:
    1 - recovery under the attack that brought back most, within [0, 1].
    """
    made = {"README.md": card(robust, dataset, url).encode()}
    if robust.value is not None:
        entry = {
            "dataset": {"id": dataset, "task_id": robust.row["benchmark"]},
            "value": round(robust.value, 4),
            "source": {"url": url, "name": "unlearning-harness"},
            "notes": notes(robust),
        }
        text = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=1000)
        made[f"{DIRECTORY}/{file_name(robust.row['benchmark'])}.yaml"] = text.encode()
    return made


def notes(robust: Robust) -> str:
    """What the score is of."""
    return (
        f"Robust forgetting: 1 - recovery, which is {interval(robust.recovered)} under the attack that "
        f"brought back most, {robust.attack}. {robust.row['method']} on {robust.row['model']}, "
        f"seed {robust.row['seed']}; protocol {robust.row['protocol']}. {robust.signature}"
    )


def card(robust: Robust, dataset: str, url: str) -> str:
    """The card of the model."""
    from huggingface_hub import ModelCard, ModelCardData

    row = robust.row
    # What is no repository of the hub, such as a directory or an embedded model, cannot be linked to.
    base = row["model"] if row["model"].count("/") == 1 else None
    head = ModelCardData(base_model=base, library_name="transformers", tags=["machine-unlearning"])
    found = markdown(notes(robust)) if robust.value is not None else "Its recovery is not known."
    body = (
        f"# {markdown(row['method'])} on {markdown(row['benchmark'])}, seed {row['seed']}\n\n"
        f"An unlearned model: {markdown(row['model'])}, made to forget a part of "
        f"{markdown(row['benchmark'])} by {markdown(row['method'])}. What attacks bring back stands in "
        f"[{markdown(dataset)}]({url}).\n\n{found}\n"
    )
    return str(ModelCard(f"---\n{head.to_yaml()}\n---\n\n{body}"))
