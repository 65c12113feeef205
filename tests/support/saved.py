"""A tiny model saved to disk, as a user has one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.stub import WORDS


def save_model(place: Path, texts: Sequence[str] = WORDS, **settings: Any) -> Path:
    """A random Llama of a few thousand parameters, always the same, and its tokenizer of whole words."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from harness.model.embedded import word_tokenizer

    tokenizer = word_tokenizer(tuple(texts))
    end = tokenizer.eos_token_id
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.1,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LlamaConfig(**(shape | settings), bos_token_id=None, eos_token_id=end, pad_token_id=end)
        LlamaForCausalLM(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place
