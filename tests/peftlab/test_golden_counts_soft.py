"""How many parameters the soft methods train on models of full size, without their weights."""

import pytest
import torch
from small_models import apply_alone
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

import peftlab
from peftlab import (
    BitFitConfig,
    BottleneckConfig,
    FusionConfig,
    PartialConfig,
    PrefixConfig,
    PromptConfig,
)


@pytest.fixture(scope="module")
def llama_7b():
    with torch.device("meta"):
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=32000,
                hidden_size=4096,
                intermediate_size=11008,
                num_hidden_layers=32,
                num_attention_heads=32,
            )
        )


@pytest.fixture(scope="module")
def llama_32_3b():
    """Llama-3.2-3B: 24 query heads share 8 key/value heads."""
    with torch.device("meta"):
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=128256,
                hidden_size=3072,
                intermediate_size=8192,
                num_hidden_layers=28,
                num_attention_heads=24,
                num_key_value_heads=8,
                head_dim=128,
                tie_word_embeddings=True,
            )
        )


@pytest.fixture(scope="module")
def bert_base():
    with torch.device("meta"):
        return BertForSequenceClassification(BertConfig(num_labels=2))


def count(model, *methods):
    """Parameters of the last of these methods, on a model that is left as it was."""
    names = [f"adapter {number}" for number in range(len(methods))]
    try:
        for name, method in zip(names, methods, strict=True):
            apply_alone(model, method, name=name)
        return peftlab.trainable_report(model).trainable
    finally:
        for name in reversed(peftlab.adapters(model)):
            peftlab.remove(model, name)


def test_the_base_models_have_their_known_sizes(llama_7b, bert_base):
    assert sum(p.numel() for p in llama_7b.parameters()) == 6_738_415_616
    assert sum(p.numel() for p in bert_base.bert.parameters()) == 109_482_240


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (PromptConfig(tokens=20, init="random"), 81_920),
        (PromptConfig(tokens=100, init="random"), 409_600),
        (PrefixConfig(tokens=20), 5_242_880),
        # E (20 × 4096), W1 and b1 (512), W2 and b2 (32 · 2 · 4096)
        (
            PrefixConfig(tokens=20, mlp_size=512),
            20 * 4096 + 512 * 4097 + 32 * 2 * 4096 * 513,
        ),
        (BottleneckConfig(size=64), 32 * (2 * 4096 * 64 + 64 + 4096)),
        (BottleneckConfig(size=64, style="houlsby"), 64 * (2 * 4096 * 64 + 64 + 4096)),
        (BottleneckConfig(size=64, style="parallel"), 32 * (2 * 4096 * 64 + 64 + 4096)),
        (PartialConfig("head"), 32_000 * 4096),
        (PartialConfig("last-block"), 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096),
    ],
)
def test_llama_7b(llama_7b, method, expected):
    assert count(llama_7b, method) == expected


def test_a_fusion_has_three_square_matrices_a_layer(llama_7b):
    adapter = BottleneckConfig(size=8)
    fusion = FusionConfig(("adapter 0", "adapter 1"))
    assert count(llama_7b, adapter, adapter, fusion) == 32 * 3 * 4096**2


def test_a_prefix_counts_key_value_heads(llama_32_3b):
    assert count(llama_32_3b, PrefixConfig(tokens=20)) == 20 * 28 * 2 * 8 * 128 == 1_146_880


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # 12 layers of 4 · 768 (attention) + 3072 + 768 (feed-forward) + 2 · 768 (norms), then the
        # embeddings' norm, the pooler and the classifier
        (BitFitConfig(), 12 * (4 * 768 + 3072 + 768 + 2 * 768) + 768 + 768 + 2),
        (BitFitConfig("query+intermediate"), 12 * (768 + 3072)),
        (PrefixConfig(tokens=20), 20 * 12 * 2 * 768),
        (PromptConfig(tokens=20, init="random"), 20 * 768),
        (PartialConfig("head"), 768 * 2 + 2),
    ],
)
def test_bert_base(bert_base, method, expected):
    assert count(bert_base, method) == expected
