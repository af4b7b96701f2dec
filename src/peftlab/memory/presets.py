"""Configurations of well-known models, with the keys of their ``config.json``."""

from __future__ import annotations

from typing import Any


def _llama(
    layers: int,
    hidden: int,
    intermediate: int,
    heads: int,
    kv_heads: int,
    vocabulary: int,
    **more: Any,
) -> dict[str, Any]:
    """A decoder of Llama's kind; ``more`` overrides or adds keys."""
    return {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        **more,
    }  # fmt: skip


def _qwen3(
    layers: int, hidden: int, intermediate: int, heads: int, *, tied: bool
) -> dict[str, Any]:
    """A Qwen3: eight key/value heads of 128 numbers, whatever the hidden size."""
    more = {"model_type": "qwen3", "head_dim": 128, "max_position_embeddings": 40_960}
    more["tie_word_embeddings"] = tied
    return _llama(layers, hidden, intermediate, heads, 8, 151_936, **more)


def _gpt2(layers: int, hidden: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "n_layer": layers,
        "n_embd": hidden,
        "n_head": heads,
        "n_positions": 1024,
        "vocab_size": 50_257,
    }


def _bert(layers: int, hidden: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_attention_heads": heads,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "vocab_size": 30_522,
    }


_LLAMA_3 = {"max_position_embeddings": 8192}
_LLAMA_31 = {"max_position_embeddings": 131_072}
_SMOLLM2 = {"max_position_embeddings": 8192, "tie_word_embeddings": True}

# From the config.json of each model on the hub; Llama from table 2 of arXiv 2302.13971. The
# parameter counts that follow from them are tested against transformers.
PRESETS: dict[str, dict[str, Any]] = {
    "llama-7b": _llama(32, 4096, 11_008, 32, 32, 32_000, max_position_embeddings=2048),
    "llama-13b": _llama(40, 5120, 13_824, 40, 40, 32_000, max_position_embeddings=2048),
    "llama-33b": _llama(60, 6656, 17_920, 52, 52, 32_000, max_position_embeddings=2048),
    "llama-65b": _llama(80, 8192, 22_016, 64, 64, 32_000, max_position_embeddings=2048),
    "llama-2-7b": _llama(32, 4096, 11_008, 32, 32, 32_000),
    "llama-2-13b": _llama(40, 5120, 13_824, 40, 40, 32_000),
    "llama-2-70b": _llama(80, 8192, 28_672, 64, 8, 32_000),
    "llama-3-8b": _llama(32, 4096, 14_336, 32, 8, 128_256, **_LLAMA_3),
    "llama-3-70b": _llama(80, 8192, 28_672, 64, 8, 128_256, **_LLAMA_3),
    "llama-3.1-8b": _llama(32, 4096, 14_336, 32, 8, 128_256, **_LLAMA_31),
    "llama-3.1-70b": _llama(80, 8192, 28_672, 64, 8, 128_256, **_LLAMA_31),
    "llama-3.2-1b": _llama(
        16, 2048, 8192, 32, 8, 128_256, head_dim=64, tie_word_embeddings=True, **_LLAMA_31
    ),
    "llama-3.2-3b": _llama(
        28, 3072, 8192, 24, 8, 128_256, head_dim=128, tie_word_embeddings=True, **_LLAMA_31
    ),
    # Version 0.2, the first without a sliding window.
    "mistral-7b": _llama(
        32, 4096, 14_336, 32, 8, 32_000,
        model_type="mistral", sliding_window=None, max_position_embeddings=32_768,
    ),
    "qwen3-0.6b": _qwen3(28, 1024, 3072, 16, tied=True),
    "qwen3-1.7b": _qwen3(28, 2048, 6144, 16, tied=True),
    "qwen3-4b": _qwen3(36, 2560, 9728, 32, tied=True),
    "qwen3-8b": _qwen3(36, 4096, 12_288, 32, tied=False),
    "qwen3-14b": _qwen3(40, 5120, 17_408, 40, tied=False),
    "qwen3-32b": _qwen3(64, 5120, 25_600, 64, tied=False),
    "smollm2-135m": _llama(30, 576, 1536, 9, 3, 49_152, **_SMOLLM2),
    "smollm2-360m": _llama(32, 960, 2560, 15, 5, 49_152, **_SMOLLM2),
    "smollm2-1.7b": _llama(24, 2048, 8192, 32, 32, 49_152, **_SMOLLM2),
    "smollm3-3b": _llama(
        36, 2048, 11_008, 16, 4, 128_256,
        model_type="smollm3", max_position_embeddings=65_536, tie_word_embeddings=True,
    ),
    "gpt2": _gpt2(12, 768, 12),
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-xl": _gpt2(48, 1600, 25),
    "bert-base": _bert(12, 768, 12),
    "bert-large": _bert(24, 1024, 16),
}  # fmt: skip
