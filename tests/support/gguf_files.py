"""Small models as GGUF files, written as llama.cpp's converter writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = ("Ġth", "th", "Ġt", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""Names of a layer's weights, as transformers and as llama.cpp call them."""


def tokens() -> list[str]:
    """The bytes as GPT-2 spells them, some pairs of them, and the marks of a chat."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return [*bytes_to_unicode().values(), *WORDS]


def random_llama(seed: int = 0, **settings: Any) -> Any:
    """A Llama of a few thousand parameters, with two heads for each key and value."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {
        "vocab_size": len(tokens()),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 50_000.0},
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-5,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**(shape | settings)))


def arrays(model: Any) -> dict[str, Any]:
    """The weights by llama.cpp's names; those of queries and keys have the halves of a head interleaved."""
    config, found = model.config, {}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        array = tensor.numpy()
        if name.startswith("model.layers."):
            _, _, layer, part = name.removesuffix(".weight").split(".", 3)
            part = PARTS[part]
            if part in heads:
                array = array.reshape(heads[part], 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
            found[f"blk.{layer}.{part}.weight"] = array
        elif name == "model.embed_tokens.weight":
            found["token_embd.weight"] = array
        elif name == "model.norm.weight":
            found["output_norm.weight"] = array
        elif not config.tie_word_embeddings:
            found["output.weight"] = array
    return found


def write(
    path: Path,
    model: Any,
    family: str = "llama",
    words: bool = True,
    change: Callable[[dict[str, Any]], None] = lambda weights: None,
    stored: str = "F32",
    turn: str | None = None,
    scaling: str | None = None,
) -> Path:
    """Write a model; matrices are ``stored`` in a type of llama.cpp, and ``change`` may spoil the weights."""
    from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants

    config, writer = model.config, GGUFWriter(path, family)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    if scaling:
        writer.add_string("llama.rope.scaling.type", scaling)
    if words:
        vocabulary = tokens()
        special = [
            TokenType.CONTROL if "|" in token and len(token) > 1 else TokenType.NORMAL for token in vocabulary
        ]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(vocabulary)
        writer.add_token_types(special)
        writer.add_token_merges(["t h", "Ġ t", "Ġ th"])
        writer.add_bos_token_id(vocabulary.index("<|im_start|>"))
        writer.add_eos_token_id(vocabulary.index("<|im_end|>"))
        writer.add_add_bos_token(False)
        writer.add_chat_template(TEMPLATE)
        if turn:
            writer.add_eot_token_id(vocabulary.index(turn))
    weights, kind = arrays(model), GGMLQuantizationType[stored]
    change(weights)
    for name, array in weights.items():
        packed = array.ndim == 2 and stored != "F32"
        writer.add_tensor(
            name, quants.quantize(array, kind) if packed else array, raw_dtype=kind if packed else None
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
