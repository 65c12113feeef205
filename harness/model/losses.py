"""Loss building blocks: NLL, cross-entropy, KL to the original model. Only answer tokens count by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..core.batch import IGNORED, Encoded, TokenBatch
from ..core.jobs import Job
from . import models, sharding


def answer_logits(model: Callable[..., Any], texts: TokenBatch) -> tuple[Tensor, Tensor]:
    """Logits (B, K, V) that predict the answer tokens, and their labels (B, K); K the longest answer.

    Nothing else is projected to the vocabulary: with 128k words that tensor would be the biggest of all.
    """
    width = texts.answer_width
    output = model(
        input_ids=texts.input_ids,
        attention_mask=texts.attention_mask,
        position_ids=texts.position_ids,
        logits_to_keep=width + 1,
        use_cache=False,
    )
    return output.logits[:, -width - 1 : -1], texts.labels[:, -width:]


def full_precision(logits: Tensor) -> Tensor:
    """In float32 or better: a log-softmax over many words in bfloat16 says little."""
    return logits if logits.dtype == torch.float64 else logits.float()


def double(tensor: Tensor) -> Tensor:
    """In float64, on the CPU where the device lacks it (Apple's GPUs)."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def nll(model: nn.Module, texts: TokenBatch) -> Tensor:
    """NLL_sum (B,) in nats: sum over answer tokens of -log pi(y_t | x, y_<t), in float32 or better."""
    return nll_of(*answer_logits(model, texts))


def nll_of(logits: Tensor, labels: Tensor) -> Tensor:
    """NLL_sum (B,) in nats of labels (B, K) under logits (B, K, V), as :func:`answer_logits` gives both."""
    return token_nll(logits, labels).sum(dim=1)


def token_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """-log pi(y_t | x, y_<t) (B, K) in nats of each answer token, 0 where there is none."""
    losses = nn.functional.cross_entropy(
        full_precision(logits).flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(labels.shape)


def lengths(texts: TokenBatch) -> Tensor:
    """|y| (B,): answer tokens of each text, the end token counted."""
    return (texts.labels != IGNORED).sum(dim=1)


def cross_entropy(model: nn.Module, texts: TokenBatch) -> Tensor:
    """CE: the mean of -log pi over the answer tokens of the optimisation step."""
    return nll(model, texts).sum() / texts.step_tokens


def kl_to(
    model: nn.Module, weights: Mapping[str, Tensor], texts: TokenBatch, prompts: bool = False
) -> Tensor:
    """KL(pi_0 || pi) in nats, averaged over the answer tokens of the step; ``weights`` are those of pi_0.

    With ``prompts`` the mean over all tokens of each text but its first, averaged over the texts of the step.
    The same module runs with the other weights: no second model is built.
    """
    if prompts:
        texts = with_prompts(texts)
    logits, labels = answer_logits(model, texts)
    reference = reference_logits(model, weights, texts)
    chosen = labels != IGNORED
    now, before = (full_precision(x[chosen]).log_softmax(dim=-1) for x in (logits, reference))
    if not prompts:
        return nn.functional.kl_div(now, before, reduction="sum", log_target=True) / texts.step_tokens
    each = nn.functional.kl_div(now, before, reduction="none", log_target=True).sum(dim=-1)
    return (each / lengths(texts)[chosen.nonzero()[:, 0]]).sum() / texts.step_items


@torch.no_grad()
def reference_logits(model: nn.Module, weights: Mapping[str, Tensor], texts: TokenBatch) -> Tensor:
    """Logits (B, K, V) as of :func:`answer_logits` with other weights in the same module, without gradient.

    ``weights`` have the plain model's names; adapters that the model has count as 0.
    """
    parameters = dict(model.named_parameters())  # tied ones once
    own = {
        name: torch.zeros_like(value) if ".lora_" in name else weights[name.replace(".base_layer.", ".")]
        for name, value in parameters.items()
    }
    if sharding.is_sharded(model):  # gathering its weights would undo that of functional_call
        with models.overwritten(list(model.parameters()), list(own.values())):
            return answer_logits(model, texts)[0]
    if any(own[name].device != value.device for name, value in parameters.items()):  # they are offloaded
        with models.brought(model, own):
            return answer_logits(model, texts)[0]
    return answer_logits(lambda **kw: functional_call(model, own, (), kw), texts)[0]


def with_prompts(texts: TokenBatch) -> TokenBatch:
    """The same texts, of which all tokens but the first count as the answer."""
    inside = texts.attention_mask.bool()
    predicted = inside & inside.roll(1, dims=1)
    predicted[:, 0] = False  # padding is on the left, so nothing stands before this column
    return replace(texts, labels=texts.input_ids.masked_fill(~predicted, IGNORED))


@torch.no_grad()
def reference_nll(job: Job, data: Sequence[Encoded], batch_size: int = 32) -> Tensor:
    """NLL_sum^pi_0 (N,) of each text under the job's model as it is: all a preference loss needs of pi_0."""
    return torch.cat([nll(job.model, texts) for texts in job.runs(data, batch_size)])
