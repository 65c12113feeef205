"""The linear maps of the families of models that are loaded."""

from __future__ import annotations

SEPARATE = {
    *("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
    *("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
}
LINEAR = {
    **dict.fromkeys(("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "olmo2"), SEPARATE),
    "phi": {
        *("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.dense"),
        *("mlp.fc1", "mlp.fc2"),
    },
    "gpt_neox": {
        *("attention.query_key_value", "attention.dense"),
        *("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    },
    "phi3": {"self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"},
    "gpt2": {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"},
}
"""The linear maps of one layer of each family."""

GATED = ({"mlp.gate_proj", "mlp.up_proj"}, "mlp.down_proj")
FEED_FORWARD = {
    **dict.fromkeys(("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "olmo2"), GATED),
    "phi": ({"mlp.fc1"}, "mlp.fc2"),
    "gpt_neox": ({"mlp.dense_h_to_4h"}, "mlp.dense_4h_to_h"),
    "phi3": ({"mlp.gate_up_proj"}, "mlp.down_proj"),  # gate and up map in one
    "gpt2": ({"mlp.c_fc"}, "mlp.c_proj"),
}
"""The linear maps into the neurons of one layer of each family, and the one out of them."""
