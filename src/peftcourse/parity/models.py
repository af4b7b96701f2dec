"""Small random models of several families, on which a method is compared with its reference."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from peftlab.inject import adapter_layers

GQA = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def llama(**options: int) -> nn.Module:
    """Llama with grouped-query attention and tied embeddings."""
    return LlamaForCausalLM(LlamaConfig(**{**GQA, "tie_word_embeddings": True, **options}))


def qwen3() -> nn.Module:
    """Qwen3: Llama's layout with normalised queries and keys."""
    return Qwen3ForCausalLM(Qwen3Config(**GQA, head_dim=8))


def mistral(**options: int) -> nn.Module:
    """Mistral: Llama's layout with sliding-window attention."""
    return MistralForCausalLM(MistralConfig(**{**GQA, **options}))


def gpt2() -> nn.Module:
    """GPT-2: Conv1D layers, biases, learned positions."""
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    )


def opt() -> nn.Module:
    """OPT: separate projections with biases, learned positions."""
    return OPTForCausalLM(
        OPTConfig(
            vocab_size=61,
            hidden_size=32,
            ffn_dim=56,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            word_embed_proj_dim=32,
        )
    )


def bert() -> nn.Module:
    """BERT for the classification of a whole text."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=61,
            hidden_size=32,
            intermediate_size=56,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            num_labels=3,
        )
    )


FAMILIES = {
    "llama": llama,
    "qwen3": qwen3,
    "mistral": mistral,
    "gpt2": gpt2,
    "opt": opt,
    "bert": bert,
}


def build(
    family: str, dtype: torch.dtype = torch.float32, seed: int = 0, **options: int
) -> nn.Module:
    """A model of the family with seeded random weights, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FAMILIES[family](**options).to(dtype).eval()


def token_ids(seed: int = 0, shape: tuple[int, int] = (2, 9)) -> Tensor:
    """Random tokens, (batch, length)."""
    return torch.randint(3, 61, shape, generator=torch.Generator().manual_seed(seed))


def randomise_adapter(
    model: nn.Module, name: str | None = None, seed: int = 1, scale: float = 0.2
) -> None:
    """Give every adapter parameter a random value, so that the adapter changes the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer in adapter_layers(model, name):
            for parameter in layer.adapter_parameters().values():
                value = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(scale * value)


def relative_error(value: Tensor, reference: Tensor) -> float:
    """‖value - reference‖ / ‖reference‖."""
    return (value - reference).norm().item() / reference.norm().item()
