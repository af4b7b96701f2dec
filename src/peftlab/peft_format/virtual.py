"""Prefix tuning and prompt tuning in PEFT's files."""

from __future__ import annotations

from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer
from peftlab.methods.prefix import PrefixConfig, PrefixLayer, PrefixShape, prefix_shape
from peftlab.methods.prompt import PromptConfig
from peftlab.peft_format.format import Fields, Format, task_type


def _write_prefix(
    method: PrefixConfig, model: nn.Module, layers: dict[str, AdapterLayer]
) -> Fields:
    return {
        # PEFT leaves virtual tokens out where no task is named.
        "task_type": task_type(model) or "CAUSAL_LM",
        "num_virtual_tokens": method.tokens,
        "num_transformer_submodules": 1,
        "prefix_projection": False,  # the file holds the computed prefix
        **_shape_fields(next(x for x in layers.values() if isinstance(x, PrefixLayer)).shape),
    }


def _read_prefix(fields: Fields, model: nn.Module, paths: list[str]) -> PrefixConfig:
    for key, value in _shape_fields(prefix_shape(model)).items():
        if fields[key] != value:
            raise PeftlabError(
                f"the prefix was made for {key}={fields[key]!r}, and {type(model).__name__} "
                f"has {value}; load it into the base model it was trained on."
            )
    return PrefixConfig(tokens=fields["num_virtual_tokens"])


def _shape_fields(shape: PrefixShape) -> Fields:
    """PEFT's names for the numbers that a prefix has to fit."""
    return {
        "num_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "token_dim": shape.width,
    }


def _prefix_tensors(layer: AdapterLayer) -> dict[str, Tensor]:
    """The prefix (T, L·2·H·D), without the MLP that computes it; nothing of the attentions."""
    if not isinstance(layer, PrefixLayer):
        return {}
    return {"prefix": layer.computed_prefix().flatten(1)}


def _write_prompt(
    method: PromptConfig, model: nn.Module, layers: dict[str, AdapterLayer]
) -> Fields:
    (layer,) = layers.values()
    config = model.config.get_text_config()
    return {
        # PEFT leaves virtual tokens out where no task is named.
        "task_type": task_type(model) or "CAUSAL_LM",
        "num_virtual_tokens": method.tokens,
        "token_dim": layer.prompt.shape[1],
        "num_transformer_submodules": 1,
        # PEFT asks for it; a model with a recurrent state has none.
        "num_attention_heads": getattr(config, "num_attention_heads", 1),
        "num_layers": config.num_hidden_layers,
        # How it started is no longer of interest, and PEFT would ask for the tokenizer.
        "prompt_tuning_init": "RANDOM",
    }


def _read_prompt(fields: Fields, model: nn.Module, paths: list[str]) -> PromptConfig:
    return PromptConfig(tokens=fields["num_virtual_tokens"])


PREFIX = Format(
    config=PrefixConfig,
    peft_type="PREFIX_TUNING",
    names={"prefix": "prompt_embeddings"},
    write=_write_prefix,
    read=_read_prefix,
    tensors=_prefix_tensors,
    off={"num_transformer_submodules": 1},
    prefix="base_model.",
    whole_model=True,
)
PROMPT = Format(
    config=PromptConfig,
    peft_type="PROMPT_TUNING",
    names={"prompt": "prompt_embeddings"},
    write=_write_prompt,
    read=_read_prompt,
    off={"num_transformer_submodules": 1},
    prefix="base_model.",
    whole_model=True,
)
