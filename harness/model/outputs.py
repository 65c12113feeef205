"""The output units of the seven linear maps of each decoder layer, in a model of any family.

They are q, k, v, o of attention and gate, up, down of the feed-forward part, as Llama has them. Where a
family keeps several in one map, each is a part of that map's units; without a gate there are six.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .models import blocks, linear_modules
from .neurons import feed_forward, sizes

ATTENTION = ("q", "k", "v", "o")
"""The linear maps of attention."""

FEED_FORWARD = ("gate", "up", "down")
"""The linear maps of the feed-forward part."""

MODULES = (*ATTENTION, *FEED_FORWARD)
"""The seven linear maps of a decoder layer, in the order in which they are listed."""

_NAMES = {
    "q": ("q_proj",),
    "k": ("k_proj",),
    "v": ("v_proj",),
    "o": ("o_proj", "out_proj", "dense", "c_proj"),
}
"""What families call the linear maps of attention."""

_FUSED = ("qkv_proj", "query_key_value", "c_attn", "Wqkv")
"""What families call a map that holds q, k and v."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearOutput:
    """The output units of one of the seven maps of one layer."""

    layer: int
    module: str
    """One of ``MODULES``."""
    path: str
    """The linear module within the model; its weight is ``path.weight``."""
    linear: nn.Module
    units: Tensor
    """Long (n,), on the CPU: which outputs of ``linear`` they are; all, where it holds no other map."""

    def __len__(self) -> int:
        return len(self.units)

    def matrix(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Rows (n, in) of the map in ``weights``, those of a model by name: a row is what makes a unit."""
        weight = weights[f"{self.path}.weight"]
        rows = weight if isinstance(self.linear, nn.Linear) else weight.T
        return rows if len(self) == len(rows) else rows[self.units.to(rows.device)]


def linear_outputs(model: nn.Module) -> list[LinearOutput]:
    """The output units of every layer, layer after layer, each in the order of ``MODULES``.

    Raises ModelError, naming the family, where a layer lacks one of q, k, v, o, up and down, or keeps several
    in a map of which it is not known how it is cut.
    """
    names = {module: name for name, module in model.named_modules()}
    outputs = []
    for layer, block in enumerate(blocks(model)):
        parts = {**_attention(model, block), **_feed_forward(model, block)}
        for module in MODULES:
            if module in parts:
                linear, units = parts[module]
                outputs.append(LinearOutput(layer, module, names[linear], linear, units))
    return outputs


_Units = tuple[nn.Module, Tensor]
"""A linear module and which of its outputs belong together."""


def _attention(model: Any, block: nn.Module) -> dict[str, _Units]:
    """q, k, v and o of a layer."""
    part = feed_forward(block)
    own = {
        path.rpartition(".")[2]: module
        for path, module in linear_modules(block).items()
        if module is not part.out and module not in part.into
    }
    parts = {
        name: (own[leaf], _all(own[leaf]))
        for name, leaves in _NAMES.items()
        for leaf in leaves
        if leaf in own
    }
    for leaf in _FUSED:
        if leaf in own:
            parts.update(_cut(model, own[leaf], leaf))
    if missing := [name for name in ATTENTION if name not in parts]:
        raise ModelError(
            f"The attention of {_family(model)} ({type(block).__name__}) has no {_named(missing)} among its "
            f"linear maps ({', '.join(own) or 'none'}), whose output units an analysis of them needs."
        )
    return parts


def _cut(model: Any, linear: nn.Module, leaf: str) -> dict[str, _Units]:
    """q, k and v of a map that holds all three."""
    config = model.config.get_text_config()
    layout = _layout(config)
    if layout is None:
        raise ModelError(
            f"How {_family(model)} keeps q, k and v in one linear map ('{leaf}') is not known; it is of "
            f"{', '.join(sorted({*_ONE_GROUP, *_GROUP_PER_HEAD, 'falcon', 'gpt_bigcode'}))}."
        )
    groups, queries, keys = layout
    units = _all(linear).view(groups, queries + 2 * keys, -1)  # the last side is a head's
    pieces = units.split((queries, keys, keys), dim=1)
    return {name: (linear, piece.flatten()) for name, piece in zip("qkv", pieces, strict=True)}


_ONE_GROUP = frozenset({"gpt2", "mpt", "phi3"})
"""Families whose map holds all of q, then all of k, then all of v."""

_GROUP_PER_HEAD = frozenset({"bloom", "gpt_neox", "gpt_neox_japanese", "persimmon"})
"""Families whose map holds q, k and v of the first head, then those of the second, and so on."""


def _layout(config: Any) -> tuple[int, int, int] | None:
    """How a map of q, k and v is cut: groups, query heads of each, key heads of each (as many as of values).

    None for a family of which it is not known.
    """
    family, heads = config.model_type, config.num_attention_heads
    if family in _ONE_GROUP:
        return 1, heads, config.num_key_value_heads if family == "phi3" else heads
    if family in _GROUP_PER_HEAD:
        return heads, 1, 1
    if family == "falcon" and config.new_decoder_architecture:
        return config.num_kv_heads, heads // config.num_kv_heads, 1
    if family in ("falcon", "gpt_bigcode"):
        return (1, heads, 1) if config.multi_query else (heads, 1, 1)
    return None


def _feed_forward(model: nn.Module, block: nn.Module) -> dict[str, _Units]:
    """Up and down of a layer, and gate where there is one."""
    part = feed_forward(block)
    parts = {"down": (part.out, _all(part.out))}
    if len(part.into) == 1:
        [linear] = part.into
        units = _all(linear)
        if len(units) == part.units:
            return {"up": (linear, units), **parts}
        return {"gate": (linear, units[: part.units]), "up": (linear, units[part.units :]), **parts}
    leaves = {
        module: path.rpartition(".")[2]
        for path, module in linear_modules(block).items()
        if module in part.into
    }
    gates = [module for module in part.into if "gate" in leaves[module]]
    others = [module for module in part.into if module not in gates]
    if len(gates) != 1 or len(others) != 1:
        raise ModelError(
            f"Which of the feed-forward maps of {_family(model)} ({', '.join(leaves.values())}) is the gate "
            "is not known: there must be two, one of them with 'gate' in its name."
        )
    return {"gate": (gates[0], _all(gates[0])), "up": (others[0], _all(others[0])), **parts}


def _all(linear: nn.Module) -> Tensor:
    return torch.arange(sizes(linear)[1])


def _family(model: Any) -> str:
    return getattr(getattr(model, "config", None), "model_type", None) or type(model).__name__


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
