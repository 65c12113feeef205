"""The embedded model: a small Llama and a word tokenizer, built from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.keys import derive

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Tiny:
    """The embedded model: a Llama of half a million parameters, trained on the embedded world alone.

    With the usual initial spread of 0.02 the same passes teach it next to no facts.
    """

    hidden_size: int = 96
    intermediate_size: int = 256
    initializer_range: float = 0.1
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    max_position_embeddings: int = 256
    epochs: int = 15
    batch_size: int = 32
    learning_rate: float = 3e-3


def tiny_model(tiny: Tiny, vocabulary: int, end: int, replicate: int = 0) -> nn.Module:
    """The embedded model with the initial weights of a replicate, the same on every call."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=tiny.hidden_size,
        intermediate_size=tiny.intermediate_size,
        num_hidden_layers=tiny.num_hidden_layers,
        num_attention_heads=tiny.num_attention_heads,
        num_key_value_heads=tiny.num_attention_heads,
        max_position_embeddings=tiny.max_position_embeddings,
        initializer_range=tiny.initializer_range,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
    )
    with torch.random.fork_rng():
        torch.manual_seed(derive(replicate, "init"))
        return LlamaForCausalLM(config)


def word_tokenizer(texts: tuple[str, ...]) -> Any:
    """A tokenizer with one token per word of ``texts``; other words are spelt from their letters."""
    import string

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.Whitespace()
    words = sorted({word for text in texts for word, _ in splitter.pre_tokenize_str(text)})
    letters = [*string.ascii_letters, *string.digits, *string.punctuation]
    special = ["<|end|>", "<|unknown|>"]
    entries = dict.fromkeys([*special, *words, *letters, *(f"##{letter}" for letter in letters)])
    vocabulary = {entry: i for i, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special[1], max_input_chars_per_word=100))
    tokenizer.pre_tokenizer = splitter  # type: ignore[assignment]
    tokenizer.decoder = decoders.WordPiece(cleanup=True)  # type: ignore[assignment]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=special[0], pad_token=special[0], unk_token=special[1]
    )
