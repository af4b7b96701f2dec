"""What a model of each family is made of: the operations of a block, and every parameter.

Expressions are those of ``formulas``. A linear layer has ``d_in``, ``d_out``, whether it has a
``bias``, and how many ``copies`` there are in the model.
"""

from __future__ import annotations

from typing import Any


def _linear(
    d_in: str, d_out: str, bias: str = "0", *, ia3_output: str = "0", ia3_input: str = "0"
) -> dict[str, str]:
    """A linear layer, and whether IA³ scales its output or its input."""
    return {
        "d_in": d_in,
        "d_out": d_out,
        "bias": bias,
        "ia3_output": ia3_output,
        "ia3_input": ia3_input,
    }


def _linears(
    width: str, layers: dict[str, dict[str, str]], *, arrives: str = "norm_bytes", **more: str
) -> dict[str, Any]:
    """Linear layers with one input; see ``formulas.OPERATIONS["linears"]``."""
    # The gradients that arrive from behind; a single layer's is that of the residual stream.
    incoming = " + ".join(layer["d_out"] for layer in layers.values()) if len(layers) > 1 else "0"
    fields = {"width": width, "arrives": arrives, "kept_before": "0", "alive": "0"}
    # An adapter in another dtype than its input makes a copy of it.
    more["copies_input"] = "max(autocast, arrives < 4)"
    return {
        "operation": "linears",
        "fields": fields | {"count": str(len(layers)), "incoming": incoming} | more,
        "layers": layers,
    }


def _simple(operation: str, width: str = "hidden") -> dict[str, Any]:
    return {"operation": operation, "fields": {"width": width}, "layers": {}}


_GATED = [
    _simple("rms_norm"),
    _linears(
        "hidden",
        {
            "self_attn.q_proj": _linear("hidden", "queries", "qkv_bias"),
            "self_attn.k_proj": _linear("hidden", "keys", "qkv_bias", ia3_output="1"),
            "self_attn.v_proj": _linear("hidden", "keys", "qkv_bias", ia3_output="1"),
        },
        alive="product_bytes * T * (queries + keys)",
    ),
    _simple("head_norms"),
    _simple("attention"),
    _linears(
        "queries",
        {"self_attn.o_proj": _linear("queries", "hidden", "o_bias")},
        arrives="product_bytes",
        kept_before="fused",
    ),
    _simple("rms_norm"),
    _linears(
        "hidden",
        {
            "mlp.gate_proj": _linear("hidden", "intermediate", "mlp_bias"),
            "mlp.up_proj": _linear("hidden", "intermediate", "mlp_bias"),
        },
        alive="2 * product_bytes * T * intermediate",
    ),
    _simple("gated_activation"),
    _linears(
        "intermediate",
        {"mlp.down_proj": _linear("intermediate", "hidden", "mlp_bias", ia3_input="1")},
        arrives="product_bytes",
        alive="(1 - full) * (1 - low_rank * (product_bytes == 4))"
        " * product_bytes * T * intermediate",
    ),
    _simple("bottleneck"),
]

_GPT2 = [
    _simple("layer_norm"),
    _linears("hidden", {"attn.c_attn": _linear("hidden", "3 * hidden", "1", ia3_output="1")}),
    _simple("attention"),
    _linears(
        "hidden",
        {"attn.c_proj": _linear("hidden", "hidden", "1")},
        arrives="product_bytes",
        kept_before="fused",
    ),
    _simple("dropout"),
    _simple("layer_norm"),
    _linears("hidden", {"mlp.c_fc": _linear("hidden", "intermediate", "1")}),
    _simple("gelu_steps"),
    _linears(
        "intermediate",
        {"mlp.c_proj": _linear("intermediate", "hidden", "1", ia3_input="1")},
        arrives="where(autocast, 4, product_bytes)",
    ),
    _simple("dropout"),
    _simple("bottleneck"),
]

_BERT = [
    _linears(
        "hidden",
        {
            "attention.self.query": _linear("hidden", "hidden", "1"),
            "attention.self.key": _linear("hidden", "hidden", "1", ia3_output="1"),
            "attention.self.value": _linear("hidden", "hidden", "1", ia3_output="1"),
        },
    ),
    _simple("attention"),
    _linears(
        "hidden",
        {"attention.output.dense": _linear("hidden", "hidden", "1")},
        arrives="product_bytes",
        kept_before="fused",
    ),
    _simple("dropout"),
    _simple("layer_norm"),
    _linears("hidden", {"intermediate.dense": _linear("hidden", "intermediate", "1")}),
    _simple("gelu"),
    _linears(
        "intermediate",
        {"output.dense": _linear("intermediate", "hidden", "1", ia3_input="1")},
        arrives="product_bytes",
    ),
    _simple("bottleneck"),
    _simple("dropout"),
    _simple("layer_norm"),
]

# The operations of a block in the order of the forward pass.
BLOCKS: dict[str, list[dict[str, Any]]] = {"llama": _GATED, "gpt2": _GPT2, "bert": _BERT}

# The linear layers that peft adapts with LoRA unless told otherwise.
DEFAULT_TARGETS: dict[str, tuple[str, ...]] = {
    "llama": ("q_proj", "v_proj"),
    "gpt2": ("c_attn",),
    "bert": ("query", "value"),
}

# Linear layers outside the blocks, other than the output head: (d_in, d_out, bias).
OUTSIDE: dict[str, dict[str, dict[str, str]]] = {
    "llama": {},
    "gpt2": {},
    "bert": {"predictions.transform.dense": _linear("hidden", "hidden", "1")},
}

# Every other parameter: (numbers, how many there are, whether it is a bias). The head of a tied
# model is its embedding.
OTHER: dict[str, dict[str, tuple[str, str, str]]] = {
    "llama": {
        "embed_tokens": ("vocabulary * hidden", "1", "0"),
        "norms": ("hidden", "2 * layers + 1", "0"),
        "q_norm, k_norm": ("head_dim", "2 * layers * qk_norm", "0"),
        "lm_head": ("vocabulary * hidden", "1 - tied", "0"),
    },
    "gpt2": {
        "wte": ("vocabulary * hidden", "1", "0"),
        "wpe": ("positions * hidden", "1", "0"),
        "norm weights": ("hidden", "2 * layers + 1", "0"),
        "norm biases": ("hidden", "2 * layers + 1", "1"),
        "lm_head": ("vocabulary * hidden", "1 - tied", "0"),
    },
    "bert": {
        "word_embeddings": ("vocabulary * hidden", "1", "0"),
        "position_embeddings": ("positions * hidden", "1", "0"),
        "token_type_embeddings": ("token_types * hidden", "1", "0"),
        "norm weights": ("hidden", "2 * layers + 2", "0"),
        "norm biases": ("hidden", "2 * layers + 2", "1"),
        "decoder": ("vocabulary * hidden", "1 - tied", "0"),
        "decoder bias": ("vocabulary", "1", "1"),
    },
}
