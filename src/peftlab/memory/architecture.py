"""The numbers of a model that decide its memory, read from its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftlab.errors import PeftlabError
from peftlab.memory.presets import PRESETS

# transformers' model types whose blocks are Llama's but for biases and norms.
_GATED = ("llama", "mistral", "qwen2", "qwen3", "smollm3")


@dataclass(frozen=True)
class Architecture:
    """A model's shape.

    Attributes:
        name: what to call it.
        family: which blocks it has: "llama" (RMSNorm, rotary positions, gated feed-forward network:
            Llama, Mistral, Qwen2, Qwen3, SmolLM), "gpt2" or "bert".
        layers: blocks.
        hidden: size of the residual stream.
        intermediate: width of the feed-forward network.
        heads, kv_heads: heads of queries; of keys and values, fewer in grouped-query attention.
        head_dim: size of a head.
        vocabulary: entries of the embedding.
        positions, token_types: entries of learned embeddings of positions and token types.
        tied: whether the output head is the embedding.
        qkv_bias, o_bias, mlp_bias: whether these linear layers have biases.
        qk_norm: whether each head's queries and keys are normalized.
    """

    name: str
    family: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    positions: int = 0
    token_types: int = 0
    tied: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False


def read(model: Any) -> Architecture:
    """The architecture of a model.

    Args:
        model: the name of a preset (``PRESETS``), a folder with a ``config.json`` or that file, a
            transformers configuration, the contents of a ``config.json``, or a hub id, whose
            configuration is fetched.

    Raises:
        PeftlabError: there is no such model, or its kind is not known here.
    """
    if isinstance(model, Architecture):
        return model
    if isinstance(model, Mapping):
        return _from_fields(model, str(model.get("_name_or_path") or model.get("model_type")))
    if hasattr(model, "to_dict"):
        return _from_fields(model.to_dict(), str(model.name_or_path or model.model_type))
    name = str(model)
    if name.lower() in PRESETS:
        return _from_fields(PRESETS[name.lower()], name.lower())
    path = Path(name)
    if path.exists():
        return _from_file(path / "config.json" if path.is_dir() else path)
    if name.count("/") == 1 and path.suffix != ".json":
        return _from_fields(_fetched(name), name)
    raise PeftlabError(
        f"{name!r} is no known model; use a preset ({', '.join(PRESETS)}), a folder with a "
        "config.json, or a hub id (owner/model)."
    )


def _from_file(file: Path) -> Architecture:
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PeftlabError(
            f"cannot read {file}: {error}; give a model's folder or its config.json."
        ) from None
    if not isinstance(fields, dict):
        raise PeftlabError(f"{file} holds no configuration; give a model's config.json.")
    return _from_fields(fields, file.parent.name)


def _fetched(hub_id: str) -> dict[str, Any]:
    """The configuration of a model on the hub; only its config.json is fetched."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(hub_id).to_dict()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise PeftlabError(
            f"cannot fetch the configuration of {hub_id!r} ({reason}); use a preset "
            f"({', '.join(PRESETS)}) or a local config.json."
        ) from None


def _from_fields(fields: Mapping[str, Any], name: str) -> Architecture:
    """Read the keys of a ``config.json``."""
    kind = fields.get("model_type")
    try:
        if kind in _GATED:
            return _gated(fields, name)
        if kind == "gpt2":
            return _gpt2(fields, name)
        if kind == "bert":
            return _bert(fields, name)
    except KeyError as error:
        raise PeftlabError(
            f"the configuration of {name!r} has no {error.args[0]!r}; give a complete config.json."
        ) from None
    raise PeftlabError(
        f"{name!r} has model_type {kind!r}; memory is known for {', '.join(_GATED)}, gpt2 and bert."
    )


def _gated(fields: Mapping[str, Any], name: str) -> Architecture:
    kind, heads = fields["model_type"], fields["num_attention_heads"]
    bias = bool(fields.get("attention_bias", False))
    return Architecture(
        name=name,
        family="llama",
        layers=fields["num_hidden_layers"],
        hidden=fields["hidden_size"],
        intermediate=fields["intermediate_size"],
        heads=heads,
        kv_heads=fields.get("num_key_value_heads") or heads,
        head_dim=fields.get("head_dim") or fields["hidden_size"] // heads,
        vocabulary=fields["vocab_size"],
        tied=bool(fields.get("tie_word_embeddings", False)),
        qkv_bias=bias or kind == "qwen2",
        o_bias=bias,
        mlp_bias=bool(fields.get("mlp_bias", False)),
        qk_norm=kind == "qwen3",
    )


def _gpt2(fields: Mapping[str, Any], name: str) -> Architecture:
    hidden, heads = fields["n_embd"], fields["n_head"]
    return Architecture(
        name=name,
        family="gpt2",
        layers=fields["n_layer"],
        hidden=hidden,
        intermediate=fields.get("n_inner") or 4 * hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        vocabulary=fields["vocab_size"],
        positions=fields["n_positions"],
        tied=bool(fields.get("tie_word_embeddings", True)),
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
    )


def _bert(fields: Mapping[str, Any], name: str) -> Architecture:
    hidden, heads = fields["hidden_size"], fields["num_attention_heads"]
    return Architecture(
        name=name,
        family="bert",
        layers=fields["num_hidden_layers"],
        hidden=hidden,
        intermediate=fields["intermediate_size"],
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        vocabulary=fields["vocab_size"],
        positions=fields["max_position_embeddings"],
        token_types=fields["type_vocab_size"],
        tied=bool(fields.get("tie_word_embeddings", True)),
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
    )
