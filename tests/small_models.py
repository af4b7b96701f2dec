"""Small random models of several families, for tests that need a real architecture."""

import torch
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

GQA = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def llama(**options):
    return LlamaForCausalLM(LlamaConfig(**{**GQA, "tie_word_embeddings": True, **options}))


def qwen3():
    return Qwen3ForCausalLM(Qwen3Config(**GQA, head_dim=8))


def mistral():
    return MistralForCausalLM(MistralConfig(**GQA))


def gpt2():
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    )


def opt():
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


def bert():
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


def build(family, dtype=torch.float32, seed=0, **options):
    """A model of the family with seeded random weights, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FAMILIES[family](**options).to(dtype).eval()


def token_ids(seed=0, shape=(2, 9)):
    return torch.randint(3, 61, shape, generator=torch.Generator().manual_seed(seed))


def randomise_adapter(model, name=None, seed=1, scale=0.2):
    """Give every adapter parameter a random value, so that the adapter changes the output."""
    import peftlab

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer in peftlab.adapter_layers(model, name):
            for parameter in layer.adapter_parameters().values():
                value = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(scale * value)


def relative_error(value, reference):
    """‖value - reference‖ / ‖reference‖."""
    return (value - reference).norm().item() / reference.norm().item()
