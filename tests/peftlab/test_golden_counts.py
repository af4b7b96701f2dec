"""Numbers of trainable parameters that papers and PEFT report, counted without any memory.

The models stand on torch's meta device: shapes without values, built in a second.
"""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import peftlab
from peftlab import AdaLoRAConfig, DoRAConfig, IA3Config, LoRAConfig, PiSSAConfig

SHAPES = {
    "LLaMA-7B": {
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "LLaMA-13B": {
        "vocab_size": 32_000,
        "hidden_size": 5120,
        "intermediate_size": 13_824,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
    },
    "Llama-3.2-3B": {
        "vocab_size": 128_256,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
}
QV = ("q_proj", "v_proj")


def meta(name):
    with torch.device("meta"):
        return LlamaForCausalLM(LlamaConfig(**SHAPES[name]))


@pytest.mark.parametrize(
    ("model", "method", "expected"),
    [
        ("LLaMA-7B", LoRAConfig(rank=8, targets=QV), 4_194_304),
        ("LLaMA-7B", LoRAConfig(rank=64, targets=QV), 33_554_432),
        ("LLaMA-7B", PiSSAConfig(rank=8, targets=QV), 4_194_304),
        ("LLaMA-7B", LoRAConfig(rank=16), 39_976_960),  # every linear layer: 0.59 %
        # r (d_in + d_out), and one magnitude for each of the 4096 outputs of q and of v
        ("LLaMA-7B", DoRAConfig(rank=8, targets=QV), 4_194_304 + 32 * 2 * 4096),
        # the same again for Λ's diagonal
        ("LLaMA-7B", AdaLoRAConfig(100, rank=8, targets=QV), 4_194_304 + 32 * 2 * 8),
        ("LLaMA-7B", IA3Config(), 614_400),
        ("LLaMA-13B", LoRAConfig(rank=8, targets=QV), 6_553_600),
        ("Llama-3.2-3B", IA3Config(), 286_720),
        ("Llama-3.2-3B", LoRAConfig(rank=32, targets=QV), 9_175_040),
    ],
)
def test_trainable_parameters(model, method, expected):
    model = peftlab.apply(meta(model), method)
    report = peftlab.trainable_report(model)
    assert report.trainable == expected
    assert all(parameter.is_meta for parameter in model.parameters())


def test_the_whole_model():
    model = peftlab.apply(meta("LLaMA-7B"), LoRAConfig(rank=8, targets=QV))
    report = peftlab.trainable_report(model)
    assert report.total - report.trainable == 6_738_415_616
    assert f"{report.percent:.4f}" == "0.0622"
