"""Tiny random models of many architectures, and an input for each: what a method is tried on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SIZES = {
    **{"vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "pad_token_id": 0, "initializer_range": 0.3},
}
GROUPED = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 64}
OLD = {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}
ENCODER = {**SIZES, "max_position_embeddings": 64, "num_labels": 3}
VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
VISION |= {"num_attention_heads": 4, "image_size": 16, "patch_size": 8, "num_labels": 3}
AUDIO = {
    **{"vocab_size": 32, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "conv_dim": (16, 16), "conv_stride": (5, 2)},
    **{"conv_kernel": (10, 3), "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 16},
    **{"num_conv_pos_embedding_groups": 4, "mask_time_prob": 0.0, "layerdrop": 0.0},
}
LATENT = {
    **{"moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2},
    **{"first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "kv_lora_rank": 8},
    **{"q_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12},
    **{"n_shared_experts": 1, "num_key_value_heads": 4},
}
LINEAR = {
    **{"num_hidden_layers": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 4},
    **{"linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "shared_expert_intermediate_size": 16,
}
GPT_NEO = {
    **{"vocab_size": 61, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 5},
    **{"attention_types": [[["global", "local"], 1]], "max_position_embeddings": 64},
    "initializer_range": 0.3,
}
FALCON = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
STATE = {"vocab_size": 61, "hidden_size": 32, "state_size": 4, "num_hidden_layers": 2}
JAMBA = {
    **{"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    **{"num_experts": 2, "mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False},
}
T5 = {"vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
SEQ2SEQ = {"decoder_start_token_id": 0, "pad_token_id": 0}
BART = {
    **{"vocab_size": 61, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2},
    **{"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48},
    **{"decoder_ffn_dim": 48, "max_position_embeddings": 64, "init_std": 0.3},
}
WHISPER = {**BART, "num_mel_bins": 8, "max_source_positions": 12, "max_target_positions": 20}


@dataclass(frozen=True)
class Architecture:
    """One architecture as a tiny model.

    Attributes:
        name: what the table calls it.
        kind: what the table groups it by.
        model: the class in transformers, of which the configuration's name follows.
        options: its configuration.
        down: the end of the name of the layer that ends a feed-forward network, or stands for it.
        inputs: what the model is called with; token ids if left out.
        config: the configuration's class, if its name does not follow.
        parts: configurations inside it, by name: (class, options).
    """

    name: str
    kind: str
    model: str
    options: Mapping[str, Any]
    down: str
    inputs: Callable[[], dict[str, Tensor]] | None = None
    config: str = ""
    parts: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None

    @property
    def generates(self) -> bool:
        """Whether it continues a text."""
        return self.model.endswith(("ForCausalLM", "LMHeadModel"))

    def build(self) -> nn.Module:
        """The model with seeded random weights, without dropout, in evaluation mode."""
        import transformers

        name = self.config or self.model.split("For")[0].removesuffix("LMHeadModel") + "Config"
        parts = {
            part: getattr(transformers, kind)(**options)
            for part, (kind, options) in (self.parts or {}).items()
        }
        config = getattr(transformers, name)(**self.options, **parts)
        without_dropout(config)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return getattr(transformers, self.model)(config).eval()

    def batch(self) -> dict[str, Tensor]:
        """What the model is called with: two rows."""
        return tokens() if self.inputs is None else self.inputs()


def without_dropout(config: Any) -> None:
    """Set every probability of dropping something to zero, in the parts too."""
    for key, value in list(vars(config).items()):
        if hasattr(value, "to_dict"):
            without_dropout(value)
        elif isinstance(value, float) and ("drop" in key or key.endswith("pdrop")):
            setattr(config, key, 0.0)


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


def tokens(length: int = 9) -> dict[str, Tensor]:
    """Two rows of random tokens; none of them is padding or the end."""
    generator = torch.Generator().manual_seed(3)
    return {"input_ids": torch.randint(5, 61, (2, length), generator=generator)}


def _both_sides() -> dict[str, Tensor]:
    return {**tokens(), "decoder_input_ids": tokens(5)["input_ids"]}


def _image() -> dict[str, Tensor]:
    return {"pixel_values": _random(2, 3, 16, 16)}


def _sound() -> dict[str, Tensor]:
    return {"input_values": _random(2, 400)}


def _speech() -> dict[str, Tensor]:
    return {"input_features": _random(2, 8, 24), "decoder_input_ids": tokens(5)["input_ids"]}


def _image_and_text() -> dict[str, Tensor]:
    ids = tokens(10)["input_ids"].clamp(max=59)
    ids[:, 1:5] = 60  # where the four patches of the picture go
    return {"input_ids": ids, **_image()}


def _old(name: str, model: str, down: str, **options: Any) -> Architecture:
    return Architecture(name, "decoder, older", model, {**OLD, **options}, down)


def _new(name: str, kind: str, model: str, down: str = "down_proj", **options: Any) -> Architecture:
    return Architecture(name, kind, model, {**GROUPED, **options}, down)


def _encoder(name: str, model: str, down: str, **options: Any) -> Architecture:
    full = f"{model}ForSequenceClassification"
    return Architecture(name, "encoder, classifies", full, {**ENCODER, **options}, down)


_BLOOM = {"vocab_size": 61, "hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
_MPT = {"vocab_size": 61, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64}
_TEXT = {key: value for key, value in GROUPED.items() if key != "initializer_range"}
_CLIP = {key: VISION[key] for key in VISION if key != "num_labels"}

ARCHITECTURES = (
    _old("GPT-2", "GPT2LMHeadModel", "mlp.c_proj", n_positions=64),
    _old("GPT-J", "GPTJForCausalLM", "fc_out", rotary_dim=4, n_positions=64),
    _old("CodeGen", "CodeGenForCausalLM", "fc_out", rotary_dim=4, n_positions=64),
    _old("BigCode (multi-query)", "GPTBigCodeForCausalLM", "mlp.c_proj", n_positions=64),
    Architecture("GPT-Neo (local)", "decoder, older", "GPTNeoForCausalLM", GPT_NEO, "mlp.c_proj"),
    Architecture(
        "GPT-NeoX", "decoder, older", "GPTNeoXForCausalLM", SIZES, "dense_4h_to_h"
    ),
    Architecture("BLOOM (ALiBi)", "decoder, older", "BloomForCausalLM", _BLOOM, "dense_4h_to_h"),
    Architecture("MPT (ALiBi)", "decoder, older", "MptForCausalLM", _MPT, "ffn.down_proj"),
    Architecture(
        "Falcon (multi-query)", "decoder, older", "FalconForCausalLM", FALCON, "dense_4h_to_h"
    ),
    Architecture(
        "OPT",
        "decoder, older",
        "OPTForCausalLM",
        {**FALCON, "ffn_dim": 48, "max_position_embeddings": 64, "word_embed_proj_dim": 32},
        "fc2",
    ),
    _new("Llama (grouped)", "decoder", "LlamaForCausalLM"),
    _new("Mistral (sliding)", "decoder", "MistralForCausalLM", sliding_window=6),
    _new("Qwen2", "decoder", "Qwen2ForCausalLM"),
    _new("Qwen3", "decoder", "Qwen3ForCausalLM", head_dim=8),
    _new("Gemma 2", "decoder", "Gemma2ForCausalLM", head_dim=8, sliding_window=6),
    Architecture(
        "Gemma 3 (sliding)",
        "decoder",
        "Gemma3ForCausalLM",
        {**GROUPED, "head_dim": 8, "sliding_window": 6},
        "down_proj",
        config="Gemma3TextConfig",
    ),
    _new("Phi-3", "decoder", "Phi3ForCausalLM", eos_token_id=1),
    _new("OLMo 2", "decoder", "Olmo2ForCausalLM"),
    _new("Cohere", "decoder", "CohereForCausalLM"),
    _new("DeepSeek-V3 (latent)", "mixture of experts", "DeepseekV3ForCausalLM", **LATENT),
    _new(
        "Mixtral", "mixture of experts", "MixtralForCausalLM", "o_proj",
        num_local_experts=4, num_experts_per_tok=2,
    ),
    _new("Qwen3-MoE", "mixture of experts", "Qwen3MoeForCausalLM", "o_proj", **EXPERTS),
    _new(
        "gpt-oss (sinks)", "mixture of experts", "GptOssForCausalLM", "o_proj",
        num_local_experts=4, num_experts_per_tok=2, head_dim=8, sliding_window=6,
    ),
    _new(
        "Qwen3-Next (linear)", "recurrent", "Qwen3NextForCausalLM", "shared_expert.down_proj",
        **EXPERTS, **LINEAR,
    ),
    _new("LFM2 (convolution)", "recurrent", "Lfm2ForCausalLM", "w2",
         layer_types=["conv", "full_attention"]),
    _new("Jamba", "recurrent", "JambaForCausalLM", "feed_forward.down_proj", **JAMBA),
    Architecture("Mamba", "recurrent", "MambaForCausalLM", STATE, "out_proj"),
    Architecture(
        "Mamba 2",
        "recurrent",
        "Mamba2ForCausalLM",
        {**STATE, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 4},
        "out_proj",
    ),
    _encoder("BERT", "Bert", r".*layer\.\d+\.output\.dense"),
    _encoder("RoBERTa", "Roberta", r".*layer\.\d+\.output\.dense", pad_token_id=1),
    _encoder("ELECTRA", "Electra", r".*layer\.\d+\.output\.dense", embedding_size=32),
    _encoder("DeBERTa-v2", "DebertaV2", r".*layer\.\d+\.output\.dense"),
    _encoder("ModernBERT", "ModernBert", "mlp.Wo", global_attn_every_n_layers=2,
             cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3),
    Architecture(
        "T5", "encoder and decoder", "T5ForConditionalGeneration", {**T5, **SEQ2SEQ}, "wo",
        _both_sides,
    ),
    Architecture(
        "BART", "encoder and decoder", "BartForConditionalGeneration", {**BART, **SEQ2SEQ}, "fc2",
        _both_sides,
    ),
    Architecture(
        "Whisper", "audio", "WhisperForConditionalGeneration", {**WHISPER, **SEQ2SEQ}, "fc2",
        _speech,
    ),
    Architecture("wav2vec 2.0", "audio", "Wav2Vec2ForCTC", AUDIO, "output_dense", _sound),
    Architecture("WavLM", "audio", "WavLMForCTC", AUDIO, "output_dense", _sound),
    Architecture("ViT", "vision", "ViTForImageClassification", VISION, "mlp.fc2", _image),
    Architecture(
        "SigLIP", "vision", "SiglipForImageClassification", {"num_labels": 3}, "fc2", _image,
        parts={"vision_config": ("SiglipVisionConfig", _CLIP)},
    ),
    Architecture(
        "LLaVA", "vision and language", "LlavaForConditionalGeneration",
        {"image_token_index": 60, "vision_feature_layer": -1}, ".*language_model.*down_proj",
        _image_and_text,
        parts={
            "vision_config": ("CLIPVisionConfig", _CLIP),
            "text_config": ("LlamaConfig", _TEXT),
        },
    ),
)  # fmt: skip
